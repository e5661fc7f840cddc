"""What a judged lens comes to, ready for JSON.

Shapes: G texts, S depths, R resamples.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_cluster.model.lens.judged import AFTER, BEFORE, LOGIT, TUNED, LensFigures
from search_cluster.stats import NUM_RESAMPLES

FEWEST_TEXTS = 5
"""Fewer texts say too little of how texts differ."""


def figures_of(judged: LensFigures) -> dict[str, Any]:
    """The figures of ``lens fit`` and ``lens eval``.

    ``mean_cut`` is the mean over depths with a translator of the share of the logit lens'
    divergence that the lens takes away; its interval resamples texts. What is one off:
    ``before`` reads the state of depth i with translator i - 1 (as published scripts do, the last
    state included), ``after`` with i + 1.
    """
    tuned, logit = judged.divergence(TUNED), judged.divergence(LOGIT)
    before, after = judged.divergence(BEFORE), judged.divergence(AFTER)
    top1, top1_logit = judged.agreement(TUNED), judged.agreement(LOGIT)
    low, high = cut_interval(
        judged.divergence_GWS[:, 0, :-1].numpy(), judged.divergence_GWS[:, 1, :-1].numpy()
    )
    return {
        "held_out_tokens": judged.num_rows,
        "held_out_texts": len(judged.num_rows_G),
        "divergence": tuned,
        "divergence_logit": logit,
        "divergence_one_off": {"before": before, "after": after},
        "mean_cut": mean_cut(tuned, logit),
        "mean_cut_low": low,
        "mean_cut_high": high,
        "top1": top1,
        "top1_logit": top1_logit,
        "depths_with_translator": len(tuned) - 1,
        "depths_lower_than_logit": _num_above(logit, tuned),
        "depths_top1_higher": _num_above(top1, top1_logit),
        "depths_worse_before": _num_above(before, tuned),
        "depths_worse_after": _num_above(after, tuned),
    }


def mean_cut(tuned: list[float | None], logit: list[float | None]) -> float:
    """The mean share of divergence that is taken away, over all depths but the last."""
    cuts = [1 - own / other for own, other in zip(tuned[:-1], logit[:-1], strict=True) if other]  # type: ignore[operator]
    return float(np.mean(cuts)) if cuts else 0.0


def cut_interval(
    tuned_GS: NDArray[np.float64], logit_GS: NDArray[np.float64]
) -> tuple[float | None, float | None]:
    """The 95 % bootstrap interval of `mean_cut` over texts, if there are enough."""
    num_groups = len(tuned_GS)
    if num_groups < FEWEST_TEXTS:
        return None, None
    rng = np.random.default_rng(0)
    counts_RG = rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=NUM_RESAMPLES)
    cuts_RS = 1 - (counts_RG @ tuned_GS) / (counts_RG @ logit_GS)
    low, high = np.percentile(cuts_RS.mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _num_above(one: list[float | None], other: list[float | None]) -> int:
    return sum(a > b for a, b in zip(one, other, strict=True) if a is not None and b is not None)
