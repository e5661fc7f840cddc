"""The knobs of a search graph, and the named presets of the papers."""

from dataclasses import dataclass
from enum import StrEnum

from search_cluster.errors import ConfigError
from search_cluster.paths.moves import RepeatOnce, SkipAdjacent
from search_cluster.paths.space import PathLimits, SearchSpace
from search_cluster.tree.scores import VisitTotal


class StopRule(StrEnum):
    """When the search of one example ends before its budget."""

    FIRST_IMPROVEMENT = "first-improvement"
    """When a wrong identity is fixed, or at a right path strictly shorter than a right identity (Dr.LLM)."""
    BUDGET = "budget"
    """Never before the budget is spent or the space is exhausted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPreset:
    """A published search: its space, its score, its stop rule and its budget."""

    name: str
    space: SearchSpace
    exploration: float
    """c of the UCB score."""
    length_penalty: float
    """lambda of the UCB score, in units of reward per model depth."""
    random_child_probability: float
    """Chance, in [0, 1], that a step of the descent takes a child drawn evenly instead of the best one."""
    visit_total: VisitTotal
    widening_scale: float
    widening_exponent: float
    budget: int
    """Paths delivered to one example's graph at most, identity included."""
    leaves_per_round: int
    """Paths proposed together under virtual loss, at most."""
    stop_rule: StopRule
    num_best: int
    """Best paths kept per example, at most."""


ORDER_KEEPING = PathLimits(max_skipped_run=2, max_layer_uses=2, max_length_ratio=2.0, order_kept=True)

DRLLM = SearchPreset(
    name="drllm",
    space=SearchSpace(moves=(SkipAdjacent(2), RepeatOnce()), limits=ORDER_KEEPING),
    exploration=1.8,
    length_penalty=3.0,
    random_child_probability=0.1,
    visit_total=VisitTotal.PARENT,
    # The paper states no widening. One node of a 30-layer model has 89 children, more than a budget of 50: without
    # widening the graph would be a star. These are PoLar's published values.
    widening_scale=2.0,
    widening_exponent=0.5,
    budget=50,
    leaves_per_round=4,
    stop_rule=StopRule.FIRST_IMPROVEMENT,
    num_best=5,
)
"""Dr.LLM, arXiv 2510.12773, section 4."""

PRESETS = {preset.name: preset for preset in (DRLLM,)}


def get_preset(name: str) -> SearchPreset:
    """The preset of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset {name!r} is unknown; presets are: {', '.join(sorted(PRESETS))}")
    return PRESETS[name]
