"""Random numbers for whole facts: what paths would show if none of them gained anything.

Shapes: F facts, P paths, B resamples.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from search_cluster.scan.statistics.design import Floats

CHUNK = 250
"""Resamples whose numbers are in memory together."""
NUM_RESAMPLES = 2000
"""Resamples, unless more are asked for: the smallest p-value is 0.0005."""

Numbers = NDArray[np.float32]
DrawNumbers = Callable[[np.random.Generator, tuple[int, int]], Numbers]


def random_signs(rng: np.random.Generator, shape: tuple[int, int]) -> Numbers:
    """1 or -1, each as likely."""
    return 2.0 * rng.integers(0, 2, size=shape).astype(np.float32) - 1.0


def normal_numbers(rng: np.random.Generator, shape: tuple[int, int]) -> Numbers:
    """Standard normal numbers."""
    return rng.standard_normal(size=shape, dtype=np.float32)


def largest_sums(
    columns_FP: Floats, draw: DrawNumbers, *, seed: int, num_resamples: int, signed: bool = False
) -> Floats:
    """The largest sum over facts of all columns, in resamples, in rising order.

    Each fact of a resample is multiplied with one number, the same in all columns.

    Args:
        columns_FP: what a fact adds to each sum; at least one column.
        draw: the numbers.
        seed: of the numbers.
        num_resamples: how often they are drawn.
        signed: sums below 0 are small; else the sums' absolute values count.
    """
    rng = np.random.default_rng(seed)
    columns = columns_FP.astype(np.float32)
    largest_B = np.zeros(num_resamples)
    for first in range(0, num_resamples, CHUNK):
        size = min(CHUNK, num_resamples - first)
        sums_BP = draw(rng, (size, len(columns))) @ columns
        largest_B[first : first + size] = (sums_BP if signed else np.abs(sums_BP)).max(axis=1)
    return np.sort(largest_B)
