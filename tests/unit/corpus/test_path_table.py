"""The table of paths on disk: it comes back as it was written, and what is damaged says so."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from search_cluster.corpus.manifest import Provenance
from search_cluster.corpus.path_table import (
    PATH_TABLE_KEY,
    PATH_TABLE_NAME,
    PathTable,
    PathTableProvenance,
    PathTableRow,
    read_path_table,
    write_path_table,
)
from search_cluster.corpus.unfinished_table import (
    UNFINISHED_NAME,
    finish_path_table,
    keep_unfinished,
    known_verdicts,
)
from search_cluster.errors import CorpusError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.verdict import Verdict

PATHS = (LayerPath.identity(6), LayerPath((0, 2, 2, 1, 5), 6))


@pytest.fixture
def table(provenance: Provenance) -> PathTable:
    def verdict(reward: float, margin: float | None) -> Verdict:
        return Verdict(reward=reward, margin=margin, output="Ünï\ud800code", num_layer_tokens=70)

    return PathTable(
        provenance=PathTableProvenance(
            corpus=replace(provenance, verdict_context="beef"), corpus_digest="d" * 64, menu_size=4,
            limit=None, picked_by="hand", paths=tuple(map(str, PATHS)), versions={"python": "3.11"},
        ),
        paths=PATHS,
        rows=(
            PathTableRow(example_id="a", path_index=0, verdict=verdict(1.0, 0.25)),
            PathTableRow(
                example_id="a", path_index=1, verdict=None,
                failure="NonFiniteLogitsError: NaN in row 0",
            ),
            PathTableRow(example_id="b", path_index=0, verdict=verdict(0.0, None)),
            PathTableRow(example_id="b", path_index=1, verdict=verdict(1.0, -1e-9)),
        ),
    )  # fmt: skip


def test_a_table_comes_back_as_it_was_written(table: PathTable, tmp_path: Path) -> None:
    assert write_path_table(tmp_path, table) == tmp_path / PATH_TABLE_NAME
    read = read_path_table(tmp_path)
    assert read.provenance == table.provenance
    assert read.paths == PATHS
    assert [row.verdict and row.verdict.margin for row in read.rows] == [0.25, None, None, -1e-9]
    assert read.rows[0].verdict == replace(table.rows[0].verdict, output="Ünï\ufffdcode")
    assert read.rows[1] == table.rows[1]
    assert [[row.path_index for row in rows] for rows in read.by_example().values()] == [
        [0, 1],
        [0, 1],
    ]


def test_a_table_of_before_credibility_was_recorded_is_read(
    table: PathTable, tmp_path: Path
) -> None:
    assert write_path_table(
        tmp_path, replace(table, provenance=replace(table.provenance, credible=True))
    )
    assert read_path_table(tmp_path).provenance.credible is True
    columns = pq.read_table(tmp_path / PATH_TABLE_NAME)
    recorded = json.loads(columns.schema.metadata[PATH_TABLE_KEY])
    del recorded["credible"]
    pq.write_table(
        columns.replace_schema_metadata({PATH_TABLE_KEY: json.dumps(recorded)}),
        tmp_path / PATH_TABLE_NAME,
    )
    assert read_path_table(tmp_path).provenance.credible is None


def test_other_programs_read_paths_and_rewards(table: PathTable, tmp_path: Path) -> None:
    columns = pq.read_table(write_path_table(tmp_path, table)).to_pydict()
    assert columns["path"][:2] == ["0-5", "0,2,2,1,5"]
    assert columns["layers"][1] == [0, 2, 2, 1, 5]
    assert columns["reward"] == [1.0, None, 0.0, 1.0]
    assert columns["failure"] == [None, "NonFiniteLogitsError: NaN in row 0", None, None]


def test_an_incomplete_table_is_refused_but_its_verdicts_serve(
    table: PathTable, tmp_path: Path
) -> None:
    unfinished = replace(table, rows=table.rows[:3])
    write_path_table(tmp_path, unfinished)
    with pytest.raises(
        CorpusError, match="is incomplete: example b has 1 rows for 2 paths; delete it"
    ):
        read_path_table(tmp_path)
    write_path_table(tmp_path, replace(table, rows=table.rows[3:]), UNFINISHED_NAME)
    assert [(key, path) for key, path, _ in known_verdicts(tmp_path, "beef")] == [
        ("a", PATHS[0]), ("b", PATHS[0]), ("b", PATHS[1])
    ]  # fmt: skip
    assert list(known_verdicts(tmp_path, "another")) == []


def test_the_unfinished_file_holds_what_the_table_lacks(table: PathTable, tmp_path: Path) -> None:
    whole = list(table.verdicts())
    keep_unfinished(tmp_path, table.provenance, [*whole[1:], *whole])
    known = list(known_verdicts(tmp_path, "beef"))
    assert [item[:2] for item in known] == [item[:2] for item in whole]
    finish_path_table(tmp_path, replace(table, rows=table.rows[:2]), known)
    assert set(read_path_table(tmp_path).by_example()) == {"a"}
    assert list(known_verdicts(tmp_path, "beef")) == known
    finish_path_table(tmp_path, table, known)
    assert [path.name for path in tmp_path.iterdir()] == [PATH_TABLE_NAME]


def test_a_table_that_cannot_be_written_loses_nothing(table: PathTable, tmp_path: Path) -> None:
    known = list(table.verdicts())[:1]
    keep_unfinished(tmp_path, table.provenance, known)
    (tmp_path / PATH_TABLE_NAME).mkdir()
    with pytest.raises(CorpusError, match="can't write"):
        finish_path_table(tmp_path, table, known)
    assert len(list(known_verdicts(tmp_path, "beef"))) == 3


def test_a_missing_table_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(
        CorpusError,
        match=r"has no menu\.parquet; write it with `search-cluster crossexec .* --menu 16`",
    ):
        read_path_table(tmp_path)
    assert list(known_verdicts(tmp_path, "beef")) == []


def test_a_damaged_table_says_so(table: PathTable, tmp_path: Path) -> None:
    path = write_path_table(tmp_path, table)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(
        CorpusError,
        match=r"menu\.parquet is damaged: .*; delete it and run `search-cluster crossexec`",
    ):
        read_path_table(tmp_path)
    columns = pq.read_table(write_path_table(tmp_path, table))
    swapped = columns.set_column(1, "path_index", [[1, 0, 0, 1]]).cast(columns.schema)
    pq.write_table(swapped, path)
    with pytest.raises(CorpusError, match="example a has a row of path 0-5 at place 1"):
        read_path_table(tmp_path)
    pq.write_table(columns.replace_schema_metadata({}), path)
    with pytest.raises(CorpusError, match="is damaged"):
        read_path_table(tmp_path)


def test_a_write_that_fails_leaves_the_old_table(
    table: PathTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_path_table(tmp_path, table)

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(CorpusError, match="No space left on device"):
        write_path_table(tmp_path, replace(table, rows=table.rows[:2]))
    monkeypatch.undo()
    assert len(read_path_table(tmp_path).rows) == 4
    assert [path.name for path in tmp_path.iterdir()] == [PATH_TABLE_NAME]
