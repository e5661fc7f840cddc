"""A named search: how paths are found, how many, and when an example is done."""

import random
from dataclasses import dataclass, replace
from enum import StrEnum

from search_cluster.errors import ConfigError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tree.evidence import EvidenceRule, StudyPlan
from search_cluster.tree.graph import GraphSearch
from search_cluster.tree.proposer import Proposer, Strategy
from search_cluster.tree.scores import VisitTotal


class StopRule(StrEnum):
    """When the search of one example ends before its budget."""

    FIRST_IMPROVEMENT = "first-improvement"
    """When a wrong identity is fixed, or at a right path strictly shorter than a right identity (Dr.LLM)."""
    BUDGET = "budget"
    """Never before the budget is spent or the space is exhausted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPreset:
    """A named search. The published ones are in `search_cluster.tree.presets`, a file each."""

    name: str
    strategy: Strategy
    budget: int
    """Paths delivered to one example's proposer at most, identity included."""
    leaves_per_round: int
    """Paths proposed together under virtual loss, at most."""
    stop_rule: StopRule
    num_best: int
    """Best paths kept per example, at most."""
    evidence: EvidenceRule | None = None
    """What a best path must prove; ``None``: nothing but its own verdict, as published."""
    study: StudyPlan | None = None
    """A study of other questions that gives the strategy its menu; ``None``: every question starts from nothing."""


def make_proposer(root: LayerPath, root_reward: float, preset: SearchPreset, rng: random.Random) -> Proposer:
    """The proposer of one example whose root (identity) has its reward; the preset chooses the kind."""
    return preset.strategy.start(root, root_reward, rng)


def with_visit_total(preset: SearchPreset, visit_total: VisitTotal) -> SearchPreset:
    """The preset with the other reading of V in its score.

    Raises:
        ConfigError: the preset does not score by visits.
    """
    if not isinstance(preset.strategy, GraphSearch):
        raise ConfigError(
            f"visit_total is {visit_total.value!r}, and preset {preset.name!r} has no score that counts visits; "
            "leave visit_total out, or choose another preset"
        )
    return replace(preset, strategy=replace(preset.strategy, visit_total=visit_total))
