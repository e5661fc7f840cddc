"""Curves over depth with their intervals, as plots."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go

from search_cluster.depth.resamples import Curve
from search_cluster.report.chart import (
    FOUND,
    PLAIN,
    ROUTED,
    ROUTER_COLOURS,
    FigureView,
    ReportFigure,
    lay_out,
    offer_views,
)

COLOURS = (FOUND, *ROUTER_COLOURS, PLAIN)
BUCKET_COLOURS = (FOUND, ROUTED, "#2f9e8f", PLAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCurve:
    """A curve and what it is called."""

    name: str
    curve: Curve
    xs: tuple[float, ...] | None = None
    """Where its points stand; ``None``: at depths 0, 1, ..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveView:
    """Curves that are looked at together."""

    label: str
    curves: tuple[NamedCurve, ...]


def named_curves(names: Iterable[str], curves: Iterable[Curve]) -> tuple[NamedCurve, ...]:
    """Curves with their names."""
    return tuple(
        NamedCurve(name=name, curve=curve) for name, curve in zip(names, curves, strict=False)
    )


def curve_figure(
    title: str,
    caption: str,
    views: Sequence[CurveView],
    *,
    y_title: str,
    factor: float = 100.0,
    log: bool = False,
) -> ReportFigure | None:
    """Curves with bands, one view at a time; ``None`` if there is none."""
    views = [view for view in views if view.curves]
    if not views:
        return None
    figure = go.Figure()
    owners: list[int] = []
    for number, view in enumerate(views):
        for place, item in enumerate(view.curves):
            _add(figure, item, COLOURS[place % len(COLOURS)], factor, visible=number == 0)
            owners += [number, number]
    lay_out(figure, "depth: layers that have run", y_title, height=360)
    if log:
        figure.update_yaxes(type="log")
    offer_views(figure, _views(views, owners))
    return ReportFigure(title=title, caption=caption, figure=figure)


def stacked_figure(
    title: str, caption: str, views: Sequence[CurveView], *, y_title: str
) -> ReportFigure | None:
    """Shares that add up to all, as stacked bars; ``None`` if there is none."""
    views = [view for view in views if view.curves]
    if not views:
        return None
    figure = go.Figure()
    owners: list[int] = []
    for number, view in enumerate(views):
        for place, item in enumerate(view.curves):
            values = [100 * (value or 0.0) for value in item.curve.value]
            figure.add_bar(
                x=list(range(len(values))),
                y=values,
                name=escape(item.name),
                marker_color=(*BUCKET_COLOURS, *COLOURS)[place],
                customdata=_ends(item.curve, 100.0),
                hovertemplate=f"depth %{{x}}: %{{y:.1f}} % {escape(item.name)} "
                "(%{customdata[0]:.1f} to %{customdata[1]:.1f})<extra></extra>",
                visible=number == 0,
            )
            owners.append(number)
    lay_out(figure, "depth; the last one is the model's output", y_title, height=360)
    figure.update_layout(barmode="stack", bargap=0.08)
    figure.update_yaxes(range=[0, 100])
    offer_views(figure, _views(views, owners))
    return ReportFigure(title=title, caption=caption, figure=figure)


def _views(views: Sequence[CurveView], owners: Sequence[int]) -> list[FigureView]:
    return [
        FigureView(label=view.label, visible=tuple(owner == number for owner in owners))
        for number, view in enumerate(views)
    ]


def _ends(curve: Curve, factor: float) -> list[list[float | None]]:
    return [
        [None if end is None else factor * end for end in ends]
        for ends in zip(curve.low, curve.high, strict=True)
    ]


def _add(figure: Any, item: NamedCurve, colour: str, factor: float, *, visible: bool) -> None:
    xs = list(item.xs if item.xs is not None else range(len(item.curve.value)))
    points = [
        (x, factor * value, factor * (value if low is None else low),
         factor * (value if high is None else high))
        for x, value, low, high in zip(
            xs, item.curve.value, item.curve.low, item.curve.high, strict=True
        )
        if value is not None
    ]  # fmt: skip
    band_x = [x for x, *_ in points] + [x for x, *_ in reversed(points)]
    band_y = [high for *_, high in points] + [low for _, _, low, _ in reversed(points)]
    figure.add_scatter(
        x=band_x,
        y=band_y,
        mode="lines",
        fill="toself",
        fillcolor=_faint(colour),
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        visible=visible,
    )
    figure.add_scatter(
        x=[x for x, *_ in points],
        y=[value for _, value, _, _ in points],
        mode="lines+markers",
        marker={"size": 5},
        line={"color": colour, "width": 2},
        name=escape(item.name),
        customdata=[[low, high] for _, _, low, high in points],
        hovertemplate=f"{escape(item.name)}, depth %{{x}}: %{{y:.3g}} "
        "(%{customdata[0]:.3g} to %{customdata[1]:.3g})<extra></extra>",
        visible=visible,
    )


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"
