"""What a layer path does to the states behind it, and where that is repaired.

A state along a path is compared with the plain model's at the same depth: the state after layer l
with the state after layer l. What a skip changes is repaired as far as later layers bring the two
together again.

Shapes: N positions, P states of the path (its layers and the first), S states of the plain model.
"""

from dataclasses import dataclass

import numpy as np

from search_cluster.depth.onset import OWN, onsets_of
from search_cluster.depth.resamples import Curve, Measured, Resamples
from search_cluster.model.depth_states.tables import PathReadings, ReadingTable

REPAIRED_SHARE = 0.5
"""A difference counts as repaired where it is down to half of its peak, and stays there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathFigures:
    """What a path does to depth, through one lens."""

    path: str
    lens: str
    depths: tuple[int, ...]
    """The depth of each state along the path."""
    end_divergence: Curve
    """KL from the plain model's output, at each state."""
    apart: Curve
    """KL from the plain state at the same depth, through the lens."""
    distance: Curve
    """1 - cos of the two states."""
    peak_depth: int
    """Where `apart` is largest."""
    repaired_depth: int | None
    """The first depth from which on it stays below half of that; ``None``: never."""
    last_apart: Measured
    """KL between the outputs."""
    agreement: Measured
    """The share of positions whose prediction stays the plain model's."""
    onset_moved: tuple[Measured, ...]
    """How many layers of the model later (above 0) or earlier its prediction is stable along the
    path, for each threshold; where it is stable at both ends."""
    executed_moved: tuple[Measured, ...]
    """The same, counted in layers that run: a skip makes it smaller."""


def path_figures(
    path: str,
    lens: str,
    depths: tuple[int, ...],
    readings: PathReadings,
    plain: ReadingTable,
    thresholds: tuple[int, ...],
) -> PathFigures:
    """Compare a path with the plain model on the same positions.

    Args:
        path: the path in words.
        lens: the lens' name.
        depths: the depth of each state along it.
        readings: what the lens reads along it.
        plain: what the lenses read of the plain model on the same positions, in the same order.
        thresholds: values of k.
    """
    resamples = Resamples(readings.prompt_N)
    apart = resamples.mean_curve(readings.apart_PN)
    mean_P = np.array([np.nan if item is None else item for item in apart.value])
    peak = int(np.nanargmax(mean_P))
    calm = np.logical_and.accumulate((mean_P <= REPAIRED_SHARE * mean_P[peak])[::-1])[::-1]
    later = [place for place in range(peak, len(mean_P)) if calm[place]]
    rank_SN = plain.lenses[lens].rank_SNK[:, :, OWN]
    moved, executed = [], []
    depth_P = np.array(depths, dtype=np.float64)
    for threshold in thresholds:
        before_N = onsets_of(rank_SN, threshold).stable_N
        place_N = onsets_of(readings.rank_PN, threshold).stable_N
        known_N = ~np.isnan(place_N) & ~np.isnan(before_N)
        place_N = np.nan_to_num(place_N)
        before_N = np.nan_to_num(before_N)
        moved.append(resamples.mean(depth_P[place_N.astype(int)] - before_N, known_N))
        executed.append(resamples.mean(place_N - before_N, known_N))
    return PathFigures(
        path=path,
        lens=lens,
        depths=depths,
        end_divergence=resamples.mean_curve(readings.end_divergence_PN),
        apart=apart,
        distance=resamples.mean_curve(readings.distance_PN),
        peak_depth=depths[peak],
        repaired_depth=depths[later[0]] if later else None,
        last_apart=resamples.mean(readings.apart_PN[-1]),
        agreement=resamples.mean(readings.rank_PN[-1] == 0),
        onset_moved=tuple(moved),
        executed_moved=tuple(executed),
    )
