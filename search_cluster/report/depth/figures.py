"""The plots of a depth study."""

from collections.abc import Iterable

from search_cluster.depth.buckets import BUCKET_NAMES, CHANGES
from search_cluster.depth.onset import OnsetFigures
from search_cluster.depth.resamples import Curve, Measured
from search_cluster.depth.result import DepthResult
from search_cluster.report.chart import ReportFigure
from search_cluster.report.depth.control_figures import (
    lens_control_figure,
    order_figures,
    patching_figure,
)
from search_cluster.report.depth.curves import (
    CurveView,
    NamedCurve,
    curve_figure,
    named_curves,
    stacked_figure,
)


def depth_figures(result: DepthResult) -> list[ReportFigure]:
    """All plots for which there are numbers, in the order of the page."""
    figures = [
        *_guess_figures(result),
        lens_control_figure(result),
        _onset_figure(result),
        *_option_figures(result),
        *order_figures(result),
        patching_figure(result),
        _verdict_figure(result),
        _path_figure(result),
        _layer_figure(result),
    ]
    return [figure for figure in figures if figure is not None]


def _guess_figures(result: DepthResult) -> Iterable[ReportFigure | None]:
    guesses = result.text.guesses
    yield stacked_figure(
        "Whose tokens are guessed",
        "The likeliest token at each depth, by its rank in the corpus. The last column is what the "
        "model says.",
        [
            CurveView(label=f"{what}, {figures.lens}", curves=named_curves(BUCKET_NAMES, curves))
            for figures in guesses
            for what, curves in (("guesses", figures.shares), ("probability", figures.masses))
        ],
        y_title="share, %",
    )
    yield curve_figure(
        "Guesses that do not last",
        "Of the guesses in each bucket, those that are not the model's output. Bands: 95 %, whole "
        "prompts drawn again.",
        [
            CurveView(label=figures.lens, curves=named_curves(BUCKET_NAMES, figures.flips))
            for figures in guesses
        ],
        y_title="overturned, %",
    )
    yield stacked_figure(
        "What becomes of guesses, by the true next token",
        "A change is no refinement by itself: only wrong to right is.",
        [
            CurveView(label=figures.lens, curves=named_curves(CHANGES, figures.changes))
            for figures in guesses
        ],
        y_title="positions, %",
    )
    names = [figures.lens for figures in guesses]
    yield curve_figure(
        "How far from the model's output",
        "KL from the output in nats, and the share of guesses that are the output's.",
        [
            CurveView(
                label="KL", curves=named_curves(names, [item.divergence for item in guesses])
            ),
        ],
        y_title="nats",
        factor=1.0,
    )
    bias = result.text.bias
    if bias is not None:
        yield curve_figure(
            "The lens' own bias",
            f"How often {bias.word!r} is guessed, by a lens and by one to which it counted a "
            f"thousandth ({bias.taught:,} positions of the fit).",
            [
                CurveView(
                    label=bias.word,
                    curves=named_curves(
                        ["as often", "a thousandth"], [bias.share, bias.reweighted_share]
                    ),
                )
            ],
            y_title="share of guesses, %",
        )


def _onset_figure(result: DepthResult) -> ReportFigure | None:
    """Onsets by threshold; the axis is the rank."""
    views = []
    for source, onsets in _onset_sources(result):
        for lens in dict.fromkeys(item.lens for item in onsets):
            for case in ("right", "wrong"):
                chosen = [item for item in onsets if item.lens == lens and item.case == case]
                groups = dict.fromkeys(item.group for item in chosen)
                curves = tuple(
                    NamedCurve(
                        name=group,
                        curve=_over_thresholds([o.stable for o in chosen if o.group == group]),
                        xs=tuple(float(o.threshold) for o in chosen if o.group == group),
                    )
                    for group in groups
                    if any(o.stable.n >= MIN_SHOWN for o in chosen if o.group == group)
                )
                views.append(CurveView(label=f"{source}, {lens}, {case}", curves=curves))
    figure = curve_figure(
        "Where predictions become stable",
        "The mean depth from which on the model's own prediction stays among the likeliest k. "
        "Right and wrong: whether that prediction is the true token.",
        views,
        y_title="stable from depth",
        factor=1.0,
    )
    if figure is not None:
        figure.figure.update_xaxes(type="log", title="k")
    return figure


MIN_SHOWN = 20
"""Positions of a group at least that has a curve."""


def _onset_sources(result: DepthResult) -> Iterable[tuple[str, tuple[OnsetFigures, ...]]]:
    yield "text", result.text.onsets
    if result.word_classes is not None:
        yield "word classes", result.word_classes.onsets
    for part in result.facts:
        yield part.source, part.onsets


def _over_thresholds(figures: list[Measured]) -> Curve:
    return Curve(
        value=tuple(item.value for item in figures),
        low=tuple(item.low for item in figures),
        high=tuple(item.high for item in figures),
        n=tuple(item.n for item in figures),
        prompts=max((item.prompts for item in figures), default=0),
    )


def _option_figures(result: DepthResult) -> Iterable[ReportFigure | None]:
    races = () if result.questions is None else result.questions.races
    kinds = dict.fromkeys(race.options for race in races)
    yield curve_figure(
        "Options come up, then one is chosen",
        "The geometric mean of the options' ranks, from 1.",
        [
            CurveView(
                label=kind,
                curves=tuple(
                    NamedCurve(name=race.lens, curve=race.mean_rank)
                    for race in races
                    if race.options == kind
                ),
            )
            for kind in kinds
        ],
        y_title="rank",
        factor=1.0,
        log=True,
    )
    yield curve_figure(
        "How likely options are, and whether the decision is final",
        "The probability of all options; the share of questions whose best option is already the "
        "final one; the share whose best option is right.",
        [
            CurveView(
                label=f"{race.options}, {race.lens}",
                curves=named_curves(
                    ["probability", "decision is final", "decision is right"],
                    [race.mass, race.agreement, race.accuracy],
                ),
            )
            for race in races
            if race.options != "foreign letters"
        ],
        y_title="%",
    )


def _verdict_figure(result: DepthResult) -> ReportFigure | None:
    agreements = () if result.questions is None else result.questions.agreements
    return curve_figure(
        "When answers are settled",
        "Whole choices, scored as the product scores them. Through the logit lens this is what the "
        "path of the first layers answers.",
        [
            CurveView(
                label="final answer",
                curves=tuple(
                    NamedCurve(name=item.lens, curve=item.agreement) for item in agreements
                ),
            ),
            CurveView(
                label="right answer",
                curves=tuple(
                    NamedCurve(name=item.lens, curve=item.accuracy) for item in agreements
                ),
            ),
        ],
        y_title="questions, %",
    )


def _path_figure(result: DepthResult) -> ReportFigure | None:
    lenses = dict.fromkeys(item.lens for item in result.paths)
    views = [
        CurveView(
            label=f"{what}, {lens}",
            curves=tuple(
                NamedCurve(
                    name=item.path,
                    curve=item.apart if what == "KL" else item.end_divergence,
                    xs=tuple(float(depth) for depth in item.depths),
                )
                for item in result.paths
                if item.lens == lens
            ),
        )
        for what in ("KL", "KL from the output")
        for lens in lenses
    ]
    return curve_figure(
        "Where a path's difference is repaired",
        "KL from what the lens reads of the plain model's state at the same depth, along a path.",
        views,
        y_title="nats",
        factor=1.0,
    )


def _layer_figure(result: DepthResult) -> ReportFigure | None:
    cards = result.layers
    if not cards:
        return None

    def over(figures: list[Measured | None]) -> Curve:
        return _over_thresholds([item for item in figures if item is not None])

    lenses = list(cards[0].progress)
    views = [
        CurveView(
            label="KL progress",
            curves=tuple(
                NamedCurve(name=lens, curve=over([card.progress[lens] for card in cards]))
                for lens in lenses
            ),
        ),
        CurveView(
            label="guesses made final",
            curves=tuple(
                NamedCurve(name=lens, curve=over([card.repairs[lens] for card in cards]))
                for lens in lenses
            ),
        ),
        CurveView(
            label="block influence",
            curves=(NamedCurve(name="1 - cos", curve=over([card.influence for card in cards])),),
        ),
    ]
    if cards[0].skip_change is not None:
        views.append(
            CurveView(
                label="measured: skipped alone",
                curves=(
                    NamedCurve(
                        name="change of answers", curve=over([card.skip_change for card in cards])
                    ),
                ),
            )
        )
    figure = curve_figure(
        "What each layer does",
        "Nats nearer to the output, net share of guesses made final, 1 - cos of the state before "
        "and after; and how much the task's answers change if the layer alone is skipped.",
        views,
        y_title="",
        factor=1.0,
    )
    if figure is not None:
        figure.figure.update_xaxes(title="layer")
    return figure
