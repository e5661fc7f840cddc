"""Statistics of two models that answered the same questions. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search_cluster.scan.statistics.design import Facts, design_effect, effective_counts
from search_cluster.stats import bootstrap_difference, mcnemar_p, wilson_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedComparison:
    """The plain and the routed model on the same n >= 1 questions."""

    n: int
    num_facts: int
    """The number of facts that the questions ask for."""
    design_effect: float
    """How many questions say as much as one that asks for a fact of its own
    (`search_cluster.scan.statistics.design`); intervals and the p-value allow for it."""
    accuracy_plain: float
    accuracy_plain_low: float
    accuracy_plain_high: float
    accuracy_routed: float
    accuracy_routed_low: float
    accuracy_routed_high: float
    diff: float
    """The routed accuracy minus the plain one."""
    diff_low: float
    """The lower end of the bootstrap interval of ``diff``; the next field is the upper one."""
    diff_high: float
    num_fixed: int
    """The number of questions that the plain model gets wrong and the routed one right."""
    num_broken: int
    """The number of questions that the plain model gets right and the routed one wrong."""
    p_value: float
    """The p-value of the exact two-sided McNemar test on fixed against broken; 1 where neither
    occurs."""


def compare(
    plain_right: Sequence[bool],
    routed_right: Sequence[bool],
    facts: Sequence[int] | None = None,
) -> PairedComparison:
    """Compare paired answers, at least one, in the same order.

    Args:
        plain_right: whether the plain model answers each question right.
        routed_right: whether the other one does.
        facts: the fact that each question asks for; ``None``: each another one.
    """
    n = len(plain_right)
    asked = Facts.of(facts, n)
    plain_N, routed_N = (np.array(right, dtype=np.float64) for right in (plain_right, routed_right))
    design = design_effect(routed_N - plain_N, asked)
    table = [[0, 0], [0, 0]]
    for plain, routed in zip(plain_right, routed_right, strict=True):
        table[int(plain)][int(routed)] += 1
    num_fixed, num_broken = table[0][1], table[1][0]
    plain_low, plain_high = wilson_interval(*effective_counts(plain_N, asked))
    routed_low, routed_high = wilson_interval(*effective_counts(routed_N, asked))
    diff_low, diff_high = bootstrap_difference(num_fixed, num_broken, n, design_effect=design)
    return PairedComparison(
        n=n,
        num_facts=asked.number,
        design_effect=design,
        accuracy_plain=sum(plain_right) / n,
        accuracy_plain_low=plain_low,
        accuracy_plain_high=plain_high,
        accuracy_routed=sum(routed_right) / n,
        accuracy_routed_low=routed_low,
        accuracy_routed_high=routed_high,
        diff=(num_fixed - num_broken) / n,
        diff_low=diff_low,
        diff_high=diff_high,
        num_fixed=num_fixed,
        num_broken=num_broken,
        p_value=mcnemar_p(num_fixed / design, num_broken / design),
    )
