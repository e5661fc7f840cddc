"""What a preset requires of a path before it counts as one of the best, and what that costs.

A path that was right on one question may be lucky: on a four-way question a ruined model is right
one time in four.
"""

import re
from dataclasses import dataclass, replace

from search_cluster.errors import InvalidValueError


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRule:
    """When a path is credible for a question. Every evaluation it takes is paid from the budget."""

    num_guide: int
    """The number of perturbations of the question that may guide the search."""
    num_verify: int
    """The number of perturbations that are looked at once, when a path has passed all else, and
    never guide."""
    max_probe_drop: float
    """How much rarer than identity a path may be right on probe questions, as a share of all that
    identity was asked.

    The path runs on those that identity is least sure of and is taken to change no other answer."""
    min_right: int = 1
    """The smallest number of perturbations that a path must be right on; at least 1.

    Where it and identity are wrong on all, it is right as often as identity, and nothing speaks for
    it. Where a question has no perturbation, nothing does either, and no path is credible."""
    min_probe_share: float = 0.0
    """The smallest share of probe questions that a path must be right on; if it is not 0, at least
    one. Where identity is right on none, to be right as often proves nothing."""
    frames: str = ""
    """The version of the generic frames that perturbations may be; empty if they are the task's
    own."""

    def __post_init__(self) -> None:
        for name in ("num_guide", "num_verify", "min_right"):
            if getattr(self, name) < 1:
                raise InvalidValueError(
                    f"{name} of an evidence rule is {getattr(self, name)}; a path that passed no "
                    "check has proved nothing: ask for at least 1"
                )

    def describe(self) -> str:
        """The rule in words, for provenance; what is not asked for is not in them."""
        rule = (
            f"guide={self.num_guide};verify={self.num_verify};max_probe_drop={self.max_probe_drop:g};"
            f"min_right={self.min_right}"
        )
        if self.min_probe_share:
            rule += f";min_probe_share={self.min_probe_share:g}"
        return f"{rule};frames={self.frames}" if self.frames else rule

    def with_drop_of(self, described: str) -> "EvidenceRule":
        """The rule with the `max_probe_drop` of a description, so that a run goes on with its own.

        Args:
            described: what `describe` said in this version or a former one.
        """
        found = re.search(r"(?:^|;)max_probe_drop=([^;]+)", described)
        return self if found is None else replace(self, max_probe_drop=float(found[1]))

    def enough_probes_right(self, num_right: int, num_probes: int) -> bool:
        """Whether a path that is right on so many probes may be credible."""
        return num_right >= max(self.min_probe_share * num_probes, self.min_probe_share > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlan:
    """How much is spent on finding paths that are good for many questions.

    It is spent before the first question is searched.
    """

    budget_share: float
    """The share, in (0, 1), of the whole run's budget."""
    max_evaluations: int
    """The largest number of evaluations, however large the run is."""
    max_probes: int
    """The largest number of probe questions."""
    max_menu: int
    """The largest number of paths that the study hands on."""
    influence: tuple[float, ...] = ()
    """How much each layer changes states, by which the study judges single layers beside few
    answers (`search_cluster.search.study.single_layers`); empty: nobody knows."""
