"""The files of a scan's folder: all verdicts, looks at test, and the digest of both."""

import dataclasses
from pathlib import Path

import pytest

from search_cluster.errors import ConfigError, CorpusError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import Failure
from search_cluster.scan.digest import scan_digest
from search_cluster.scan.edits import Edit, path_of_edits
from search_cluster.scan.table import (
    SCAN_TABLE_NAME,
    UNFINISHED_SCAN_NAME,
    ScanContext,
    ScanRow,
    ScanTable,
    finish_scan_table,
    known_rows,
    read_scan_table,
    write_scan_table,
)
from search_cluster.scan.uses import TEST_USES_NAME, TestUse, count_test_use
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

IDENTITY = LayerPath.identity(6)
SKIP = path_of_edits([Edit(2, 4, 0)], 6)
CONTEXT = ScanContext(
    model="m", model_fingerprint="f", num_layers=6, contexts={"capitals": "c1", "elements": "e1"}
)
VERDICT = Verdict(reward=1 / 3, margin=-0.5, output="Rome \ud800", num_layer_tokens=60)


def row(example_id: str, path: LayerPath = SKIP, split: str = "train") -> ScanRow:
    return ScanRow(split=split, task="capitals", example_id=example_id, path=path, outcome=VERDICT)


def table(*rows: ScanRow) -> ScanTable:
    found = ScanTable(CONTEXT)
    for item in rows:
        found.add(item)
    return found


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    failed = dataclasses.replace(row("b"), outcome=Failure(kind="NaN", message="no\nnumber"))
    written = table(row("a"), failed, row("a", IDENTITY, "test"))
    found = read_scan_table(write_scan_table(tmp_path, written))
    assert found.context == CONTEXT
    assert set(found.rows) == set(written.rows)
    assert found.rows["b", SKIP] == failed
    assert found.rows["a", IDENTITY].split == "test"
    kept = found.rows["a", SKIP].outcome
    assert kept == dataclasses.replace(VERDICT, output="Rome \ufffd")
    assert len(list(found.verdicts())) == 2


def test_what_a_finished_table_lacks_stays_in_the_unfinished_file(tmp_path: Path) -> None:
    finish_scan_table(tmp_path, table(row("a")), known=table(row("a"), row("b")))
    assert set(read_scan_table(tmp_path / SCAN_TABLE_NAME).rows) == {("a", SKIP)}
    assert set(read_scan_table(tmp_path / UNFINISHED_SCAN_NAME).rows) == {("b", SKIP)}
    assert set(known_rows(tmp_path, CONTEXT).rows) == {("a", SKIP), ("b", SKIP)}
    finish_scan_table(tmp_path, table(row("a"), row("b")), known=known_rows(tmp_path, CONTEXT))
    assert not (tmp_path / UNFINISHED_SCAN_NAME).exists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model_fingerprint": "g"}, "fingerprint f, and m has g; choose another run folder"),
        ({"contexts": {"capitals": "c2"}}, "context c1, this program's have c2"),
    ],
)
def test_verdicts_of_another_model_or_context_are_refused(
    tmp_path: Path, change: dict[str, object], complaint: str
) -> None:
    write_scan_table(tmp_path, table(row("a")))
    with pytest.raises(ConfigError, match=complaint):
        known_rows(tmp_path, dataclasses.replace(CONTEXT, **change))  # type: ignore[arg-type]


def test_other_tasks_of_the_same_model_may_join(tmp_path: Path) -> None:
    write_scan_table(tmp_path, table(row("a")))
    other = dataclasses.replace(CONTEXT, contexts={"arithmetic": "x"})
    assert len(known_rows(tmp_path, other).rows) == 1


def test_a_damaged_table_is_told(tmp_path: Path) -> None:
    (tmp_path / SCAN_TABLE_NAME).write_bytes(b"PAR1 nothing")
    with pytest.raises(CorpusError, match="is damaged"):
        known_rows(tmp_path, CONTEXT)


def test_the_digest_tells_verdicts_and_choice_and_nothing_else() -> None:
    base = scan_digest(table(row("a"), row("b")), [SKIP], SKIP)
    assert base == scan_digest(table(row("b"), row("a")), [SKIP], SKIP)
    noisy = dataclasses.replace(row("b"), outcome=dataclasses.replace(VERDICT, margin=-0.6))
    assert base == scan_digest(table(row("a"), noisy), [SKIP], SKIP)
    wrong = dataclasses.replace(row("b"), outcome=dataclasses.replace(VERDICT, reward=0.0))
    others = (
        scan_digest(table(row("a"), wrong), [SKIP], SKIP),
        scan_digest(table(row("a")), [SKIP], SKIP),
        scan_digest(table(row("a"), row("b")), [SKIP, IDENTITY], SKIP),
        scan_digest(table(row("a"), row("b")), [SKIP], IDENTITY),
    )
    assert len({base, *others}) == 5


def questions(count: int) -> list[Example]:
    return [
        Example(task="t", question=str(number), gold="g", split="test", source="s")
        for number in range(count)
    ]


def test_looks_at_test_are_counted_unless_they_ask_nothing_new(tmp_path: Path) -> None:
    def look(paths: list[LayerPath], count: int = 9) -> int:
        return count_test_use(tmp_path, TestUse.of(paths, questions(count), at="now"))

    assert look([SKIP, IDENTITY]) == 1
    assert look([IDENTITY, SKIP]) == 1
    assert look([SKIP]) == 1
    other = path_of_edits([Edit(0, 1, 2)], 6)
    assert look([SKIP, other]) == 2
    assert look([SKIP], 10) == 3
    assert look([]) == 3
    assert len((tmp_path / TEST_USES_NAME).read_text().splitlines()) == 3


def test_a_damaged_count_of_looks_is_told(tmp_path: Path) -> None:
    (tmp_path / TEST_USES_NAME).write_text("[]\n")
    with pytest.raises(CorpusError, match="looks at test can't be counted"):
        count_test_use(tmp_path, TestUse.of([SKIP], questions(1), at="now"))
