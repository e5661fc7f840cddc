"""All that the paths of a scan answered: ``scan.parquet``, a row per pair of path and question.

While a scan runs the rows lie in an unfinished file beside it, which the next run takes up. What
the verdicts depend on lies in the metadata of the Parquet file.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ConfigDict, TypeAdapter, ValidationError

from search_cluster.errors import ConfigError, CorpusError, InvalidValueError
from search_cluster.files import replaced_whole, storable_text
from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import Failure
from search_cluster.tasks.verdict import Verdict

SCAN_TABLE_NAME = "scan.parquet"
"""The file's name in the run folder."""
UNFINISHED_SCAN_NAME = "scan-unfinished.parquet"
"""The name of what an unfinished scan, or one with other settings, knows."""
SCAN_TABLE_SCHEMA = 1
"""The version of the columns and of the metadata."""
SCAN_TABLE_KEY = b"search_cluster.scan"
"""The key of the metadata."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanContext:
    """What the verdicts of a folder depend on, beside question and path."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema: int = SCAN_TABLE_SCHEMA
    """The version of the columns."""
    model: str
    """As the settings name it."""
    model_fingerprint: str
    num_layers: int
    contexts: dict[str, str]
    """The namespace of the verdicts of each task (`search_cluster.cache.keys.VerdictContext`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRow:
    """A path on a question."""

    split: str
    """What the question was for: ``train``, ``validation``, ``test`` or ``guard``."""
    task: str
    example_id: str
    path: LayerPath
    outcome: Verdict | Failure


@dataclass(slots=True)
class ScanTable:
    """The rows so far, each pair once."""

    context: ScanContext
    rows: dict[tuple[str, LayerPath], ScanRow] = field(default_factory=dict)

    def add(self, row: ScanRow) -> None:
        """Take a row; of two for one pair the first stays."""
        self.rows.setdefault((row.example_id, row.path), row)

    def with_rows_of(self, other: "ScanTable") -> "ScanTable":
        """A table that has the other's rows, too, where it has none of its own."""
        return ScanTable(self.context, other.rows | self.rows)

    def without_rows_of(self, other: "ScanTable") -> "ScanTable":
        """A table of the pairs that the other does not have."""
        return ScanTable(
            self.context, {key: row for key, row in self.rows.items() if key not in other.rows}
        )

    def in_order(self) -> list[ScanRow]:
        """The rows, sorted by split, task, example and path."""
        return sorted(
            self.rows.values(),
            key=lambda row: (row.split, row.task, row.example_id, row.path.layers),
        )

    def outcomes(self) -> dict[tuple[str, LayerPath], Verdict | Failure]:
        """What came of each pair."""
        return {key: row.outcome for key, row in self.rows.items()}

    def verdicts(self) -> Iterator[tuple[str, LayerPath, Verdict]]:
        """The verdicts among the rows."""
        for row in self.rows.values():
            if isinstance(row.outcome, Verdict):
                yield row.example_id, row.path, row.outcome


def write_scan_table(folder: Path, table: ScanTable, name: str = SCAN_TABLE_NAME) -> Path:
    """Write a table, atomically, and return its file.

    Raises:
        CorpusError: the operating system refused.
    """
    target = folder / name
    schema = _SCHEMA.with_metadata({SCAN_TABLE_KEY: _CONTEXT.dump_json(table.context)})
    columns = pa.Table.from_pylist([_columns(row) for row in table.in_order()], schema=schema)
    with replaced_whole(target) as temporary:
        pq.write_table(columns, temporary, compression="zstd")
    return target


def read_scan_table(path: Path) -> ScanTable:
    """The table in a file.

    Raises:
        CorpusError: the file is missing, damaged, or of another version.
    """
    try:
        with pq.ParquetFile(path) as file:
            columns = file.read()
        metadata = columns.schema.metadata or {}
        context = _CONTEXT.validate_json(metadata.get(SCAN_TABLE_KEY, b"{}"))
        if context.schema != SCAN_TABLE_SCHEMA or not columns.schema.equals(_SCHEMA):
            raise CorpusError("its columns are not those of a scan of this version")
        table = ScanTable(context)
        paths: dict[str, LayerPath] = {}
        for values in columns.to_pylist():
            text = values["path"]
            if text not in paths:
                paths[text] = parse_path(text, context.num_layers)
            table.add(_row(values, paths[text]))
    except (pa.ArrowException, OSError, InvalidValueError, ValidationError, CorpusError) as error:
        raise CorpusError(
            f"{path} is damaged: {error}; delete it and run the same scan again"
        ) from error
    return table


def known_rows(folder: Path, context: ScanContext) -> ScanTable:
    """The rows that a folder has, finished or not; of one model and one context per task.

    Raises:
        ConfigError: they are of another model, or their context differs.
        CorpusError: a table is damaged.
    """
    known = ScanTable(context)
    for name in (SCAN_TABLE_NAME, UNFINISHED_SCAN_NAME):
        if (folder / name).is_file():
            table = read_scan_table(folder / name)
            _require_same(table.context, context, folder)
            known = known.with_rows_of(table)
    return known


def keep_unfinished_scan(folder: Path, table: ScanTable) -> None:
    """Make the unfinished file hold these rows and no others; without any it is removed.

    Raises:
        CorpusError: the operating system refused.
    """
    if table.rows:
        write_scan_table(folder, table, UNFINISHED_SCAN_NAME)
    else:
        (folder / UNFINISHED_SCAN_NAME).unlink(missing_ok=True)


def finish_scan_table(folder: Path, table: ScanTable, known: ScanTable) -> None:
    """Write the complete table in place of another; no row is lost whenever the process ends.

    Args:
        folder: the run folder.
        table: every pair that the scan asked for.
        known: rows of earlier runs; what the table lacks stays in the unfinished file.

    Raises:
        CorpusError: the operating system refused.
    """
    keep_unfinished_scan(folder, table.with_rows_of(known))
    write_scan_table(folder, table)
    keep_unfinished_scan(folder, known.without_rows_of(table))


def _require_same(found: ScanContext, wanted: ScanContext, folder: Path) -> None:
    if found.model_fingerprint != wanted.model_fingerprint:
        raise ConfigError(
            f"{folder} holds a scan of model {found.model} with the fingerprint "
            f"{found.model_fingerprint}, and {wanted.model} has {wanted.model_fingerprint}; choose "
            "another run folder"
        )
    for task, namespace in found.contexts.items():
        if wanted.contexts.get(task, namespace) != namespace:
            raise ConfigError(
                f"verdicts of {folder} on task {task} have the context {namespace}, this program's "
                f"have {wanted.contexts[task]}: the task, the prompting, the scoring or the "
                "machine's arithmetic differ; choose another run folder"
            )


_CONTEXT = TypeAdapter(ScanContext)
_SCHEMA = pa.schema(
    [
        ("split", pa.string()),
        ("task", pa.string()),
        ("example_id", pa.string()),
        ("path", pa.string()),
        ("layers", pa.int32()),
        ("reward", pa.float64()),
        ("margin", pa.float64()),
        ("output", pa.string()),
        ("num_layer_tokens", pa.int64()),
        ("failure_kind", pa.string()),
        ("failure", pa.string()),
    ]
)


def _columns(row: ScanRow) -> dict[str, Any]:
    outcome = row.outcome
    values = {
        "split": row.split,
        "task": row.task,
        "example_id": row.example_id,
        "path": str(row.path),
        "layers": len(row.path),
    }
    if isinstance(outcome, Failure):
        return values | {
            "failure_kind": outcome.kind,
            "failure": storable_text(outcome.message),
        }
    return values | {
        "reward": outcome.reward,
        "margin": outcome.margin,
        "output": storable_text(outcome.output),
        "num_layer_tokens": outcome.num_layer_tokens,
    }


def _row(values: dict[str, Any], path: LayerPath) -> ScanRow:
    outcome: Verdict | Failure
    if values["reward"] is None:
        outcome = Failure(kind=values["failure_kind"] or "", message=values["failure"] or "")
    else:
        outcome = Verdict(
            reward=values["reward"],
            margin=values["margin"],
            output=values["output"],
            num_layer_tokens=values["num_layer_tokens"],
        )
    return ScanRow(
        split=values["split"],
        task=values["task"],
        example_id=values["example_id"],
        path=path,
        outcome=outcome,
    )
