"""What paths that change answers so much usually gain, learnt from the race itself.

The study's line was fitted to skips of single layers, and charges a block that changes 40 % of what
can be changed for a loss that blocks do not have. A race has hundreds of paths that ran on the same
questions, so what is usual is there to be seen: gains as a falling function of the change, which is
all that is assumed (empirical Bayes: Efron and Morris 1973, with a monotone mean). Paths that
change much differ more from each other: the spread may only rise, and is never below the study's.

A combination is expected to gain a share of what its parts gained, and then again less, the more it
changes: each step of growth learns how much less.

Pure: equal answers give an equal function.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from search_cluster.scan.constants import ANSWERS, RACE
from search_cluster.scan.edits import Edit
from search_cluster.scan.gain import Gain, Prior, Usual, usual_of_single_layers
from search_cluster.scan.racing.ranking import Estimate
from search_cluster.scan.space import Candidate

CHANGE_DIGITS = 6
"""Changes that differ by less are one."""


@dataclass(frozen=True, slots=True)
class FallingUsual:
    """A function of the change, or of what foretells it, that never rises.

    It is straight between its points.
    """

    changes: tuple[float, ...]
    """In rising order; the first is 0."""
    gains: tuple[float, ...]
    """What is usual there, in worth; 0 at first, because who changes nothing gains nothing."""
    spreads: tuple[float, ...]
    """How far true gains are from it, as a standard deviation; these never fall."""

    def __call__(self, mean_change: float) -> Prior:
        """The usual gain of paths that change answers so much."""
        mean, spread = (
            float(np.interp(mean_change, self.changes, values))
            for values in (self.gains, self.spreads)
        )
        return Prior(mean, spread)


def usual_gain(seen: Iterable[tuple[float, Gain]]) -> Usual:
    """What is usual, from the mean changes and the plain mean gains of paths that nobody chose.

    Args:
        seen: of all paths of a round, in any order; of those that were left over from others, the
            gains would be lucky ones. With fewer than `RaceConstants.usual_paths` of them the
            study's line is taken.
    """
    points = list(seen)
    return usual_of_single_layers if len(points) < RACE.usual_paths else falling_gain(points)


def falling_gain(seen: Iterable[tuple[float, Gain]]) -> FallingUsual:
    """The same of at least one path, however few there are.

    Args:
        seen: how much each changes, by a measure that is 0 where nothing changes, and its gain.
    """
    points = sorted((round(change, CHANGE_DIGITS), gain.mean, gain.error) for change, gain in seen)
    change_P, gain_P, error_P = np.array(points).T
    weight_P = 1.0 / (error_P**2 + ANSWERS.prior_spread**2)
    changes_X, place_P = np.unique(change_P, return_inverse=True)
    weights_X = np.bincount(place_P, weights=weight_P)
    gains_X = np.bincount(place_P, weights=weight_P * gain_P) / weights_X
    # A path that changes nothing gains nothing, and is surer of it than any other.
    falling = isotonic_regression(
        np.concatenate([[0.0], gains_X]),
        weights=np.concatenate([[1.0 / ANSWERS.prior_spread**2], weights_X]),
        increasing=False,
    )
    # What scatters more than its own error was scattered before.
    excess_P = (gain_P - falling.x[1:][place_P]) ** 2 - error_P**2
    excess_X = np.bincount(place_P, weights=excess_P) / np.bincount(place_P)
    rising = isotonic_regression(excess_X, weights=np.bincount(place_P))
    spread_X = np.sqrt(np.maximum(rising.x, ANSWERS.prior_spread**2))
    # One step behind the point in which nothing changes, where a path may be, too.
    return FallingUsual(
        changes=(0.0, *(float(change) + 10.0**-CHANGE_DIGITS for change in changes_X)),
        gains=tuple(float(gain) for gain in falling.x),
        spreads=(ANSWERS.prior_spread, *(float(spread) for spread in spread_X)),
    )


class UsualGains:
    """What the candidates of one search usually gain, as far as it is known.

    It learns as the search goes on, from rounds in which nobody was chosen yet.
    """

    def __init__(self) -> None:
        self._by_step: dict[int, Usual] = {}
        self._of_part: dict[Edit, float] = {}

    def of(self, candidate: Candidate) -> Usual:
        """What is usual for a candidate, as a function of its mean change."""
        single = self._by_step.get(0, usual_of_single_layers)
        if candidate.step == 0:
            return single
        of_parts = self._of_parts(candidate)
        beside = self._by_step.get(candidate.step, single)

        def with_parts(mean_change: float) -> Prior:
            prior = beside(mean_change)
            return Prior(of_parts + prior.mean, prior.spread)

        return with_parts

    def learn(self, step: int, estimates: Sequence[Estimate]) -> None:
        """Learn from a round of a step before which no path was left behind by its answers."""
        if len(estimates) >= RACE.usual_paths:
            self._by_step[step] = usual_gain(
                (item.mean_change, Gain(item.seen.mean - self._expected(item), item.seen.error))
                for item in estimates
            )

    def know_parts(self, estimates: Iterable[Estimate]) -> None:
        """Take note of what single edits gained, before they are combined."""
        for item in estimates:
            if len(item.candidate.edits) == 1:
                self._of_part[item.candidate.edits[0]] = item.gain.mean

    def _expected(self, item: Estimate) -> float:
        return self._of_parts(item.candidate) if item.candidate.step else 0.0

    def _of_parts(self, candidate: Candidate) -> float:
        known = (self._of_part.get(edit, 0.0) for edit in candidate.edits)
        return ANSWERS.parts_share * sum(known)
