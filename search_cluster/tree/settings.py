"""A named search: how paths are found, how many, and when an example is done."""

import math
import random
from dataclasses import dataclass, replace
from enum import StrEnum

from search_cluster.errors import ConfigError, InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tree.evidence import EvidenceRule, StudyPlan
from search_cluster.tree.graph import GraphSearch
from search_cluster.tree.proposer import Proposer, Strategy
from search_cluster.tree.scores import UcbScore, VisitTotal

MIN_PERTURBATIONS = 2
"""The smallest number of perturbations: one that guides and one that verifies."""


class StopRule(StrEnum):
    """When the search of one example ends before its budget."""

    FIRST_IMPROVEMENT = "first-improvement"
    """It ends when a wrong identity is fixed, or at a right path strictly shorter than a right
    identity (Dr.LLM)."""
    BUDGET = "budget"
    """It never ends before the budget is spent or the space is exhausted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPreset:
    """A named search. The published ones are in `search_cluster.tree.presets`, a file each."""

    name: str
    strategy: Strategy
    budget: int
    """The largest number of paths delivered to one example's proposer, identity included."""
    leaves_per_round: int
    """The largest number of paths proposed together under virtual loss."""
    stop_rule: StopRule
    num_best: int
    """The largest number of best paths kept per example."""
    evidence: EvidenceRule | None = None
    """What a best path must prove; ``None`` means nothing but its own verdict, as published."""
    study: StudyPlan | None = None
    """A study of other questions, whose menu takes the strategy's place; ``None`` means that every
    question starts from nothing.

    Evidence and study come together: how a path does on other questions is known from the study
    alone."""

    def __post_init__(self) -> None:
        if (self.evidence is None) != (self.study is None):
            has, lacks = (
                ("a study", "evidence") if self.evidence is None else ("evidence", "a study")
            )
            raise InvalidValueError(
                f"preset {self.name} has {has} and lacks {lacks}; what a path must prove on other "
                "questions is seen by the study: give both, or neither"
            )

    @property
    def own_budget(self) -> int:
        """What a study leaves of the budget for the question itself: enough to examine one path."""
        if self.study is None:
            return self.budget
        needed = 2 + MIN_PERTURBATIONS  # identity, a path and its perturbations
        return min(
            self.budget, max(needed, math.ceil((1.0 - self.study.budget_share) * self.budget))
        )

    @property
    def study_budget(self) -> int:
        """What each searched question gives to the study."""
        return self.budget - self.own_budget

    def affordable_perturbations(self, own_budget: int) -> tuple[int, int]:
        """How many perturbations to guide and to verify a small budget allows.

        There is at least one of each.
        """
        assert self.evidence is not None, "only presets that ask for evidence perturb"
        # Identity and one path are asked, on both kinds.
        each = max(1, (own_budget - 1 - self.leaves_per_round) // 4)
        return min(self.evidence.num_guide, each), min(self.evidence.num_verify, each)


def make_proposer(
    root: LayerPath, root_reward: float, preset: SearchPreset, rng: random.Random
) -> Proposer:
    """The proposer of one example whose root (identity) has its reward.

    The preset chooses the kind.
    """
    return preset.strategy.start(root, root_reward, rng)


def with_score(
    preset: SearchPreset, *, visit_total: str | None, exploration: float | None
) -> SearchPreset:
    """The preset with another reading of V or another c in its score; ``None`` leaves the preset's.

    Raises:
        ConfigError: the preset does not score by visits, or a value is none that it can have.
    """
    strategy = preset.strategy
    score = strategy.score if isinstance(strategy, GraphSearch) else None
    if not isinstance(strategy, GraphSearch) or not isinstance(score, UcbScore):
        for name, value in (("visit_total", visit_total), ("exploration", exploration)):
            if value is not None:
                raise ConfigError(
                    f"{name} is {value!r}, and preset {preset.name!r} has no score that counts "
                    f"visits; leave {name} out, or choose another preset"
                )
        return preset
    if visit_total is not None:
        if visit_total not in list(VisitTotal):
            raise ConfigError(
                f"visit_total is {visit_total!r}; it is one of {', '.join(VisitTotal)}"
            )
        strategy = replace(strategy, visit_total=VisitTotal(visit_total))
    if exploration is not None:
        if not 0.0 <= exploration < math.inf:
            raise ConfigError(f"exploration is {exploration}; it is a number from 0")
        strategy = replace(strategy, score=replace(score, exploration=exploration))
    return replace(preset, strategy=strategy)
