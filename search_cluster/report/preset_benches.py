"""What presets get out of their evaluations, as the search bench measured it.

The numbers are those of ``search-cluster bench search --json``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go
from pydantic import ConfigDict, TypeAdapter, ValidationError

from search_cluster.errors import InvalidValueError
from search_cluster.report.chart import FOUND, PLAIN, ROUTER_COLOURS, ReportFigure, lay_out

LINE_COLOURS = (FOUND, *ROUTER_COLOURS, PLAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchCell:
    """One preset with one budget.

    The numbers are means over the questions that the plain model answers rightly; ``None`` if
    there are none.
    """

    __pydantic_config__ = ConfigDict(extra="ignore", allow_inf_nan=False)

    evaluations_per_example: float
    """The number of paths evaluated for a question, study and perturbations included."""
    saved_layers: float | None
    """The layers that the best path saves."""
    verified_saved_layers: float | None
    """The same, counted only where the path held on fresh questions."""
    verified_saved_layers_low: float | None
    """The lower end of the 95 % interval of `verified_saved_layers`."""
    verified_saved_layers_high: float | None
    """The upper end of the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBench:
    """Presets against each other on the same questions."""

    __pydantic_config__ = ConfigDict(extra="ignore", allow_inf_nan=False)

    task: str
    """The name of the task."""
    num_examples: int
    """The number of questions."""
    results: dict[str, dict[str, BenchCell]]
    """The measurement of each preset and each of its budgets."""


_BENCH = TypeAdapter(SearchBench)


def parse_search_bench(value: Mapping[str, Any]) -> SearchBench:
    """The measurement with its types checked; unknown keys are ignored.

    Raises:
        InvalidValueError: a key is missing, or its value has another type.
    """
    try:
        return _BENCH.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidValueError(
            f"{where or 'it'} of a search bench: {first['msg']}; write it with 'search-cluster "
            "bench search --json'"
        ) from error


def search_bench_figure(bench: SearchBench) -> ReportFigure:
    """Verified saved layers against evaluations, with a line for each preset.

    What is not verified is drawn as a dotted line.
    """
    figure = go.Figure()
    for number, (preset, by_budget) in enumerate(bench.results.items()):
        cells = sorted(by_budget.values(), key=lambda cell: cell.evaluations_per_example)
        colour = LINE_COLOURS[number % len(LINE_COLOURS)]
        for name, dash, values in (
            (escape(preset), "solid", [cell.verified_saved_layers for cell in cells]),
            (f"{escape(preset)}, unverified", "dot", [cell.saved_layers for cell in cells]),
        ):
            figure.add_scatter(
                x=[cell.evaluations_per_example for cell in cells],
                y=values,
                name=name,
                mode="lines+markers",
                line={"color": colour, "dash": dash},
                visible=True if dash == "solid" else "legendonly",
                error_y=_errors(cells) if dash == "solid" else None,
                hovertemplate="%{x:.0f} evaluations: %{y:.2f} layers<extra>" + name + "</extra>",
            )
    lay_out(figure, "evaluations per question", "layers saved", height=380)
    return ReportFigure(
        title=f"What evaluations buy, {escape(bench.task)}",
        caption=(
            f"Layers saved on average over those of {bench.num_examples} questions that the plain "
            "model answers rightly, by budget, with 95 % intervals. A best path counts only if "
            "it holds on fresh perturbations of its question and on fresh other questions; the "
            "dotted lines (click them in the legend) count all, luck included."
        ),
        figure=figure,
    )


def _errors(cells: Sequence[BenchCell]) -> dict[str, Any]:
    def reach(ends: Sequence[float | None], others: Sequence[float | None]) -> list[float | None]:
        return [
            None if end is None or other is None else max(0.0, end - other)
            for end, other in zip(ends, others, strict=True)
        ]

    means = [cell.verified_saved_layers for cell in cells]
    return {
        "type": "data",
        "symmetric": False,
        "array": reach([cell.verified_saved_layers_high for cell in cells], means),
        "arrayminus": reach(means, [cell.verified_saved_layers_low for cell in cells]),
    }
