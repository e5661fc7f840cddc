"""Kept corpora: corpora without texts, small enough for the repository.

They hold example ids, paths, verdicts and the path table.

Questions, choices and gold answers belong to their publishers. They are looked up by example id,
which is a hash of them, in the task's own data; what is restored is the corpus that was kept, down
to its digest.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from search_cluster.corpus.manifest import MANIFEST_NAME, Provenance
from search_cluster.corpus.path_table import (
    PATH_TABLE_NAME,
    PathTable,
    PathTableRow,
    read_path_table,
    write_path_table,
)
from search_cluster.corpus.reader import read_corpus
from search_cluster.corpus.record import ExampleRecord
from search_cluster.corpus.schema import (
    PROVENANCE_KEY,
    corpus_schema,
    is_corpus_schema,
    record_of,
    row_of,
)
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.errors import CorpusError, InvalidValueError, TaskError
from search_cluster.files import replaced_whole
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task

RECORDS_NAME = "records.parquet"
"""The file in the folder of a kept corpus. Beside it lies the path table, if there is one."""
KEPT_KEY = b"router_train.study.kept"
"""The key, in the metadata of the schema, of what the file says of the whole corpus."""
KEPT_SCHEMA = 1
TEXT_COLUMNS = (
    "task",
    "split",
    "question",
    "choices",
    "gold",
    "gold_index",
    "difficulty",
    "source",
)
"""The columns that the example's id stands for."""
COMPRESSION_LEVEL = 19
"""The level of zstd, which is high because a file is written once and carried by every clone."""


def keep_corpus(corpus_folder: Path, target: Path) -> Path:
    """Write a finished corpus and its path table, if there is one, without texts.

    Returns ``target``.

    Raises:
        CorpusError: the corpus or its table is unfinished or damaged, or the operating system
            refused.
    """
    corpus = read_corpus(corpus_folder)
    provenance = corpus.manifest.provenance
    about = {
        "schema": KEPT_SCHEMA,
        "corpus_digest": corpus.manifest.corpus_digest,
        "num_examples": corpus.manifest.num_examples,
        "num_paths": corpus.manifest.num_paths,
    }
    schema = _kept_schema(provenance).with_metadata(
        {PROVENANCE_KEY: provenance.to_json(), KEPT_KEY: json.dumps(about, sort_keys=True)}
    )
    rows = [_without_texts(record) for record in corpus.records]
    with (
        replaced_whole(target / RECORDS_NAME) as temporary,
        pq.ParquetWriter(
            temporary, schema, compression="zstd", compression_level=COMPRESSION_LEVEL
        ) as writer,
    ):
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    if (corpus_folder / PATH_TABLE_NAME).is_file():
        examples = {record.example.example_id: record.example for record in corpus.records}
        write_path_table(target, _with_outputs(read_path_table(corpus_folder), examples, _encode))
    else:
        (target / PATH_TABLE_NAME).unlink(missing_ok=True)
    return target


def read_provenance(kept: Path) -> Provenance:
    """The provenance of the corpus that was kept.

    Raises:
        CorpusError: there is none, or it is damaged.
    """
    return _read(kept)[0]


def restore_corpus(
    kept: Path, out: Path, task: Task, data_dir: Path | None, *, table: bool = True
) -> Path:
    """The corpus that was kept, with the texts of the task's own data; returns ``out``.

    A corpus of the same digest that lies there already stays; the path table is written anew.

    Args:
        kept: the folder that `keep_corpus` wrote.
        out: the folder to write, which is created if it is missing.
        task: the task that was searched.
        data_dir: where its data lie; ``None`` takes the hub, or built-in data.
        table: whether to write the path table, too, if there is one.

    Raises:
        CorpusError: the kept corpus is damaged, or ``out`` holds another one.
        TaskError: the task's data lack an example, or can't be read.
    """
    provenance, about, rows = _read(kept)
    if (out / MANIFEST_NAME).is_file():
        records: Sequence[ExampleRecord] = read_corpus(out).records
    else:
        examples = _find_examples(task, provenance, [row["example_id"] for row in rows], data_dir)
        records = [
            _with_texts(row, examples[row["example_id"]], provenance.num_layers) for row in rows
        ]
        with CorpusWriter(out, provenance) as writer:
            for record in records:
                writer.add(record)
            writer.close({})
    found = read_corpus(out).manifest.corpus_digest
    if found != about["corpus_digest"]:
        raise CorpusError(
            f"{out} has the digest {found}, and {kept} was made of a corpus with "
            f"{about['corpus_digest']}; delete {out} and run the same command again"
        )
    if table and (kept / PATH_TABLE_NAME).is_file():
        known = {record.example.example_id: record.example for record in records}
        write_path_table(out, _with_outputs(read_path_table(kept), known, _decode))
    else:
        (out / PATH_TABLE_NAME).unlink(missing_ok=True)
    return out


def _find_examples(
    task: Task, provenance: Provenance, wanted: Sequence[str], data_dir: Path | None
) -> dict[str, Example]:
    if (task.name, task.version) != (provenance.task, provenance.task_version):
        raise TaskError(
            f"the kept corpus is of task {provenance.task} version {provenance.task_version}, this "
            f"is {task.name} version {task.version}; install the version that searched it, or "
            "search and keep a new corpus"
        )
    found = {
        example.example_id: example for example in task.load(provenance.split, data_dir).examples
    }
    missing = [example_id for example_id in wanted if example_id not in found]
    if missing:
        raise TaskError(
            f"the {provenance.split} split of {task.name} in {data_dir or 'its usual place'} lacks "
            f"{len(missing)} of {len(wanted)} examples of the kept corpus, such as {missing[0]}; "
            "the ids are hashes of the texts, so the data must be those that were searched: name "
            "their folder with --data-dir"
        )
    return found


def _read(kept: Path) -> tuple[Provenance, Mapping[str, Any], list[dict[str, Any]]]:
    path = kept / RECORDS_NAME
    if not path.is_file():
        raise CorpusError(
            f"{kept} holds no {RECORDS_NAME}; write it from a corpus: router-train study keep RUN "
            f"{kept}"
        )
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
        metadata = table.schema.metadata or {}
        about = json.loads(metadata.get(KEPT_KEY, b"{}"))
        provenance = Provenance.from_json(metadata.get(PROVENANCE_KEY, b"{}"), str(path))
        num_layers, evidence = provenance.num_layers, bool(provenance.evidence)
        known = is_corpus_schema(table.schema, num_layers, evidence=evidence, without=TEXT_COLUMNS)
        if about.get("schema") != KEPT_SCHEMA or not known:
            raise CorpusError("its columns are not those of a kept corpus of this version")
        return provenance, about, table.to_pylist()
    except (pa.ArrowException, OSError, ValueError, CorpusError) as error:
        raise CorpusError(
            f"{path} is damaged: {error}; restore the file, or keep the corpus again"
        ) from error


def _kept_schema(provenance: Provenance) -> Any:
    whole = corpus_schema(provenance.num_layers, evidence=bool(provenance.evidence))
    return pa.schema([field for field in whole if field.name not in TEXT_COLUMNS])


def _without_texts(record: ExampleRecord) -> dict[str, Any]:
    row = _map_outputs(row_of(record), lambda text: _encode(text, record.example))
    return {name: value for name, value in row.items() if name not in TEXT_COLUMNS}


def _with_texts(row: Mapping[str, Any], example: Example, num_layers: int) -> ExampleRecord:
    texts = {name: getattr(example, name) for name in TEXT_COLUMNS}
    try:
        return record_of(
            {**_map_outputs(row, lambda text: _decode(text, example)), **texts}, num_layers
        )
    except (InvalidValueError, KeyError, TypeError) as error:
        raise CorpusError(
            f"the kept row of example {example.example_id} is damaged: {error}"
        ) from error


def _map_outputs(value: Any, change: Callable[[str], str], key: str = "") -> Any:
    """A row in which every output is changed, wherever it is nested."""
    if isinstance(value, Mapping):
        return {name: _map_outputs(item, change, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_map_outputs(item, change, key) for item in value]
    return (
        change(value)
        if key in ("output", "evaluated_outputs") and isinstance(value, str)
        else value
    )


def _with_outputs(
    table: PathTable, examples: Mapping[str, Example], change: Callable[[str, Example], str]
) -> PathTable:
    def changed(row: PathTableRow) -> PathTableRow:
        if row.verdict is None:
            return row
        output = change(row.verdict.output, examples[row.example_id])
        return replace(row, verdict=replace(row.verdict, output=output))

    return replace(table, rows=tuple(changed(row) for row in table.rows))


def _encode(text: str, example: Example) -> str:
    """``#2`` for the text of choice 2, ``=text`` for any other."""
    return f"#{example.choices.index(text)}" if text in example.choices else f"={text}"


def _decode(code: str, example: Example) -> str:
    if code.startswith("="):
        return code[1:]
    try:
        return example.choices[int(code.removeprefix("#"))]
    except (ValueError, IndexError) as error:
        raise CorpusError(
            f"the kept output {code!r} of example {example.example_id} names no choice"
        ) from error
