"""The full table of a menu: every path of the menu on every example, one Parquet file beside the corpus.

One row per (example, path), sorted by example id, then by the path's place on the menu. A pair without a verdict has a
row that says why. The file's metadata hold the provenance.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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

MENU_NAME = "menu.parquet"
"""In the corpus folder."""
UNFINISHED_NAME = "menu-unfinished.parquet"
"""Beside it: verdicts that it lacks, of interrupted cross-executions and of larger tables, for the next one."""
MENU_SCHEMA = 1
"""Version of the columns and of the provenance."""
MENU_KEY = b"search_cluster.menu"
"""Key of the provenance in the metadata of the file's schema."""

KnownVerdict = tuple[str, LayerPath, Verdict]
"""Example id, path, and what it answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathTableProvenance:
    """Everything that a table depends on."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema: int = MENU_SCHEMA
    corpus: Provenance
    """Of the corpus whose paths and examples these are: model, task, seed and more."""
    corpus_digest: str
    menu_size: int
    """Paths that were asked for, identity included; the menu may hold fewer."""
    limit: int | None
    """Examples at most, drawn by the corpus' seed; ``None``: all of the corpus."""
    picked_by: str
    """How the paths were chosen (`search_cluster.corpus.coverage.PICKED_BY`)."""
    credible: bool | None = None
    """Whether the paths chosen so had to prove themselves: the corpus' preset asked for evidence. Paths that were asked
    for by name had not. ``None`` in tables that were written before it was recorded."""
    paths: tuple[str, ...]
    """The menu in its order, identity first, each as `LayerPath` writes itself."""
    versions: dict[str, str]
    """Of search-cluster, torch, transformers and python, when the table was computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathTableRow:
    """One path of the menu on one example."""

    example_id: str
    path_index: int
    """Place on the menu; 0 is identity."""
    verdict: Verdict | None
    """``None``: there is none, and ``failure`` says why."""
    failure: str = ""
    """The kind of the failure and its message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathTable:
    """A table, immutable; complete where `read_menu` gave it."""

    provenance: PathTableProvenance
    paths: tuple[LayerPath, ...]
    """The menu, identity first."""
    rows: tuple[PathTableRow, ...]
    """Sorted by example id and place."""

    def by_example(self) -> dict[str, tuple[PathTableRow, ...]]:
        """Per example id its rows, one per path, in the menu's order."""
        return {key: tuple(rows) for key, rows in groupby(self.rows, key=lambda row: row.example_id)}

    def verdicts(self) -> Iterator[KnownVerdict]:
        """The verdicts among the rows, in their order."""
        for row in self.rows:
            if row.verdict is not None:
                yield row.example_id, self.paths[row.path_index], row.verdict


def write_menu(folder: Path, menu: PathTable, name: str = MENU_NAME) -> Path:
    """Write a table into a corpus folder, atomically; returns the file.

    Raises:
        CorpusError: the operating system refused.
    """
    target = folder / name
    num_layers = menu.provenance.corpus.num_layers
    schema = _schema(num_layers).with_metadata({MENU_KEY: _PROVENANCE.dump_json(menu.provenance)})
    table = pa.Table.from_pylist([_columns(row, menu.paths[row.path_index]) for row in menu.rows], schema=schema)
    with replaced_whole(target) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        writer.write_table(table)
    return target


def finish_menu(folder: Path, menu: PathTable, known: Sequence[KnownVerdict]) -> Path:
    """Write a complete table in place of another; at whatever moment the process ends, no verdict is lost.

    Args:
        folder: the corpus'.
        menu: the table.
        known: what `known_verdicts` gave before; what the table lacks stays in the unfinished file.

    Returns:
        The table's file.

    Raises:
        CorpusError: the operating system refused.
    """
    keep_unfinished(folder, menu.provenance, [*known, *menu.verdicts()])
    target = write_menu(folder, menu)
    finished = {(example_id, path) for example_id, path, _ in menu.verdicts()}
    keep_unfinished(folder, menu.provenance, [item for item in known if item[:2] not in finished])
    return target


def keep_unfinished(folder: Path, provenance: PathTableProvenance, verdicts: Iterable[KnownVerdict]) -> None:
    """Make the unfinished file hold these verdicts and no others; without any it goes.

    Args:
        folder: the corpus'.
        provenance: of the table that is being computed; the file names the paths of the verdicts instead of its own.
        verdicts: all of the provenance's context; of two of one pair the first wins.

    Raises:
        CorpusError: the operating system refused.
    """
    kept: dict[tuple[str, LayerPath], Verdict] = {}
    for example_id, path, verdict in verdicts:
        kept.setdefault((example_id, path), verdict)
    if not kept:
        (folder / UNFINISHED_NAME).unlink(missing_ok=True)
        return
    places = {path: place for place, path in enumerate(dict.fromkeys(path for _, path in kept))}
    rows = [
        PathTableRow(example_id=example_id, path_index=places[path], verdict=verdict)
        for (example_id, path), verdict in kept.items()
    ]
    menu = PathTable(
        provenance=replace(provenance, paths=tuple(map(str, places))),
        paths=tuple(places),
        rows=tuple(sorted(rows, key=lambda row: (row.example_id, row.path_index))),
    )
    write_menu(folder, menu, UNFINISHED_NAME)


def read_menu(folder: Path) -> PathTable:
    """The complete table in a corpus folder.

    Raises:
        CorpusError: there is none, it is damaged, or of another version.
    """
    path = folder / MENU_NAME
    if not path.is_file():
        raise CorpusError(f"{folder} has no {MENU_NAME}; write it with `search-cluster crossexec {folder} --menu 16`")
    menu = _read(path)
    places = list(range(len(menu.paths)))
    for example_id, rows in menu.by_example().items():
        if [row.path_index for row in rows] != places:
            raise CorpusError(
                f"{path} is incomplete: example {example_id} has {len(rows)} rows for {len(places)} paths; delete it "
                "and run `search-cluster crossexec` again"
            )
    return menu


def known_verdicts(folder: Path, verdict_context: str) -> Iterator[KnownVerdict]:
    """Verdicts of the tables of one context in a corpus folder, finished or not.

    Raises:
        CorpusError: a table is damaged, or of another version.
    """
    for path in (folder / MENU_NAME, folder / UNFINISHED_NAME):
        if path.is_file():
            menu = _read(path)
            if menu.provenance.corpus.verdict_context == verdict_context:
                yield from menu.verdicts()


def _read(path: Path) -> PathTable:
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
        provenance = _PROVENANCE.validate_json((table.schema.metadata or {}).get(MENU_KEY, b"{}"))
        num_layers = provenance.corpus.num_layers
        if provenance.schema != MENU_SCHEMA or not table.schema.equals(_schema(num_layers)):
            raise CorpusError("its columns are not those of a menu of this version")
        paths = tuple(parse_path(text, num_layers) for text in provenance.paths)
        rows = tuple(_row(columns, paths) for columns in table.to_pylist())
    except (pa.ArrowException, OSError, InvalidValueError, CorpusError, TypeError, ValidationError) as error:
        raise CorpusError(f"{path} is damaged: {error}; delete it and run `search-cluster crossexec` again") from error
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
        raise CorpusError(f"example {columns['example_id']} has a row of path {columns['path']} at place {index}")
    verdict = None
    if columns["reward"] is not None:
        verdict = Verdict(
            reward=columns["reward"],
            margin=columns["margin"],
            output=columns["output"],
            num_layer_tokens=columns["num_layer_tokens"],
        )
    return PathTableRow(
        example_id=columns["example_id"], path_index=index, verdict=verdict, failure=columns["failure"] or ""
    )
