"""The cards: splits side by side, on one scale."""

from dataclasses import replace

import pytest
from support.scans import scan_result

from search_cluster.report.scan.cards import CardRow, finalist_cards
from search_cluster.scan.result import ScanResult, Timing


@pytest.fixture(scope="module")
def result() -> ScanResult:
    return scan_result()


def test_train_shrunk_validation_and_test_stand_side_by_side(result: ScanResult) -> None:
    first, second, third, *_ = finalist_cards(result)
    assert [row.what for row in first.rows] == ["train", "shrunk", "validation", "test"]
    assert [row.what for row in third.rows] == ["train", "shrunk", "validation"]
    assert [row.what for row in first.guards] == ["arc_easy", "mmlu"]
    assert (first.number, first.title, first.path) == (1, "skip 14-19", "0-13,20-29")
    assert (first.is_chosen, second.is_chosen) == (True, False)
    train, shrunk, validation, test = first.rows
    assert train.note == "524 questions, 929 paths compared; chosen on it: flattered"
    assert validation.note.startswith("500 questions, 5 paths compared")
    assert test.note == "1,000 questions, 2 paths compared; fresh"
    standing = result.finalists[0].test
    assert test.gain == f"{100 * standing.gain:+.1f}"
    assert test.interval == f"{100 * standing.low:+.1f} to {100 * standing.high:+.1f}"
    assert test.right == f"{100 * standing.plain_accuracy:.1f} → {100 * standing.accuracy:.1f} %"
    assert (test.kind, shrunk.kind, shrunk.whisker) == ("right", "", None)
    assert shrunk.gain == f"{100 * result.finalists[0].summary.shrunk:+.1f}"


def test_test_is_called_fresh_at_the_first_look_only(result: ScanResult) -> None:
    again = finalist_cards(replace(result, test_uses=2))[0].rows[3]
    assert again.note == "1,000 questions, 2 paths compared; looked at 2 times"


def test_no_path_is_called_reported_where_nothing_is_sure() -> None:
    assert not any(card.is_chosen for card in finalist_cards(scan_result(is_sure=False)))


def whiskers(rows: tuple[CardRow, ...]):
    return [row.whisker for row in rows if row.whisker is not None]


def test_intervals_fit_into_the_scale_and_keep_their_order(result: ScanResult) -> None:
    for card in finalist_cards(result):
        shown = whiskers((*card.rows, *card.guards))
        assert len({whisker.zero for whisker in shown}) == 1
        for whisker in shown:
            assert 0 <= whisker.low < whisker.gain < whisker.high <= 100
        assert max(max(item.high - 50, 50 - item.low) for item in shown) == pytest.approx(
            50 / 1.05, abs=0.1
        ), "the widest interval fills the scale"


def test_what_a_path_saves_or_costs_is_in_words(result: ScanResult) -> None:
    finalist = result.finalists[0]
    timings = (
        Timing(batch=1, seconds=0.5, plain_seconds=1.0),
        Timing(batch=8, seconds=1.2, plain_seconds=1.0),
    )
    changed = replace(finalist, timings=timings, summary=replace(finalist.summary, layers=31))
    (card,) = finalist_cards(replace(result, finalists=(changed,)))
    assert card.saves == (
        "31 of 30 layers", "1 layer more (3%)", "50% less time at batch 1",
        "20% more time at batch 8",
    )  # fmt: skip
    bridged = replace(finalist, timings=(), summary=replace(finalist.summary, layers=26.28125))
    assert finalist_cards(replace(result, finalists=(bridged,)))[0].saves == (
        "26.28 of 30 layers",
        "3.72 layers fewer (12%)",
    )
    same = replace(finalist, timings=(), summary=replace(finalist.summary, layers=30))
    assert finalist_cards(replace(result, finalists=(same,)))[0].saves[1] == (
        "as many layers as the plain model"
    )


def test_tasks_of_test_have_rows_of_their_own(result: ScanResult) -> None:
    finalist = result.finalists[0]
    by_task = {"a": replace(finalist.test, low=-0.5, high=-0.1), "b": finalist.test}
    (card,) = finalist_cards(replace(result, finalists=(replace(finalist, test_by_task=by_task),)))
    assert [(row.what, row.kind) for row in card.rows[4:]] == [
        ("test of a", "wrong"), ("test of b", "right"),
    ]  # fmt: skip
