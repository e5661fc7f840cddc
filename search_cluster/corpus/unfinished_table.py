"""The unfinished file beside a path table: it keeps the verdicts that the table lacks.

They come from cross-executions that were interrupted and from larger tables, and the next
cross-execution takes them up.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from search_cluster.corpus.path_table import (
    PATH_TABLE_NAME,
    KnownVerdict,
    PathTable,
    PathTableProvenance,
    PathTableRow,
    read_any_path_table,
    write_path_table,
)
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.verdict import Verdict

UNFINISHED_NAME = "menu-unfinished.parquet"
"""The file's name in the corpus folder."""


def finish_path_table(folder: Path, table: PathTable, known: Sequence[KnownVerdict]) -> Path:
    """Write a complete table in place of another, and return its file.

    No verdict is lost at whatever moment the process ends.

    Args:
        folder: the folder of the corpus.
        table: the complete table.
        known: what `known_verdicts` gave before; what the table lacks stays in the unfinished file.

    Raises:
        CorpusError: the operating system refused.
    """
    # All verdicts lie in the unfinished file before the old table is replaced.
    keep_unfinished(folder, table.provenance, [*known, *table.verdicts()])
    target = write_path_table(folder, table)
    finished = {(example_id, path) for example_id, path, _ in table.verdicts()}
    keep_unfinished(folder, table.provenance, [item for item in known if item[:2] not in finished])
    return target


def keep_unfinished(
    folder: Path, provenance: PathTableProvenance, verdicts: Iterable[KnownVerdict]
) -> None:
    """Make the unfinished file hold these verdicts and no others; without any the file is removed.

    Args:
        folder: the folder of the corpus.
        provenance: what the table that is being computed depends on. The file names the paths of
            the verdicts instead of the provenance's own.
        verdicts: the verdicts, all of the provenance's context. Of two on one pair the first wins.

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
    table = PathTable(
        provenance=replace(provenance, paths=tuple(map(str, places))),
        paths=tuple(places),
        rows=tuple(sorted(rows, key=lambda row: (row.example_id, row.path_index))),
    )
    write_path_table(folder, table, UNFINISHED_NAME)


def known_verdicts(folder: Path, verdict_context: str) -> Iterator[KnownVerdict]:
    """The verdicts of one context in the tables of a corpus folder, finished or not.

    Raises:
        CorpusError: a table is damaged, or of another version.
    """
    for path in (folder / PATH_TABLE_NAME, folder / UNFINISHED_NAME):
        if path.is_file():
            table = read_any_path_table(path)
            if table.provenance.corpus.verdict_context == verdict_context:
                yield from table.verdicts()
