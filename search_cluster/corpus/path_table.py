"""The full table of paths: every path of a menu on every example, in one file beside the corpus.

A row is one pair of example and path. Rows are sorted by example id, then by the path's place on
the menu. A pair without a verdict has a row that says why. The provenance lies in the metadata of
the Parquet file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ConfigDict, TypeAdapter, ValidationError

from search_cluster.corpus.manifest import Provenance
from search_cluster.corpus.schema import layer_type
from search_cluster.errors import CorpusError, InvalidValueError
from search_cluster.files import replaced_whole, storable_text
from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.verdict import Verdict

PATH_TABLE_NAME = "menu.parquet"
"""The file's name in the corpus folder."""
PATH_TABLE_SCHEMA = 1
"""The version of the columns and of the provenance."""
PATH_TABLE_KEY = b"search_cluster.menu"
"""The key of the provenance in the metadata of the file's schema."""

KnownVerdict = tuple[str, LayerPath, Verdict]
"""An example id, a path, and what the path answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathTableProvenance:
    """Everything that a table depends on."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema: int = PATH_TABLE_SCHEMA
    """The version of the columns and of the provenance."""
    corpus: Provenance
    """What the corpus depends on from which paths and examples come: model, task, seed and more."""
    corpus_digest: str
    """The digest of that corpus."""
    menu_size: int
    """How many paths were asked for, identity included; the menu may hold fewer."""
    limit: int | None
    """The largest number of examples, drawn by the corpus' seed; ``None`` stands for all."""
    picked_by: str
    """How the paths were chosen (`search_cluster.corpus.coverage.PICKED_BY`)."""
    credible: bool | None = None
    """Whether the chosen paths had to prove themselves, because the corpus' preset asked for
    evidence. Paths that were asked for by name had not. ``None`` stands in tables that were written
    before this was recorded."""
    paths: tuple[str, ...]
    """The menu in its order, identity first, each path as `LayerPath` writes itself."""
    versions: dict[str, str]
    """The versions of search-cluster, torch, transformers and python that computed the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathTableRow:
    """One path of the menu on one example."""

    example_id: str
    """The id of the example."""
    path_index: int
    """The path's place on the menu; identity has place 0."""
    verdict: Verdict | None
    """What the path answered; ``None`` if there is no verdict, and then ``failure`` says why."""
    failure: str = ""
    """The kind of the failure and its message; empty if there is a verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathTable:
    """A table, immutable; complete if `read_path_table` gave it."""

    provenance: PathTableProvenance
    """What the table depends on."""
    paths: tuple[LayerPath, ...]
    """The menu, identity first."""
    rows: tuple[PathTableRow, ...]
    """The rows, sorted by example id, then by place."""

    def by_example(self) -> dict[str, tuple[PathTableRow, ...]]:
        """The rows of each example id, one row per path, in the menu's order."""
        return {
            key: tuple(rows) for key, rows in groupby(self.rows, key=lambda row: row.example_id)
        }

    def verdicts(self) -> Iterator[KnownVerdict]:
        """The verdicts among the rows, in their order."""
        for row in self.rows:
            if row.verdict is not None:
                yield row.example_id, self.paths[row.path_index], row.verdict


def write_path_table(folder: Path, table: PathTable, name: str = PATH_TABLE_NAME) -> Path:
    """Write a table into a corpus folder, atomically, and return its file.

    Raises:
        CorpusError: the operating system refused.
    """
    target = folder / name
    num_layers = table.provenance.corpus.num_layers
    provenance = _PROVENANCE.dump_json(table.provenance)
    schema = _schema(num_layers).with_metadata({PATH_TABLE_KEY: provenance})
    columns = pa.Table.from_pylist(
        [_columns(row, table.paths[row.path_index]) for row in table.rows], schema=schema
    )
    with (
        replaced_whole(target) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        writer.write_table(columns)
    return target


def read_path_table(folder: Path) -> PathTable:
    """The complete table in a corpus folder.

    Raises:
        CorpusError: there is no table, or it is incomplete, damaged, or of another version.
    """
    path = folder / PATH_TABLE_NAME
    if not path.is_file():
        raise CorpusError(
            f"{folder} has no {PATH_TABLE_NAME}; write it with "
            f"`search-cluster crossexec {folder} --menu 16`"
        )
    table = read_any_path_table(path)
    places = list(range(len(table.paths)))
    for example_id, rows in table.by_example().items():
        if [row.path_index for row in rows] != places:
            raise CorpusError(
                f"{path} is incomplete: example {example_id} has {len(rows)} rows for "
                f"{len(places)} paths; delete it and run `search-cluster crossexec` again"
            )
    return table


def read_any_path_table(path: Path) -> PathTable:
    """The table in a file, which may lack rows.

    Raises:
        CorpusError: the file is damaged, or of another version.
    """
    try:
        with pq.ParquetFile(path) as file:
            columns = file.read()
        metadata = columns.schema.metadata or {}
        provenance = _PROVENANCE.validate_json(metadata.get(PATH_TABLE_KEY, b"{}"))
        num_layers = provenance.corpus.num_layers
        is_known = provenance.schema == PATH_TABLE_SCHEMA
        if not is_known or not columns.schema.equals(_schema(num_layers)):
            raise CorpusError("its columns are not those of a path table of this version")
        paths = tuple(parse_path(text, num_layers) for text in provenance.paths)
        rows = tuple(_row(values, paths) for values in columns.to_pylist())
    except (
        pa.ArrowException,
        OSError,
        InvalidValueError,
        CorpusError,
        TypeError,
        ValidationError,
    ) as error:
        raise CorpusError(
            f"{path} is damaged: {error}; delete it and run `search-cluster crossexec` again"
        ) from error
    return PathTable(provenance=provenance, paths=paths, rows=rows)


_PROVENANCE = TypeAdapter(PathTableProvenance)


def _schema(num_layers: int) -> Any:
    return pa.schema(
        [
            ("example_id", pa.string()),
            ("path_index", pa.int32()),
            ("path", pa.string()),
            ("layers", pa.list_(layer_type(num_layers))),
            ("reward", pa.float32()),
            ("margin", pa.float64()),
            ("output", pa.string()),
            ("num_layer_tokens", pa.int64()),
            ("failure", pa.string()),
        ]
    )


def _columns(row: PathTableRow, path: LayerPath) -> dict[str, Any]:
    verdict = row.verdict
    return {
        "example_id": row.example_id,
        "path_index": row.path_index,
        "path": str(path),
        "layers": list(path.layers),
        "reward": None if verdict is None else verdict.reward,
        "margin": None if verdict is None else verdict.margin,
        "output": None if verdict is None else storable_text(verdict.output),
        "num_layer_tokens": None if verdict is None else verdict.num_layer_tokens,
        "failure": None if verdict is not None else storable_text(row.failure),
    }


def _row(columns: Mapping[str, Any], paths: tuple[LayerPath, ...]) -> PathTableRow:
    index = columns["path_index"]
    if not 0 <= index < len(paths) or tuple(columns["layers"]) != paths[index].layers:
        raise CorpusError(
            f"example {columns['example_id']} has a row of path {columns['path']} at place {index}"
        )
    verdict = None
    if columns["reward"] is not None:
        verdict = Verdict(
            reward=columns["reward"],
            margin=columns["margin"],
            output=columns["output"],
            num_layer_tokens=columns["num_layer_tokens"],
        )
    return PathTableRow(
        example_id=columns["example_id"],
        path_index=index,
        verdict=verdict,
        failure=columns["failure"] or "",
    )
