"""From which depth on a token is among the likeliest: where it enters first, and where it stays.

``first`` is the first depth with rank below k; ``stable`` the first depth from which on the rank
stays below k up to the end. A mean of first crossings over tokens that ever cross hides those that
never do, and those that enter and leave again, so both shares stand beside it.

Shapes: N positions, S states of a position, in order of depth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search_cluster.depth.resamples import Measured, Resamples
from search_cluster.model.depth_states.tables import Bools, Floats, ReadingTable

THRESHOLDS = (1, 5, 10, 100)
"""Ranks that count as "among the likeliest", from 1 for the likeliest."""
OWN = 0
"""Where the model's own prediction stands among the tokens that are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnsetFigures:
    """Where tokens enter the likeliest k, over some positions."""

    lens: str
    group: str
    """Which positions: a word class, the number of an answer's token, ``all``."""
    case: str
    """``right``: the model's prediction is the true token; ``wrong``: it is not."""
    threshold: int
    """k."""
    first: Measured
    """The mean first depth, over those that cross."""
    stable: Measured
    """The mean depth from which on they stay, over those that are there at the end."""
    never: Measured
    """The share that never crosses."""
    leaves: Measured
    """The share that enters, leaves and enters again, or is gone at the end."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Onsets:
    """Where tokens enter the likeliest k, position by position."""

    first_N: Floats
    """NaN: never."""
    stable_N: Floats
    """NaN: not there at the end."""
    leaves_N: Bools
    """Whether it leaves after it has entered."""


def onsets_of(rank_SN: np.typing.ArrayLike, threshold: int) -> Onsets:
    """Where ranks (from 0) fall below a threshold, and where they stay there."""
    inside_SN = np.asarray(rank_SN) < threshold
    num_states = len(inside_SN)
    first_N = np.where(inside_SN.any(axis=0), inside_SN.argmax(axis=0), np.nan)
    num_at_end_N = np.logical_and.accumulate(inside_SN[::-1], axis=0).sum(axis=0)
    stable_N = np.where(num_at_end_N > 0, num_states - num_at_end_N, np.nan)
    leaves_N = inside_SN.any(axis=0) & ~(first_N == stable_N)
    return Onsets(first_N=first_N, stable_N=stable_N, leaves_N=leaves_N)


def onset_figures(
    table: ReadingTable,
    right_N: Bools,
    *,
    groups: Mapping[str, Bools],
    token: int = OWN,
    thresholds: Sequence[int] = THRESHOLDS,
    lenses: Sequence[str] | None = None,
) -> tuple[OnsetFigures, ...]:
    """Where tokens enter, for each lens, group, case and threshold.

    Args:
        table: the positions.
        right_N: whether the model's prediction is the true token.
        groups: the positions of each group.
        token: which of the tokens that are asked for.
        thresholds: values of k.
        lenses: names; ``None``: all of the table.
    """
    resamples = Resamples(table.drawn_by)
    figures = []
    for lens in lenses or table.lenses:
        rank_SN = table.lenses[lens].rank_SNK[:, :, token]
        for threshold in thresholds:
            onsets = onsets_of(rank_SN, threshold)
            for group, inside_N in groups.items():
                for case, case_N in (("right", right_N), ("wrong", ~right_N)):
                    rows_N = inside_N & case_N
                    figures.append(
                        OnsetFigures(
                            lens=lens,
                            group=group,
                            case=case,
                            threshold=threshold,
                            first=mean_of_known(resamples, onsets.first_N, rows_N),
                            stable=mean_of_known(resamples, onsets.stable_N, rows_N),
                            never=resamples.mean(np.isnan(onsets.first_N), rows_N),
                            leaves=resamples.mean(onsets.leaves_N, rows_N),
                        )
                    )
    return tuple(figures)


def mean_of_known(resamples: Resamples, values_N: Floats, where_N: Bools) -> Measured:
    """The mean over positions whose value is not NaN."""
    known_N = where_N & ~np.isnan(values_N)
    return resamples.mean(np.nan_to_num(values_N), known_N)
