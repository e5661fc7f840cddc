"""What a scan found on a terminal: plain tables beneath one sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from search_cluster.paths.words import EDIT_WORDS
from search_cluster.report.scan.heat_map import block_map
from search_cluster.report.scan.tables import (
    finalist_rows,
    front_columns,
    front_rows,
    guard_rows,
    rung_rows,
    top_rows,
)
from search_cluster.report.scan.verdict import chance_line, cut_short_line, shown_line, verdict_line
from search_cluster.report.scan.words import is_better, is_worse
from search_cluster.scan.left_out import left_out_line
from search_cluster.scan.result import CandidateSummary, ScanResult
from search_cluster.telemetry.price import cost_text

NUM_TOP = 8
"""Paths in the table of the best."""
CLEAR = 0.01
"""A shrunk worth from which on a cell is marked."""
LEGEND = (
    "repeats above the diagonal (row i, column j), skips below it (row j, column i); # surely "
    "better, + and - shrunk worth of a point and more, . less, x surely worse or a wreck"
)
MARGIN = 4
"""Characters in front of a row of the map."""


def print_scan(console: Console, result: ScanResult, run: Mapping[str, Any]) -> None:
    """Print what a scan found: the verdict first, then the map, the race and the finalists.

    Args:
        console: where to.
        result: what the scan found.
        run: the sums of its sessions; missing keys are left out.
    """
    _say(console, verdict_line(result))
    _say(
        console,
        f"{chance_line(result)}. {shown_line(result)}. Uses of test: {result.test_uses}.",
    )
    for line in (cut_short_line(result), left_out_line(result.left_out)):
        if line:
            _say(console, line)
    _say(
        console,
        f"{result.verdicts:,} verdicts of {result.exhaustive_verdicts:,} that all paths on all "
        "questions would take.",
    )
    if (cost := cost_text(run)) is not None:
        _say(console, f"Cost: {cost}.")
    _say(console, EDIT_WORDS)
    rows = text_map(result.candidates, result.num_layers, console.width)
    if rows:
        console.print()
        for row in rows:
            _say(console, row)
        _say(console, LEGEND)
    for table in _tables(result):
        console.print()
        console.print(table)


def text_map(
    candidates: Sequence[CandidateSummary], num_layers: int, width: int
) -> tuple[str, ...]:
    """The heat map in characters; no row where there is no room for it, or nothing to show."""
    blocks = block_map(candidates, num_layers)
    size = num_layers + 1
    step = next((step for step in (2, 1) if MARGIN + step * size <= width), 0)
    if not blocks.cells or not step:
        return ()
    head = [" "] * (step * size)
    for column in range(0, size, 5):
        label = str(column)
        end = max(step * (column + 1), len(label))
        head[end - len(label) : end] = label
    rows = [" " * MARGIN + "".join(head).rstrip()]
    for row in range(size):
        marks = (
            "\\" if row == column else _mark(blocks.cells.get((row, column)))
            for column in range(size)
        )
        line = "".join(mark.rjust(step) for mark in marks)
        rows.append(f"{row:>{MARGIN - 1}} {line}".rstrip())
    return tuple(rows)


def _mark(items: Sequence[CandidateSummary] | None) -> str:
    if not items:
        return " "
    item = items[0]
    if is_better(item.train):
        return "#"
    if is_worse(item.train) or item.is_wreck:
        return "x"
    return "+" if item.shrunk >= CLEAR else "-" if item.shrunk <= -CLEAR else "."


def _tables(result: ScanResult) -> list[Table]:
    tables = [
        _table(
            "Best paths of the search, by shrunk worth; gains in points",
            {
                "edits": "what", "layers": "layers", "shrunk": "shrunk", "train": "gain",
                "95 %, all at once": "interval", "questions": "questions",
            },
            top_rows(result.candidates, NUM_TOP),
        ),
        _table(
            "The race",
            {
                "step": "step", "questions": "questions", "paths": "paths", "wrecks": "wrecks",
                "went on": "kept",
            },
            rung_rows(result.rungs),
        ),
    ]  # fmt: skip
    if result.finalists:
        tables.append(
            _table(
                f"Finalists: gains in points; train chose them, test {_looked(result)}",
                {
                    "#": "number", "edits": "what", "train": "train", "shrunk": "shrunk",
                    "valid.": "validation", "95 %": "validation_interval", "test": "test",
                    "95 % ": "test_interval",
                },
                finalist_rows(result),
            )
        )  # fmt: skip
        tables.append(_front(result))
    if guards := guard_rows(result):
        tables.append(
            _table(
                "Guards: gains in points",
                {
                    "#": "number", "guard": "guard", "gain": "gain", "95 %": "interval", "p": "p",
                    "questions": "questions",
                },
                guards,
            )
        )  # fmt: skip
    return tables


def _looked(result: ScanResult) -> str:
    """Whether test is fresh, in words."""
    return "is fresh" if result.test_uses <= 1 else f"was looked at {result.test_uses} times"


def _front(result: ScanResult) -> Table:
    names = front_columns(result)
    rows = [
        {"number": row.number, "what": row.what, "gain": row.gain}
        | dict(zip(names, row.costs, strict=True))
        for row in front_rows(result)
    ]
    return _table(
        "Costs, times in % of plain; *: on the front",
        {"#": "number", "path": "what", "gain, valid.": "gain", **{name: name for name in names}},
        rows,
    )


TEXT_COLUMNS = ("edits", "path", "step", "guard")


def _table(title: str, columns: dict[str, str], rows: Sequence[dict[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="left" if name in TEXT_COLUMNS else "right")
    for row in rows:
        table.add_row(*(escape(row[key]) for key in columns.values()))
    return table


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False)
