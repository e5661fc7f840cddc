"""What stands beside a router: one path for all questions, and the best choice from a menu."""

from collections.abc import Sequence
from dataclasses import dataclass

from router_train.evaluation.paired import PairedComparison, compare
from router_train.evaluation.predictions import Prediction
from search_cluster.paths.cost import PathCosts
from search_cluster.paths.layer_path import LayerPath
from search_cluster.stats import Effect, judge_effect


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticFigures:
    """One path for all questions against the plain model: what a learned router has to beat."""

    path: str
    layers: int | float
    """Its layers and what the bridges that it crosses cost."""
    accuracy: float
    diff: float
    """Its accuracy minus the plain model's; the next two fields are the ends of the bootstrap
    interval at 95 %."""
    diff_low: float
    diff_high: float
    p_value: float
    """The p-value of the exact McNemar test against the plain model."""
    effect: Effect
    """What it does, by `search_cluster.stats.EFFECT_RULE`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleFigures:
    """The figures of somebody who knows the answers and takes the shortest right path of a menu.

    They are a bound, and no accuracy of anything.
    """

    num_paths: int
    accuracy: float
    """The share of questions that some path of the menu answers right."""
    layers: float
    """The mean number of layers of these paths with the bridges that they cross, identity's where
    no path is right."""


def effect_of(
    comparison: PairedComparison, num_layers: int, layers_routed: float, plain_cannot: bool
) -> Effect:
    """What running other layers does, by the answers and by the layers.

    Args:
        comparison: of the answers.
        num_layers: of the plain model.
        layers_routed: what is run in their place, per question.
        plain_cannot: whether the plain model has nothing to lose.
    """
    return judge_effect(
        comparison.num_fixed,
        comparison.num_broken,
        comparison.n,
        layers_plain=num_layers,
        layers_routed=layers_routed,
        plain_is_guessing=plain_cannot,
        design_effect=comparison.design_effect,
    )


def static_figures(
    predictions: Sequence[Prediction],
    facts: Sequence[int],
    path: LayerPath,
    layers: int | float,
    plain_cannot: bool,
) -> StaticFigures:
    """The figures of a path that answered every question.

    Args:
        predictions: of at least one question.
        facts: the fact that each question asks for.
        path: the path.
        layers: what it costs.
        plain_cannot: whether the plain model has nothing to lose.
    """
    comparison = compare(
        [row.plain_reward >= 1 for row in predictions],
        [row.others[str(path)] >= 1 for row in predictions],
        facts,
    )
    return StaticFigures(
        path=str(path),
        layers=layers,
        accuracy=comparison.accuracy_routed,
        diff=comparison.diff,
        diff_low=comparison.diff_low,
        diff_high=comparison.diff_high,
        p_value=comparison.p_value,
        effect=effect_of(comparison, path.num_layers, layers, plain_cannot),
    )


def oracle_figures(
    predictions: Sequence[Prediction],
    menu: Sequence[LayerPath],
    num_layers: int,
    costs: PathCosts,
) -> OracleFigures:
    """The figures of the best choice from a menu of paths that answered every question.

    Args:
        predictions: of at least one question.
        menu: the paths.
        num_layers: of the plain model.
        costs: what paths cost.
    """
    layers_of = {str(path): costs.layers(path) for path in menu}
    lengths = [
        min((layers for path, layers in layers_of.items() if row.others[path] >= 1), default=None)
        for row in predictions
    ]
    return OracleFigures(
        num_paths=len(menu),
        accuracy=sum(length is not None for length in lengths) / len(lengths),
        layers=sum(num_layers if length is None else length for length in lengths) / len(lengths),
    )
