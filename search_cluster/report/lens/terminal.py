"""A lens on a terminal: its figures by depth, and a table of layers by tokens."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from search_cluster.report.lens.view import LensRow, LensView

CELL_WIDTH, NAME_WIDTH = 10, 15
"""Characters of a token, and of a state's name."""
NEAR, FAR = 0.5, 2.0
"""Divergences in nats: below the first a cell is green, above the second red, between yellow."""
LEGEND = (
    f"Cells: the likeliest token there. Green: within {NEAR:g} nats of the end of the path, "
    f"yellow: within {FAR:g}, red: farther; *: the end's own token."
)
SPACES = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"})


def shown_token(token: str) -> str:
    """A token with its white space made visible."""
    return token.translate(SPACES) or "∅"


def print_readings(console: Console, view: LensView, *, last: int | None = None) -> None:
    """Print the last positions of a text, as many as there is room for or were asked for."""
    room = max(1, (console.width - NAME_WIDTH - 2) // (CELL_WIDTH + 2))
    number = min(len(view.tokens), last or room)
    for first in range(len(view.tokens) - number, len(view.tokens), room):
        console.print(_table(view, range(first, min(first + room, len(view.tokens)))))
    if number < len(view.tokens):
        console.print(
            f"positions {len(view.tokens) - number}..{len(view.tokens) - 1} of "
            f"{len(view.tokens)}; --last shows others, --html all",
            highlight=False,
        )
    console.print(LEGEND, markup=False, highlight=False)


def _table(view: LensView, positions: Sequence[int]) -> Table:
    title = f"{view.kind} lens of {view.model} along {view.path}"
    table = Table(title=title, title_justify="left", padding=(0, 1, 0, 0), box=None)
    table.add_column("state", width=NAME_WIDTH, no_wrap=True)
    for position in positions:
        text = Text(shown_token(view.tokens[position]))
        table.add_column(text, width=CELL_WIDTH, no_wrap=True, overflow="ellipsis")
    for row in reversed(view.rows):
        table.add_row(row.name, *(_cell(row, position) for position in positions))
    return table


def _cell(row: LensRow, position: int) -> Text:
    divergence = row.divergence[position]
    colour = "green" if divergence < NEAR else "yellow" if divergence < FAR else "red"
    mark = "*" if row.final_rank[position] == 0 else ""
    return Text(mark + shown_token(row.top[position]), style=colour)


def print_figures(console: Console, result: Mapping[str, Any]) -> None:
    """Print how good a lens is, from what ``lens fit`` or ``lens eval`` reports."""
    table = Table(
        title=f"{result['kind']} lens on {result['held_out_tokens']:,} held-out tokens",
        title_justify="left",
    )
    for name in ("depth", "KL lens", "KL logit lens", "cut", "KL one off", "top-1", "top-1 logit"):
        table.add_column(name, justify="right")
    before = result["divergence_one_off"]["before"]
    for depth, (own, logit) in enumerate(
        zip(result["divergence"], result["divergence_logit"], strict=True)
    ):
        table.add_row(
            str(depth),
            f"{own:.3f}",
            f"{logit:.3f}",
            f"{1 - own / logit:.1%}"
            if logit > 0 and depth < result["depths_with_translator"]
            else "",
            "" if before[depth] is None else f"{before[depth]:.3f}",
            f"{result['top1'][depth]:.1%}",
            f"{result['top1_logit'][depth]:.1%}",
        )
    console.print(table)
    low, high = result["mean_cut_low"], result["mean_cut_high"]
    interval = "" if low is None else f" (95 % interval {low:.1%} to {high:.1%})"
    console.print(
        f"mean cut of the divergence: {result['mean_cut']:.1%}{interval}; lower than the logit "
        f"lens at {result['depths_lower_than_logit']} of {result['depths_with_translator']} depths",
        highlight=False,
    )
    if "out" in result:
        console.print(f"lens {result['digest']}: {result['out']}", markup=False, highlight=False)
