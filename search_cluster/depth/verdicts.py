"""Verdict depth against lens depth: from where a question's answer stays, by execution and by lens.

The path of the layers 0..k-1 ends where the logit lens of depth k reads, so that its verdict must
be the same: a check of the whole reading. The *verdict depth* of a question is the first depth from
which on all deeper prefix paths give the final verdict, its *lens depth* the same through a lens.

Shapes: Q questions, S states (depths 0..L), L prefix paths (depths 1..L).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from search_cluster.depth.choices import ChoiceScores
from search_cluster.depth.options import settled_depth
from search_cluster.depth.resamples import NUM_DRAWS, Curve, Measured, Resamples
from search_cluster.model.depth_states.tables import Bools, Floats, Ints

NUM_BANDS = 3
"""Bands of depth that kappa and the confusion compare: early, middle, late."""
BAND_NAMES = ("early", "middle", "late")
RowsFigure = Callable[[Ints], float]
"""A figure of the rows at some places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixCheck:
    """Whether the logit lens at depth k says what the path of the layers 0..k-1 says."""

    pairs: int
    """Pairs of question and depth."""
    mismatches: int
    """Pairs whose answers differ although the gap of the choices is above the threshold."""
    ties: int
    """Pairs whose answers differ within it."""
    threshold: float
    """In nats."""
    largest_difference: float
    """Of margins, in nats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthAgreement:
    """The lens depth of questions beside their verdict depth."""

    lens: str
    verdict_depth: Measured
    """The mean."""
    lens_depth: Measured
    """The mean."""
    difference: Measured
    """Lens depth minus verdict depth."""
    spearman: Measured
    """Their rank correlation."""
    kappa: Measured
    """Cohen's kappa of early, middle and late, weighted linearly."""
    confusion_right: tuple[tuple[int, ...], ...]
    """Questions that the model answers rightly: by verdict depth (rows) and lens depth."""
    confusion_wrong: tuple[tuple[int, ...], ...]
    """The same for those that it answers wrongly."""
    late_if_wrong: Measured
    """The mean lens depth of wrong answers minus that of right ones: late onset as a warning."""
    agreement: Curve
    """The share of questions whose answer through the lens is the final one."""
    accuracy: Curve
    """The share of right answers through the lens."""


def check_prefixes(
    logit: ChoiceScores,
    gold_Q: Ints,
    answer_LQ: Ints,
    margin_LQ: Floats,
    *,
    threshold: float,
) -> PrefixCheck:
    """Compare the logit lens with the executed prefix paths.

    Args:
        logit: scores through the logit lens.
        gold_Q: the right choice.
        answer_LQ: what the path of the layers 0..k-1 chose, for k = 1, ..., L.
        margin_LQ: its margins.
        threshold: gaps up to it are ties.
    """
    differs_LQ = logit.best()[1:] != answer_LQ
    tied_LQ = logit.gap()[1:] <= threshold
    far_LQ = np.abs(logit.margin(gold_Q)[1:] - margin_LQ)
    return PrefixCheck(
        pairs=int(differs_LQ.size),
        mismatches=int((differs_LQ & ~tied_LQ).sum()),
        ties=int((differs_LQ & tied_LQ).sum()),
        threshold=threshold,
        largest_difference=float(f"{far_LQ.max():.3g}"),
    )


def compare_depths(
    lens: str, scores: ChoiceScores, gold_Q: Ints, answer_LQ: Ints, fact_Q: Ints | None = None
) -> DepthAgreement:
    """Lens depth against verdict depth.

    Args:
        lens: the lens' name.
        scores: scores through it.
        gold_Q: the right choice.
        answer_LQ: what prefix paths chose, for k = 1, ..., L.
        fact_Q: the fact that each question asks for; ``None``: each for another one.
    """
    best_SQ = scores.best()
    num_layers = len(answer_LQ)
    lens_Q = settled_depth(best_SQ == best_SQ[-1])
    verdict_Q = verdict_depth(answer_LQ)
    fact_Q = np.arange(len(gold_Q)) if fact_Q is None else fact_Q
    resamples = Resamples(fact_Q)
    right_Q = answer_LQ[-1] == gold_Q
    bands_Q = [depth_bands(depth_Q, num_layers) for depth_Q in (verdict_Q, lens_Q)]
    everyone_Q = np.ones(len(gold_Q), dtype=bool)
    wrong_B = resamples.ratio(np.where(~right_Q, lens_Q, 0.0), (~right_Q).astype(float))
    right_B = resamples.ratio(np.where(right_Q, lens_Q, 0.0), right_Q.astype(float))
    return DepthAgreement(
        lens=lens,
        verdict_depth=resamples.mean(verdict_Q),
        lens_depth=resamples.mean(lens_Q),
        difference=resamples.mean(lens_Q - verdict_Q),
        spearman=redrawn(lambda rows: spearman(verdict_Q[rows], lens_Q[rows]), fact_Q),
        kappa=redrawn(lambda rows: _kappa(bands_Q[0][rows], bands_Q[1][rows]), fact_Q),
        confusion_right=_confusion(bands_Q[0], bands_Q[1], right_Q),
        confusion_wrong=_confusion(bands_Q[0], bands_Q[1], ~right_Q),
        late_if_wrong=resamples.estimate(wrong_B - right_B, everyone_Q),
        agreement=resamples.mean_curve(best_SQ == best_SQ[-1]),
        accuracy=resamples.mean_curve(best_SQ == gold_Q),
    )


def verdict_depth(answer_LQ: Ints) -> Floats:
    """The first depth from which on all prefix paths give the final answer; 1, ..., L."""
    return settled_depth(answer_LQ == answer_LQ[-1]) + 1.0


def depth_bands(depth_Q: Floats, num_layers: int) -> Ints:
    """Early, middle or late: thirds of the model's depth."""
    return np.minimum(NUM_BANDS - 1, depth_Q * NUM_BANDS // (num_layers + 1)).astype(np.int64)


def spearman(one_N: Floats, other_N: Floats) -> float:
    """The rank correlation; NaN where one of them is constant."""
    one, other = rankdata(one_N), rankdata(other_N)
    if one.std() == 0 or other.std() == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def redrawn(figure: RowsFigure, fact_N: Ints, *, seed: int = 0) -> Measured:
    """Any figure of some rows, with the 95 % interval of drawing their facts again.

    Args:
        figure: takes the places of rows and gives the figure.
        fact_N: the fact of each row; those of one are drawn together.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    _, place_N, sizes_F = np.unique(fact_N, return_inverse=True, return_counts=True)
    rows_of = np.split(np.argsort(place_N, kind="stable"), np.cumsum(sizes_F)[:-1])
    draws = [figure(np.arange(len(fact_N)))]
    for _ in range(NUM_DRAWS // 2):
        drawn = rng.integers(0, len(rows_of), size=len(rows_of))
        draws.append(figure(np.concatenate([rows_of[place] for place in drawn])))
    everyone_N = np.ones(len(fact_N), dtype=bool)
    return Resamples(fact_N, num_draws=1).estimate(np.array(draws), everyone_N)


def _kappa(one_Q: Ints, other_Q: Ints) -> float:
    """Cohen's (1968), with linear weights; scikit-learn's function is too slow for all draws."""
    counts = np.bincount(NUM_BANDS * one_Q + other_Q, minlength=NUM_BANDS**2)
    seen = counts.reshape(NUM_BANDS, NUM_BANDS) / len(one_Q)
    by_chance = np.outer(seen.sum(axis=1), seen.sum(axis=0))
    apart = np.abs(np.subtract.outer(np.arange(NUM_BANDS), np.arange(NUM_BANDS)))
    if not (by_chance * apart).sum():
        return float("nan")
    return float(1 - (seen * apart).sum() / (by_chance * apart).sum())


def _confusion(one_Q: Ints, other_Q: Ints, where_Q: Bools) -> tuple[tuple[int, ...], ...]:
    return tuple(
        tuple(
            int((where_Q & (one_Q == row) & (other_Q == column)).sum())
            for column in range(NUM_BANDS)
        )
        for row in range(NUM_BANDS)
    )
