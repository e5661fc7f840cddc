import numpy as np

from search_cluster.depth.contrasts import difference, entropy_bands
from search_cluster.depth.resamples import Resamples


def test_matched_a_difference_of_mixture_alone_disappears() -> None:
    """Onset follows entropy alone; the first group is easy nine times in ten."""
    rng = np.random.default_rng(0)
    num = 4000
    first_N = np.arange(num) % 2 == 0
    easy_N = np.where(first_N, rng.random(num) < 0.9, rng.random(num) < 0.1)
    entropy_N = np.where(easy_N, 0.0, 5.0) + rng.random(num)
    onset_N = np.where(easy_N, 5.0, 20.0) + rng.normal(size=num)
    resamples = Resamples(np.arange(num), num_draws=200)
    plain = difference(resamples, onset_N, first_N, ~first_N)
    matched = difference(resamples, onset_N, first_N, ~first_N, entropy_bands(entropy_N))
    assert plain.value is not None
    assert plain.value < -10
    assert matched.value is not None
    assert abs(matched.value) < 1  # what is left is of the one band that holds both kinds


def test_matched_a_true_difference_stays() -> None:
    rng = np.random.default_rng(1)
    first_N = np.arange(2000) % 2 == 0
    onset_N = np.where(first_N, 5.0, 8.0) + rng.normal(size=2000)
    resamples = Resamples(np.arange(2000), num_draws=200)
    found = difference(resamples, onset_N, first_N, ~first_N, entropy_bands(rng.random(2000)))
    assert found.excludes_zero
    assert abs((found.value or 0) + 3) < 0.2


def test_groups_without_a_common_band_have_no_difference() -> None:
    entropy_N = np.repeat([0.0, 9.0], 50)
    first_N = entropy_N == 0
    bands_N = np.where(first_N, 0.0, 1.0)
    found = difference(Resamples(np.arange(100)), entropy_N, first_N, ~first_N, bands_N)
    assert found.value is None
