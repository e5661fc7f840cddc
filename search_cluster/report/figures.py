"""The plots of the report."""

from collections import Counter
from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

from search_cluster.corpus.summary import CorpusSummary
from search_cluster.report.chart import (
    EXECUTE_COLOUR,
    FOUND,
    PLAIN,
    REPEAT_COLOUR,
    ROUTED,
    ROUTER_COLOURS,
    SKIP_COLOUR,
    ReportFigure,
    lay_out,
    mark_depth,
)
from search_cluster.report.router_evaluations import RouterEvaluation


def report_figures(
    summary: CorpusSummary, evaluations: Sequence[RouterEvaluation]
) -> tuple[ReportFigure, ...]:
    """All plots for which there are numbers, in the order of the report."""
    figures = [_accuracy(summary, evaluations)]
    routed_lengths = [item for item in evaluations if item.layers_per_question]
    if routed_lengths:
        figures.append(_routed_lengths(routed_lengths))
    if summary.best_lengths:
        figures.append(_decisions("Best paths per depth", _BEST_CAPTION, summary.layer_shares))
    figures += [
        _decisions(
            f"Router {item.label} per depth{_of_task(item, evaluations)}",
            _ROUTED_CAPTION,
            _shares(item.routed_decisions),
        )
        for item in evaluations
        if item.routed_decisions
    ]
    if summary.best_lengths:
        figures.append(_best_lengths(summary))
    if summary.evaluations:
        figures.append(_evaluations(summary))
    return tuple(figures)


_BEST_CAPTION = (
    "Share of right best paths that skip a layer, run it once or repeat it. Layers that are "
    "hardly ever skipped matter most for these questions."
)
_ROUTED_CAPTION = "The same for the paths that the router chooses without the gold answer."


def _of_task(item: RouterEvaluation, evaluations: Sequence[RouterEvaluation]) -> str:
    """Which task it is, where the report is about more than one; else nothing."""
    return f" of {escape(item.task)}" if len({other.task for other in evaluations}) > 1 else ""


_Bar = tuple[str, float, float, float]
"""A name, an accuracy and the ends of its interval."""


def _unique(names: Sequence[str]) -> list[str]:
    """The names, of which equal ones are numbered."""
    counts = Counter(names)
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(f"{name} ({seen[name]})" if counts[name] > 1 else name)
    return unique


def _accuracy(summary: CorpusSummary, evaluations: Sequence[RouterEvaluation]) -> ReportFigure:
    bars: list[_Bar] = [
        (
            "plain model,<br>searched questions",
            summary.identity_accuracy,
            summary.identity_low,
            summary.identity_high,
        ),
        (
            "found by search,<br>gold answer known",
            summary.found_accuracy,
            summary.found_low,
            summary.found_high,
        ),
    ]
    colours = [PLAIN, FOUND]

    def add(bar: _Bar, colour: str, *, beside: str = "") -> None:
        """Add a bar, unless it is there; what has a name but not its figures is named further."""
        if bar in bars:
            return
        names = {name for name, *_ in bars}
        bar = (f"{bar[0]},<br>beside {beside}" if beside and bar[0] in names else bar[0], *bar[1:])
        if bar in bars:
            return
        bars.append(bar)
        colours.append(colour)

    for item in evaluations:
        label = escape(item.label)
        where = f"<br>{escape(item.split)} questions{_of_task(item, evaluations)}"
        add(
            (
                f"plain model,{where}",
                item.accuracy_plain,
                item.accuracy_plain_low,
                item.accuracy_plain_high,
            ),
            PLAIN,
            beside=label,
        )
        name = f"router {label},{where}"
        add(
            (name, item.accuracy_routed, item.accuracy_routed_low, item.accuracy_routed_high),
            ROUTED,
        )
        if item.static is not None:
            # Its interval is that of its difference to the plain model, around its own accuracy.
            low, high = (
                item.accuracy_plain + item.static.diff_low,
                item.accuracy_plain + item.static.diff_high,
            )
            bar = (f"one path for all,{where}", item.static.accuracy, low, high)
            add(bar, REPEAT_COLOUR, beside=label)
        if item.oracle is not None:
            name = (
                f"best of {item.oracle.num_paths} paths, gold "
                f"answer<br>known,{where.replace('<br>', ' ')}"
            )
            bar = (name, item.oracle.accuracy, item.oracle.accuracy, item.oracle.accuracy)
            add(bar, FOUND, beside=label)
    bars.reverse()  # plotly draws the first bar at the bottom
    values = [100 * value for _, value, _, _ in bars]
    figure = go.Figure(
        go.Bar(
            # Bars of equal names would be added up.
            y=_unique([name for name, _, _, _ in bars]),
            x=values,
            orientation="h",
            marker_color=colours[::-1],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [100 * max(0.0, high - value) for _, value, _, high in bars],
                "arrayminus": [100 * max(0.0, value - low) for _, value, low, _ in bars],
            },
            hovertemplate="%{x:.1f} %<extra></extra>",
        )
    )
    lay_out(figure, "right answers, %", "", height=90 + 62 * len(bars))
    figure.update_xaxes(range=[0, 100])
    return ReportFigure(
        title="Accuracy",
        caption=(
            "With 95 % intervals; that of one path for all is of its difference to the plain "
            "model, and the bound of a menu has none. The search knows the gold answer and may "
            "pick a lucky path, so its bar is a bound, not something a router can promise; a "
            "router chooses without the gold answer."
        ),
        figure=figure,
    )


def _routed_lengths(evaluations: Sequence[RouterEvaluation]) -> ReportFigure:
    figure = go.Figure()
    for number, item in enumerate(evaluations):
        counts = sorted(Counter(item.layers_per_question or ()).items())
        figure.add_bar(
            x=[length for length, _ in counts],
            y=[100 * count / item.n for _, count in counts],
            name=f"router {escape(item.label)}{_of_task(item, evaluations)}",
            marker_color=ROUTER_COLOURS[number % len(ROUTER_COLOURS)],
            hovertemplate="%{x} layers: %{y:.1f} % of questions<extra></extra>",
        )
    depth = evaluations[0].layers_plain
    lay_out(figure, "layers run for a question", "questions, %")
    mark_depth(
        figure, depth, [length for item in evaluations for length in item.layers_per_question or ()]
    )
    return ReportFigure(
        title="Layers per question",
        caption=(
            "How many layers the routed model runs for a question. The plain model always runs "
            f"{depth:g}."
        ),
        figure=figure,
    )


def _decisions(
    title: str, caption: str, shares: Sequence[tuple[float, float, float]]
) -> ReportFigure:
    figure = go.Figure()
    for choice, (name, colour) in enumerate(
        (("skipped", SKIP_COLOUR), ("once", EXECUTE_COLOUR), ("repeated", REPEAT_COLOUR))
    ):
        figure.add_bar(
            x=list(range(len(shares))),
            y=[100 * layer[choice] for layer in shares],
            name=name,
            marker_color=colour,
            hovertemplate=f"layer %{{x}}: %{{y:.1f}} % {name}<extra></extra>",
        )
    lay_out(figure, "layer", "share, %")
    figure.update_layout(barmode="stack", bargap=0.08)
    figure.update_yaxes(range=[0, 100])
    return ReportFigure(title=title, caption=caption, figure=figure)


def _best_lengths(summary: CorpusSummary) -> ReportFigure:
    figure = go.Figure(
        go.Bar(
            x=[length for length, _ in summary.best_lengths],
            y=[count for _, count in summary.best_lengths],
            marker_color=FOUND,
            hovertemplate="%{x} layers: %{y} questions<extra></extra>",
        )
    )
    lay_out(figure, "layers of the best path", "questions")
    mark_depth(figure, summary.num_layers, [length for length, _ in summary.best_lengths])
    return ReportFigure(
        title="Length of best paths",
        caption=(
            "Over the questions whose best path is right. Left of the dashed line the answer took "
            "fewer layers than the plain model's."
        ),
        figure=figure,
    )


def _evaluations(summary: CorpusSummary) -> ReportFigure:
    figure = go.Figure(
        go.Bar(
            x=[number for number, _ in summary.evaluations],
            y=[count for _, count in summary.evaluations],
            marker_color=EXECUTE_COLOUR,
            hovertemplate="%{x} paths: %{y} questions<extra></extra>",
        )
    )
    lay_out(figure, "paths tried for a question", "questions")
    return ReportFigure(
        title="Effort per question",
        caption="How many paths the search tried before it stopped, the plain path included.",
        figure=figure,
    )


def _shares(counts: Sequence[tuple[int, int, int]] | None) -> list[tuple[float, float, float]]:
    totals = [(layer, max(1, sum(layer))) for layer in counts or ()]
    return [(layer[0] / total, layer[1] / total, layer[2] / total) for layer, total in totals]
