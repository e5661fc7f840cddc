"""The heat map of all blocks: repeats above the diagonal, skips below it.

The cell of the block ``[i, j)`` is in row i and column j if it is repeated, in row j and column i
if it is left out. Everything is a picture or one line, whatever the model's depth: three grids, two
outlines and the hatching.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from search_cluster.report.chart import FigureView, ReportFigure, lay_out, offer_views
from search_cluster.report.scan.words import (
    edits_text,
    is_better,
    is_worse,
    layers_text,
    p_text,
    points,
    span,
)
from search_cluster.scan.result import CandidateSummary

WORSE, NEUTRAL, BETTER = "#d9762b", "rgba(127,137,155,0.2)", "#2f78d0"
"""Colours that people with any eyes tell apart, on a light page and on a dark one."""
INK = "#5a6575"
"""The colour of lines, which the page replaces by that of its text."""
LEAST_LIMIT = 0.02
"""The gain at the end of the scale, at least."""
PICTURE = {"showscale": False, "xgap": 0.02, "ygap": 0.02}
"""How grids are drawn: without plotly's scale, and cell by cell, since it writes style attributes,
which the dashboard's policy forbids, for a scale and for a picture without gaps."""
TITLE = "Every block, skipped or repeated"

Grid = NDArray[np.float64]
"""Numbers by row and column, NaN where there is no cell. Shape ``[num_layers + 1] * 2``."""
Mask = NDArray[np.bool_]
"""The same for what is true or not."""
Line = tuple[list[float | None], list[float | None]]
"""Columns and rows of a line with gaps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockMap:
    """Single edits by row and column."""

    cells: dict[tuple[int, int], tuple[CandidateSummary, ...]]
    """The paths of each cell, the fewest passes first."""
    num_layers: int
    """The model's depth."""

    @property
    def few(self) -> int | None:
        """The number of questions that counts as few; ``None`` if all cells have as many."""
        numbers = {items[0].train.num_questions for items in self.cells.values()}
        return min(numbers) if len(numbers) > 1 else None

    def grid(self, values: dict[tuple[int, int], float]) -> Grid:
        """Values in their places."""
        grid = np.full((self.num_layers + 1,) * 2, np.nan)
        for place, value in values.items():
            grid[place] = value
        return grid

    def mask(self, chosen: Iterable[tuple[int, int]]) -> Mask:
        """Whether a cell is among those that were chosen."""
        return ~np.isnan(self.grid(dict.fromkeys(chosen, 1.0)))


def block_map(candidates: Sequence[CandidateSummary], num_layers: int) -> BlockMap:
    """The cells of all single edits; paths of several edits, or of none, have no cell."""
    cells: dict[tuple[int, int], list[CandidateSummary]] = {}
    for item in candidates:
        if len(item.edits) == 1:
            edit = item.edits[0]
            place = (edit.first, edit.end) if edit.passes else (edit.end, edit.first)
            cells.setdefault(place, []).append(item)
    return BlockMap(
        cells={
            place: tuple(sorted(items, key=lambda item: item.edits[0].passes))
            for place, items in cells.items()
        },
        num_layers=num_layers,
    )


def heat_map_figure(candidates: Sequence[CandidateSummary], num_layers: int) -> ReportFigure | None:
    """The heat map; ``None`` if no candidate is a single edit."""
    blocks = block_map(candidates, num_layers)
    if not blocks.cells:
        return None
    shown = {place: items[0] for place, items in blocks.cells.items()}
    figure = go.Figure()
    limits = [
        _add_colours(figure, blocks.grid({at: 100 * item.shrunk for at, item in shown.items()})),
        _add_colours(
            figure, blocks.grid({at: 100 * item.train.gain for at, item in shown.items()})
        ),
    ]
    _add_hover(figure, blocks)
    few = blocks.few
    hatched = [at for at, item in shown.items() if item.train.num_questions == few]
    _add_line(figure, _hatching(blocks.mask(hatched)), "few questions", width=0.7, opacity=0.45)
    for chosen, name, dash in (
        ([at for at, item in shown.items() if is_better(item.train)], "surely better", "solid"),
        ([at for at, item in shown.items() if is_worse(item.train)], "surely worse", "dot"),
    ):
        _add_line(
            figure, _outline(blocks.mask(chosen)), name, width=2.5 if dash == "solid" else 1.4,
            dash=dash,
        )  # fmt: skip
    _lay_out_map(figure, num_layers)
    _offer_colours(figure, limits)
    return ReportFigure(title=TITLE, caption=_caption(blocks), figure=figure)


def _caption(blocks: BlockMap) -> str:
    numbers = sorted({items[0].train.num_questions for items in blocks.cells.values()})
    few = (
        f"Hatched cells stopped after {numbers[0]:,} questions, the others went on to up to "
        f"{numbers[-1]:,}."
        if len(numbers) > 1
        else f"All cells ran on the same {numbers[0]:,} questions."
    )
    return (
        "Row i and column j above the diagonal: layers i to j-1 run twice. Below it, row j and "
        "column i: layers i to j-1 are left out. Blue gains, orange loses, beside the plain model "
        "on the same questions. A solid outline: surely better, a dotted one: surely worse, at "
        f"95 % for all cells at once. {few}"
    )


def _add_colours(figure: go.Figure, grid: Grid) -> float:
    """Add a grid of points; returns the number at the end of its scale."""
    limit = max(100 * LEAST_LIMIT, float(np.nanmax(grid)))
    figure.add_heatmap(
        z=grid.astype(np.float32),
        zmin=-limit,
        zmax=limit,
        colorscale=[[0, WORSE], [0.5, NEUTRAL], [1, BETTER]],
        hoverinfo="skip",
        hoverongaps=False,
        visible=not figure.data,
        **PICTURE,
    )
    return limit


def _add_hover(figure: go.Figure, blocks: BlockMap) -> None:
    """A grid without colours that says what lies beneath, whichever colours are shown."""
    texts = [[""] * (blocks.num_layers + 1) for _ in range(blocks.num_layers + 1)]
    for (row, column), items in blocks.cells.items():
        texts[row][column] = "<br>".join(_said_of(item, blocks) for item in items)
    figure.add_heatmap(
        z=blocks.grid(dict.fromkeys(blocks.cells, 0.0)).astype(np.float32),
        text=texts,
        **PICTURE,
        colorscale=[[0, "rgba(0,0,0,0)"], [1, "rgba(0,0,0,0)"]],
        hovertemplate="%{text}<extra></extra>",
        hoverongaps=False,
    )


def _said_of(item: CandidateSummary, blocks: BlockMap) -> str:
    train = item.train
    words = (
        f"{escape(edits_text(item))}, {layers_text(item.layers, blocks.num_layers)} layers<br>"
        f"gain {points(train.gain)} points ({span(train)}), p {p_text(train.p_adjusted)}<br>"
        f"{train.num_questions:,} questions; shrunk worth {points(item.shrunk)}"
    )
    return f"{words}; wreck" if item.is_wreck else words


def _outline(mask: Mask) -> Line:
    """The borders between cells that are in the mask and others, as lines around them."""
    columns: list[float | None] = []
    rows: list[float | None] = []
    for across in (False, True):
        grid = np.pad(mask.T if across else mask, 1)
        # Where two rows of cells differ, there is a border between them.
        for border, differs in enumerate(grid[1:] != grid[:-1]):
            for start, end in _runs(differs[1:-1]):
                along, at = [start - 0.5, end - 0.5, None], [border - 0.5, border - 0.5, None]
                columns += at if across else along
                rows += along if across else at
    return columns, rows


def _hatching(mask: Mask) -> Line:
    """Strokes through cells along their diagonals, one for each run of cells."""
    columns: list[float | None] = []
    rows: list[float | None] = []
    size = len(mask)
    for offset in range(1 - size, size):
        for start, end in _runs(np.diagonal(mask, offset)):
            columns += [start + max(0, offset) - 0.5, end + max(0, offset) - 0.5, None]
            rows += [start + max(0, -offset) - 0.5, end + max(0, -offset) - 0.5, None]
    return columns, rows


def _runs(row: Mask) -> list[tuple[int, int]]:
    """Where a row is true: the first place of each run, and the one after its last."""
    places = enumerate(row.tolist())
    runs = (
        [at for at, _ in run] for is_true, run in groupby(places, lambda item: item[1]) if is_true
    )
    return [(run[0], run[-1] + 1) for run in runs]


def _add_line(figure: go.Figure, line: Line, name: str, **style: Any) -> None:
    if not line[0]:
        return
    opacity = style.pop("opacity", 1.0)
    figure.add_scatter(
        x=line[0],
        y=line[1],
        mode="lines",
        name=name,
        line={"color": INK, **style},
        opacity=opacity,
        hoverinfo="skip",
        showlegend=True,
    )


def _lay_out_map(figure: go.Figure, num_layers: int) -> None:
    lay_out(
        figure,
        "column: j of a repeat, i of a skip",
        "row: i of a repeat, j of a skip",
        height=660,
    )
    size = num_layers + 0.5
    step = max(1, round(num_layers / 10 / 5) * 5 or 2)
    axis = {
        "range": [-0.5, size], "dtick": step, "showgrid": False, "constrain": "domain",
        "tick0": 0,
    }  # fmt: skip
    figure.update_layout(legend={"x": 0.5, "xanchor": "center"})
    figure.update_xaxes(**axis)
    figure.update_yaxes(**{**axis, "range": [size, -0.5]}, scaleanchor="x", constraintoward="top")
    figure.add_shape(
        type="line", x0=-0.5, y0=-0.5, x1=size, y1=size, line={"color": INK, "width": 1}
    )
    for text, place in (
        ("skips", {"x": 0, "y": 0, "xanchor": "left", "yanchor": "bottom", "xshift": 6}),
        ("repeats", {"x": 1, "y": 1, "xanchor": "right", "yanchor": "top", "xshift": -6}),
    ):
        figure.add_annotation(text=text, xref="x domain", yref="y domain", showarrow=False, **place)


def _offer_colours(figure: go.Figure, limits: Sequence[float]) -> None:
    others = [True] * (len(figure.data) - len(limits))
    views = []
    for number, (label, limit) in enumerate(
        zip(("shrunk worth", "gain as measured"), limits, strict=True)
    ):
        colours = [number == other for other in range(len(limits))]
        views.append(
            FigureView(
                label=label,
                visible=(*colours, *others),
                limit=limit,
                unit="points",
            )
        )
    offer_views(figure, views, square=True)
