"""Intervals over prompts: whole prompts are drawn again, with all their positions.

Positions of one prompt are alike, so that drawing them one by one would make intervals too narrow.
So are questions that ask for one fact: there facts are drawn, with all their questions, and what is
said of prompts here holds of facts.
The first row of every array of resamples is the sample itself.

Shapes: N positions, B resamples and before them the sample, M figures.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from search_cluster.model.depth_states.tables import Bools, Floats, Ints
from search_cluster.stats import CONFIDENCE

NUM_DRAWS = 1000
"""Resamples of an interval."""
MIN_PROMPTS = 5
"""Prompts that an interval needs: drawn again, fewer say next to nothing, and one says nothing."""
DIGITS = 6
"""Significant digits of a figure in a file: more are noise of the arithmetic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A figure with its 95 % interval over prompts."""

    value: float | None
    """The figure; ``None`` where there is nothing to count."""
    low: float | None
    """The interval's lower end; ``None`` with fewer than `MIN_PROMPTS` prompts."""
    high: float | None
    """The interval's upper end."""
    n: int
    """Positions, or questions, that it is of."""
    prompts: int
    """Prompts that they are of."""

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval says which sign the figure has."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A figure for each depth, with its 95 % interval over prompts."""

    value: tuple[float | None, ...]
    """The figure; ``None`` where there is nothing to count."""
    low: tuple[float | None, ...]
    """The interval's lower ends."""
    high: tuple[float | None, ...]
    """The interval's upper ends."""
    n: tuple[int, ...]
    """Positions that each figure is of."""
    prompts: int
    """Prompts that they are of."""


class Resamples:
    """Weights of positions in draws of whole prompts.

    Args:
        prompt_N: the prompt of each position.
        seed: of the draws.
        num_draws: how many.
    """

    def __init__(self, prompt_N: Ints, *, seed: int = 0, num_draws: int = NUM_DRAWS) -> None:
        names, place_N = np.unique(prompt_N, return_inverse=True)
        self.prompt_N = place_N
        self.num_prompts = len(names)
        rng = np.random.default_rng(seed)
        shares = np.full(self.num_prompts, 1 / max(1, self.num_prompts))
        counts = rng.multinomial(self.num_prompts, shares, size=num_draws)
        drawn_BP = np.concatenate([np.ones((1, self.num_prompts)), counts])
        self._drawn_BP = drawn_BP
        ones = np.ones(len(place_N))
        self._member_PN = csr_array(
            (ones, (place_N, np.arange(len(place_N)))), shape=(self.num_prompts, len(place_N))
        )

    def sums(self, values_NM: ArrayLike) -> Floats:
        """The sums ``[B, M]`` of values ``[N, M]`` (or ``[B]`` of ``[N]``) over positions."""
        values = np.asarray(values_NM, dtype=np.float64)
        sums: Floats = self._drawn_BP @ (self._member_PN @ values)
        return sums

    def ratio(self, part_NM: ArrayLike, whole_NM: ArrayLike) -> Floats:
        """The sum of the one by the sum of the other, NaN where the other is 0."""
        part, whole = self.sums(part_NM), self.sums(whole_NM)
        whole = np.where(whole == 0, np.nan, whole)
        ratio: Floats = part / (whole if whole.ndim == part.ndim else whole[:, None])
        return ratio

    def mean(self, values_N: ArrayLike, where_N: Bools | None = None) -> Measured:
        """The mean of values over some of the positions."""
        values = np.asarray(values_N, dtype=np.float64)
        rows = np.ones(len(values), dtype=bool) if where_N is None else where_N
        drawn_B = self.ratio(np.where(rows, values, 0.0), rows.astype(float))
        return self.estimate(drawn_B, rows)

    def estimate(self, drawn_B: Floats, where_N: Bools) -> Measured:
        """The figure of the sample, with the interval of its draws.

        Args:
            drawn_B: the figure in the sample and in each draw.
            where_N: the positions that it is of.
        """
        value, low, high = _ends(drawn_B)
        num_prompts = len(np.unique(self.prompt_N[where_N]))
        if num_prompts < MIN_PROMPTS:
            low = high = None
        return Measured(value=value, low=low, high=high, n=int(where_N.sum()), prompts=num_prompts)

    def curve(self, part_NM: ArrayLike, whole_NM: ArrayLike) -> Curve:
        """The ratio of two sums for each depth."""
        whole = np.asarray(whole_NM, dtype=np.float64)
        drawn_BM = self.ratio(part_NM, whole)
        ends = [_ends(drawn_B) for drawn_B in drawn_BM.T]
        if self.num_prompts < MIN_PROMPTS:
            ends = [(value, None, None) for value, _, _ in ends]
        counts = np.broadcast_to((whole > 0).sum(axis=0), drawn_BM.shape[1:])
        return Curve(
            value=tuple(value for value, _, _ in ends),
            low=tuple(low for _, low, _ in ends),
            high=tuple(high for _, _, high in ends),
            n=tuple(int(count) for count in counts),
            prompts=self.num_prompts,
        )

    def mean_curve(self, values_SN: ArrayLike, where_N: Bools | None = None) -> Curve:
        """The mean over positions at each depth."""
        values_NS = np.asarray(values_SN, dtype=np.float64).T
        rows = np.ones(len(values_NS), dtype=bool) if where_N is None else where_N
        whole_NS = np.broadcast_to(rows[:, None], values_NS.shape).astype(float)
        return self.curve(np.where(rows[:, None], values_NS, 0.0), whole_NS)


def rounded(value: float) -> float | None:
    """The value to `DIGITS` significant digits; ``None`` for NaN."""
    return None if not np.isfinite(value) else float(f"{value:.{DIGITS}g}")


def _ends(drawn_B: Floats) -> tuple[float | None, float | None, float | None]:
    value = rounded(float(drawn_B[0]))
    draws = drawn_B[1:][np.isfinite(drawn_B[1:])]
    if value is None or not len(draws):
        return value, None, None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return value, rounded(float(low)), rounded(float(high))
