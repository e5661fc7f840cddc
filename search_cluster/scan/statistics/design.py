"""Questions that ask for one fact count together.

Who asks for 82 facts in six ways each has not asked 492 independent questions. How much less they
say is the design effect: the variance of a sum that allows for facts, by that of independent
questions (Kish 1965, "Survey Sampling"). Counts of answers by their design effect are taken as if
they were of independent questions (Rao and Scott 1992, "A simple method for the analysis of
clustered binary data").

Shapes: N questions, P paths, F facts.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from search_cluster.errors import InvalidValueError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Facts:
    """The fact that each question asks for, as a place from 0 in the order in which they come."""

    place_N: NDArray[np.int64]

    @classmethod
    def of(cls, facts: Sequence[Hashable] | None, num_questions: int) -> "Facts":
        """The facts of questions.

        Args:
            facts: what names the fact of each question; ``None``: each asks for a fact of its own.
            num_questions: how many there are.

        Raises:
            InvalidValueError: there are more or fewer facts than questions.
        """
        if facts is None:
            return cls(np.arange(num_questions))
        if len(facts) != num_questions:
            raise InvalidValueError(
                f"{len(facts)} facts for {num_questions} questions; give one for each"
            )
        places = {fact: place for place, fact in enumerate(dict.fromkeys(facts))}
        return cls(np.array([places[fact] for fact in facts], dtype=np.int64))

    @property
    def number(self) -> int:
        """How many facts there are."""
        return int(self.place_N.max()) + 1 if self.place_N.size else 0

    @property
    def are_single(self) -> bool:
        """Whether each is asked for by one question."""
        return self.number == len(self.place_N)

    def sums(self, values_NP: Floats) -> Floats:
        """What the questions of each fact add up to, ``[F, P]``."""
        if self.are_single:
            return values_NP
        questions = np.arange(len(self.place_N))
        shape = (self.number, len(self.place_N))
        member_FN = csr_array((np.ones(len(questions)), (self.place_N, questions)), shape=shape)
        sums_FP: Floats = member_FN @ values_NP
        return sums_FP

    def met(self, has_run_NP: NDArray[np.bool_]) -> Floats:
        """How many facts the questions ask for on which each path has run, ``[P]``."""
        counts_FP = self.sums(has_run_NP.astype(np.float64))
        num_met_P: Floats = (counts_FP > 0).sum(axis=0, dtype=np.float64)
        return num_met_P


def design_effects(values_NP: Floats, has_run_NP: NDArray[np.bool_], facts: Facts) -> Floats:
    """How many questions say as much as one independent question, per path; at least 1.

    It is the largest of what the values say of themselves, about their mean and about 0 (as the
    test of no difference needs it). Equal values say nothing of it: then facts count.

    Args:
        values_NP: 0 where a path has not run.
        has_run_NP: where it has.
        facts: of the questions.
    """
    n_P = has_run_NP.sum(axis=0)
    if facts.are_single:
        return np.ones(len(n_P))
    counts_FP = facts.sums(has_run_NP.astype(np.float64))
    num_facts_P = (counts_FP > 0).sum(axis=0)
    shown_P = np.maximum(1, n_P)
    mean_P = values_NP.sum(axis=0) / shown_P
    centred_NP = np.where(has_run_NP, values_NP - mean_P, 0.0)
    between_P = (facts.sums(centred_NP) ** 2).sum(axis=0) * _bessel(num_facts_P)
    within_P = (centred_NP**2).sum(axis=0) * _bessel(n_P)
    squares_P = (values_NP**2).sum(axis=0)
    about_zero_P = (facts.sums(values_NP) ** 2).sum(axis=0) / np.where(squares_P > 0, squares_P, 1)
    # As if all questions of a fact had one answer: where nothing tells how alike they are.
    most_P = (counts_FP**2).sum(axis=0) / shown_P
    is_seen_P = (within_P > 0) & (num_facts_P > 1)
    ratio_P = np.where(is_seen_P, between_P / np.where(within_P > 0, within_P, 1.0), most_P)
    design_P: Floats = np.maximum(1.0, np.maximum(ratio_P, about_zero_P))
    return design_P


def design_effect(values_N: Floats, facts: Facts) -> float:
    """The same of one column, which has run on all questions."""
    has_run_N1 = np.ones((len(values_N), 1), dtype=np.bool_)
    (design,) = design_effects(values_N[:, None], has_run_N1, facts).tolist()
    return float(design)


def effective_counts(right_N: Floats, facts: Facts) -> tuple[float, float]:
    """Right answers and questions as if the questions were independent.

    Args:
        right_N: 1 for a right answer, else 0.
        facts: of the questions.
    """
    # About the mean alone: a share is not compared with 0.
    design = design_effect(right_N - right_N.sum() / max(1, len(right_N)), facts)
    return float(right_N.sum() / design), float(len(right_N) / design)


def _bessel(numbers_P: NDArray[np.int64]) -> Floats:
    """What makes a mean of squares about the sample's own mean that of the population."""
    return np.asarray(numbers_P / np.maximum(1, numbers_P - 1), dtype=np.float64)
