"""What a scan prints: the verdict first, tables that fit, a map of characters."""

import io
from dataclasses import replace

import pytest
from rich.console import Console
from support.scans import ScanSimulation, scan_result, single_edits

from search_cluster.report.scan.terminal import MARGIN, print_scan, text_map
from search_cluster.report.scan.verdict import verdict_line
from search_cluster.scan.edits import Edit
from search_cluster.scan.result import LeftOut, ScanResult


def printed(result: ScanResult, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_scan(console, result, {})
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("is_sure", [True, False])
def test_the_verdict_comes_first_and_everything_fits_80_columns(is_sure: bool) -> None:
    result = scan_result(is_sure=is_sure)
    text = printed(result)
    assert " ".join(text.split()).startswith(verdict_line(result))
    assert text.startswith("skip 14-19 is better" if is_sure else "plain model: nothing is sure;")
    assert all(len(line) <= 80 for line in text.splitlines())
    for title in ("Best paths of the search", "The race", "Finalists", "Costs", "Guards"):
        assert title in text
    assert "by chance would show +21.3 points on these 32 questions" in " ".join(text.split())
    assert "Uses of test: 1." in " ".join(text.split())


def test_a_search_that_was_cut_short_says_so() -> None:
    assert "ended the search" not in printed(scan_result())
    cut = " ".join(printed(replace(scan_result(), stopped_by="budget")).split())
    assert "The limit of budget ended the search before its plan: fewer paths met fewer" in cut


def test_test_is_fresh_once() -> None:
    assert "train chose them, test is fresh" in " ".join(printed(scan_result()).split())
    again = " ".join(printed(replace(scan_result(), test_uses=3)).split())
    assert "train chose them, test was looked at 3 times" in again
    assert "is fresh" not in again


def test_questions_that_count_for_nobody_are_printed() -> None:
    result = scan_result()
    assert "could not answer" not in printed(result)
    left_out = LeftOut(split="test", num_questions=12, num_asked=474, cause="PromptTooLongError")
    text = " ".join(printed(replace(result, left_out=(left_out,))).split())
    assert "The plain model could not answer 12 of 474 questions of test, which count for" in text


def test_the_tables_have_the_numbers() -> None:
    result = scan_result()
    lines = [line.split() for line in printed(result).splitlines()]
    rung = result.rungs[1]
    assert ["single", "edits", "96", str(rung.num_paths), "0", str(rung.num_kept)] in lines
    first = result.finalists[0]
    wanted = ["1", "skip", "14-19", f"{100 * first.summary.train.gain:+.1f}"]
    found = next(line for line in lines if line[:4] == wanted)
    assert found[-3:] == [
        f"{100 * first.test.low:+.1f}", "to", f"{100 * first.test.high:+.1f}",
    ]  # fmt: skip


def test_the_map_has_a_mark_for_each_cell() -> None:
    made = ScanSimulation(num_layers=4)

    def item(edit: Edit, *, low: float = -1, high: float = 1, shrunk: float = 0, wreck=False):
        summary = made.candidate([edit], 32, 9)
        train = replace(summary.train, low=low, high=high)
        return replace(summary, train=train, shrunk=shrunk, is_wreck=wreck)

    rows = text_map(
        [
            item(Edit(0, 1, 2), low=0.01),
            item(Edit(0, 4, 2), high=-0.01),
            item(Edit(1, 3, 2), shrunk=0.01),
            item(Edit(2, 3, 2), shrunk=0.009),
            item(Edit(0, 2, 0), shrunk=-0.02),
            item(Edit(3, 4, 0), wreck=True),
        ],
        4,
        80,
    )
    assert rows == (
        "     0",
        "  0  \\ #     x",
        "  1    \\   +",
        "  2  -   \\ .",
        "  3        \\",
        "  4        x \\",
    )


def test_the_columns_of_the_map_are_numbered_where_they_stand() -> None:
    made = ScanSimulation()
    items = [made.candidate([edit], 32, 929) for edit in single_edits(30)]
    head = text_map(items, 30, 80)[0]
    for column in range(0, 31, 5):
        label = str(column)
        end = MARGIN + 2 * (column + 1)
        assert head[end - len(label) : end] == label, column
    assert len(text_map(items, 30, 66)[1]) == 66
    assert len(text_map(items, 30, 65)[1]) == 35, "one character a cell"
    assert text_map(items, 30, 34) == ()


def test_a_scan_of_a_list_has_no_map_and_hostile_names_are_texts() -> None:
    result = scan_result()
    listed = [replace(item, edits=(), path="[red]0-3,5[/red]") for item in result.candidates[:3]]
    text = printed(replace(result, candidates=tuple(listed), finalists=()))
    assert "repeats above the diagonal" not in text
    assert "path [red]0-3,5[/red]" in text
    assert "no path was worth a look" in " ".join(text.split())
