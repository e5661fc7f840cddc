"""Differences between two groups of positions, as they are and with easy and hard cases matched.

A class with few members is easy to guess. Matched, positions of both groups are compared within
bands of the entropy of the model's own output, and bands count by the smaller of their groups.

Shapes: N positions, B resamples and before them the sample, Q bands.
"""

from dataclasses import dataclass

import numpy as np

from search_cluster.depth.onset import onsets_of
from search_cluster.depth.resamples import Measured, Resamples
from search_cluster.model.depth_states.tables import Bools, Floats, ReadingTable

NUM_BANDS = 8
"""Bands of entropy with as many positions each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """How much later tokens of one group are stable than those of another."""

    lens: str
    what: str
    """The two groups: ``function - content``."""
    case: str
    """``right`` or ``wrong``."""
    threshold: int
    """k: tokens are stable from the depth on from which they stay among the likeliest k."""
    matched: bool
    """Whether positions are compared at equal entropy of the model's output."""
    crossing: str
    """``first`` or ``stable``."""
    difference: Measured
    """In depths; below 0 the first group comes earlier."""


def onset_contrasts(
    table: ReadingTable,
    right_N: Bools,
    *,
    what: str,
    first_N: Bools,
    second_N: Bools,
    thresholds: tuple[int, ...],
    token: int = 0,
) -> tuple[Contrast, ...]:
    """Compare two groups of positions, for each lens, case and threshold, unmatched and matched.

    Args:
        table: the positions.
        right_N: whether the model's prediction is the true token.
        what: the two groups in words.
        first_N: the one group.
        second_N: the other.
        thresholds: values of k.
        token: which of the tokens that are asked for.
    """
    resamples = Resamples(table.drawn_by)
    contrasts = []
    for lens, readings in table.lenses.items():
        bands_N = entropy_bands(readings.entropy_SN[-1].astype(np.float64))
        for threshold in thresholds:
            onsets = onsets_of(readings.rank_SNK[:, :, token], threshold)
            for crossing, onset_N in (("first", onsets.first_N), ("stable", onsets.stable_N)):
                for case, case_N in (("right", right_N), ("wrong", ~right_N)):
                    rows_N = case_N & ~np.isnan(onset_N)
                    for matched in (False, True):
                        contrasts.append(
                            Contrast(
                                lens=lens,
                                what=what,
                                case=case,
                                threshold=threshold,
                                matched=matched,
                                crossing=crossing,
                                difference=difference(
                                    resamples,
                                    np.nan_to_num(onset_N),
                                    first_N & rows_N,
                                    second_N & rows_N,
                                    bands_N if matched else None,
                                ),
                            )
                        )
    return tuple(contrasts)


def entropy_bands(entropy_N: Floats) -> Floats:
    """The band of each position, by quantiles of all."""
    if not len(entropy_N):
        return entropy_N
    ends = np.quantile(entropy_N, np.linspace(0, 1, NUM_BANDS + 1)[1:-1])
    return np.searchsorted(ends, entropy_N, side="right").astype(np.float64)


def difference(
    resamples: Resamples,
    values_N: Floats,
    first_N: Bools,
    second_N: Bools,
    bands_N: Floats | None = None,
) -> Measured:
    """The mean of one group minus that of another.

    Args:
        resamples: the draws of prompts.
        values_N: what is averaged.
        first_N: the one group.
        second_N: the other.
        bands_N: where positions are compared only within bands; ``None``: all with all.
    """
    if bands_N is None:
        bands_N = np.zeros(len(values_N))
    inside_NQ = bands_N[:, None] == np.arange(NUM_BANDS)
    counts, means = [], []
    for group_N in (first_N, second_N):
        chosen_NQ = inside_NQ & group_N[:, None]
        counts.append(resamples.sums(chosen_NQ.astype(float)))
        means.append(resamples.ratio(chosen_NQ * values_N[:, None], chosen_NQ.astype(float)))
    weights_BQ = np.minimum(*counts)
    known_BQ = np.where(weights_BQ > 0, means[0] - means[1], 0.0)
    whole_B = weights_BQ.sum(axis=1)
    drawn_B = (weights_BQ * known_BQ).sum(axis=1) / np.where(whole_B > 0, whole_B, np.nan)
    return resamples.estimate(drawn_B, first_N | second_N)
