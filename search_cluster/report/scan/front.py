"""The front: what finalists gain, how long they are, and what they take."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go

from search_cluster.report.chart import (
    FOUND,
    PLAIN,
    ROUTED,
    FigureView,
    ReportFigure,
    lay_out,
    offer_views,
)
from search_cluster.report.scan.words import edits_text, layers_text, points, span
from search_cluster.scan.result import Finalist, ScanResult, Standing

PLAIN_GAIN = 0.0
"""What the plain model gains over itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one may have to pay for an answer: layers, or time."""

    label: str
    """What it is called."""
    axis: str
    """The axis title, with the unit."""
    unit: str
    """What follows a number in a table."""
    plain: float
    """The plain model's."""
    of: tuple[float | None, ...]
    """That of each finalist; ``None`` if it was not measured."""


def costs_of(result: ScanResult) -> tuple[Cost, ...]:
    """Layers first, then the time at each batch size that was measured."""
    finalists = result.finalists
    layers = Cost(
        label="layers",
        axis="layers of the path, bridges included"
        if any(isinstance(item.summary.layers, float) for item in finalists)
        else "layers of the path",
        unit="",
        plain=float(result.num_layers),
        of=tuple(float(item.summary.layers) for item in finalists),
    )
    batches = sorted({timing.batch for item in finalists for timing in item.timings})
    return (
        layers,
        *(
            Cost(
                label=f"time, batch {batch}",
                axis=f"time at batch {batch}, % of plain",
                unit=" %",
                plain=100.0,
                of=tuple(_time_share(item, batch) for item in finalists),
            )
            for batch in batches
        ),
    )


def on_front(gains: Sequence[float | None], costs: Sequence[float | None]) -> tuple[bool, ...]:
    """Whether nothing else gains as much at no higher cost; what is unknown is not on the front.

    Of two that are equal in both, both are.
    """
    known = [
        (gain, cost)
        for gain, cost in zip(gains, costs, strict=True)
        if gain is not None and cost is not None
    ]
    return tuple(
        gain is not None
        and cost is not None
        and not any(
            other_gain >= gain and other_cost <= cost and (other_gain, other_cost) != (gain, cost)
            for other_gain, other_cost in known
        )
        for gain, cost in zip(gains, costs, strict=True)
    )


def fresh_gains(result: ScanResult) -> tuple[float | None, ...]:
    """What validation says of each finalist; all are compared on the same questions."""
    return tuple(
        None if item.validation is None else item.validation.gain for item in result.finalists
    )


def front_figure(result: ScanResult) -> ReportFigure | None:
    """The plot; ``None`` without finalists."""
    if not result.finalists:
        return None
    figure = go.Figure()
    costs = costs_of(result)
    counts = []
    for number, cost in enumerate(costs):
        before = len(figure.data)
        _add_cost(figure, result, cost, visible=number == 0)
        counts.append(len(figure.data) - before)
    lay_out(figure, costs[0].axis, "gain in accuracy, points", height=420)
    figure.update_yaxes(zeroline=True, zerolinecolor=PLAIN)
    figure.update_xaxes(showgrid=True)
    views = [
        FigureView(
            label=cost.label,
            visible=tuple(
                owner == number for owner, count in enumerate(counts) for _ in range(count)
            ),
            layout={"xaxis.title.text": cost.axis},
        )
        for number, cost in enumerate(costs)
    ]
    offer_views(figure, views)
    return ReportFigure(title="Accuracy, layers and time", caption=_caption(costs), figure=figure)


def _caption(costs: Sequence[Cost]) -> str:
    timed = (
        " Times are medians of runs that alternate with the plain model's on this machine."
        if len(costs) > 1
        else " Times were not measured."
    )
    return (
        "The numbers are those of the cards. Hollow: validation, which chose among them; filled: "
        "test. Bars are 95 % intervals for all that were compared there. The line joins those that "
        f"nothing beats at no higher cost, by validation.{timed}"
    )


def _time_share(finalist: Finalist, batch: int) -> float | None:
    for timing in finalist.timings:
        if timing.batch == batch:
            return 100 * timing.seconds / timing.plain_seconds
    return None


def _add_cost(figure: go.Figure, result: ScanResult, cost: Cost, *, visible: bool) -> None:
    gains = (*fresh_gains(result), PLAIN_GAIN)
    prices = (*cost.of, cost.plain)
    best = on_front(gains, prices)
    line = sorted(
        (price, 100 * gain)
        for price, gain, is_best in zip(prices, gains, best, strict=True)
        if is_best and price is not None and gain is not None
    )
    figure.add_scatter(
        x=[price for price, _ in line],
        y=[gain for _, gain in line],
        mode="lines",
        line={"color": FOUND, "width": 1.5, "shape": "hv"},
        name="front",
        hoverinfo="skip",
        visible=visible,
    )
    figure.add_scatter(
        x=[cost.plain],
        y=[PLAIN_GAIN],
        mode="markers",
        marker={"color": PLAIN, "size": 13, "symbol": "diamond"},
        name="plain model",
        hovertemplate=f"plain model, {result.num_layers} layers<extra></extra>",
        visible=visible,
    )
    _add_points(figure, result, cost, "validation", visible=visible)
    _add_points(figure, result, cost, "test", visible=visible)


def _add_points(
    figure: go.Figure, result: ScanResult, cost: Cost, split: str, *, visible: bool
) -> None:
    is_test = split == "test"
    places = _places(cost)
    shown = [
        (number, item, standing, place)
        for number, (item, place) in enumerate(zip(result.finalists, places, strict=True), start=1)
        if (standing := item.test if is_test else item.validation) is not None and place is not None
    ]
    if not shown:
        return
    half_step = 0.5 * _step(cost)
    error: dict[str, Any] = {
        "type": "data",
        "symmetric": False,
        "array": [100 * (standing.high - standing.gain) for _, _, standing, _ in shown],
        "arrayminus": [100 * (standing.gain - standing.low) for _, _, standing, _ in shown],
        "thickness": 1.6 if is_test else 0.8,
        "width": 4,
    }
    figure.add_scatter(
        x=[place + (half_step if is_test else -half_step) for *_, place in shown],
        y=[100 * standing.gain for _, _, standing, _ in shown],
        mode="markers+text",
        text=[str(number) for number, *_ in shown],
        textposition="middle right" if is_test else "middle left",
        marker={
            "color": ROUTED, "size": 11, "symbol": "circle" if is_test else "circle-open",
            "line": {"width": 2, "color": ROUTED},
        },
        error_y=error,
        name=split,
        hovertext=[_said_of(item, standing, split, result) for _, item, standing, _ in shown],
        hovertemplate="%{hovertext}<extra></extra>",
        visible=visible,
    )  # fmt: skip


def _step(cost: Cost) -> float:
    """A distance at which two points can be told apart."""
    known = [cost.plain, *(value for value in cost.of if value is not None)]
    return 0.014 * (max(known) - min(known) or 1.0)


def _places(cost: Cost) -> list[float | None]:
    """Where finalists stand: those of one cost beside each other."""
    places: list[float | None] = []
    for at, value in enumerate(cost.of):
        if value is None:
            places.append(None)
            continue
        before, all_equal = cost.of[:at].count(value), cost.of.count(value)
        places.append(value + 2.5 * _step(cost) * (before - (all_equal - 1) / 2))
    return places


def _said_of(item: Finalist, standing: Standing, split: str, result: ScanResult) -> str:
    times = "".join(
        f"<br>batch {timing.batch}: {1000 * timing.seconds:,.0f} ms, plain "
        f"{1000 * timing.plain_seconds:,.0f} ms"
        for timing in item.timings
    )
    return (
        f"{escape(edits_text(item.summary))}, "
        f"{layers_text(item.summary.layers, result.num_layers)} layers<br>"
        f"{split}: {points(standing.gain)} points ({span(standing)}), "
        f"{100 * standing.accuracy:.1f} % right{times}"
    )
