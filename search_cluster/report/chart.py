"""What all plots of the report share.

Their texts have no colour of their own: the page colours them for light and dark.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

PLAIN, FOUND, ROUTED = "#8b95a5", "#c58a1b", "#3f7fdb"
SKIP_COLOUR, EXECUTE_COLOUR, REPEAT_COLOUR = "#e0913a", "#7f8ea3", "#2f9e8f"
ROUTER_COLOURS = (ROUTED, "#8a63d2", "#2f9e8f", "#d1556b")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFigure:
    """One plot with the words around it."""

    title: str
    """The title above it."""
    caption: str
    """What to see in it."""
    figure: Any
    """A plotly figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureView:
    """One of several ways to look at a plot, for which the page has a button."""

    label: str
    """What the button says."""
    visible: tuple[bool, ...]
    """Which traces are shown."""
    layout: Mapping[str, Any] = field(default_factory=dict)
    """What changes of the layout, in plotly's words."""
    limit: float | None = None
    """The number at the end of the scale of colours; ``None`` if colours are no numbers."""
    unit: str = ""
    """The unit of that number."""


def offer_views(figure: Any, views: Sequence[FigureView], *, square: bool = False) -> None:
    """Let the page switch between views, of which the first is shown.

    Args:
        figure: a plotly figure.
        views: the ways to look at it.
        square: whether it is about as high as wide.
    """
    figure.update_layout(meta={"views": [asdict(view) for view in views], "square": square})


def mark_depth(figure: Any, depth: float, lengths: Sequence[float]) -> None:
    """Draw the plain model's depth, and leave room around it so that ticks fall on whole layers."""
    figure.add_vline(x=depth, line_dash="dash", line_color=PLAIN, annotation_text="plain model")
    figure.update_xaxes(range=[min(depth, *lengths) - 2.6, max(depth, *lengths) + 2.6])


def lay_out(figure: Any, x_title: str, y_title: str, height: int = 320) -> None:
    """Give a figure its axes, its height in pixels and a transparent ground.

    Zooming by touch is off.
    """
    figure.update_layout(
        template="none",
        height=height,
        autosize=True,
        margin={"l": 10, "r": 16, "t": 30, "b": 10},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "inherit", "size": 13},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
    )
    figure.update_xaxes(title=x_title, automargin=True, zeroline=False, fixedrange=True)
    figure.update_yaxes(title=y_title, automargin=True, zeroline=False, fixedrange=True)
