import numpy as np
import pytest

from search_cluster.depth.resamples import Resamples


def test_the_first_draw_is_the_sample_itself() -> None:
    values = np.array([1.0, 2.0, 6.0])
    assert Resamples(np.array([0, 1, 2])).ratio(values, np.ones(3))[0] == 3.0


def test_positions_of_one_prompt_are_drawn_together() -> None:
    """A hundred equal positions of each of eight prompts say no more than eight positions."""
    values = np.repeat([0.0, 1.0] * 4, 100)
    alone = Resamples(np.arange(800)).mean(values)
    together = Resamples(np.repeat(np.arange(8), 100)).mean(values)
    assert alone.value == together.value == 0.5
    assert together.prompts == 8
    assert (together.high or 0) - (together.low or 0) > 5 * ((alone.high or 0) - (alone.low or 0))


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(200):
        found = Resamples(np.arange(60), num_draws=400).mean(rng.normal(size=60))
        hits += (found.low or 0) <= 0 <= (found.high or 0)
    assert 0.88 <= hits / 200 <= 0.99


def test_nothing_to_count_gives_no_figure() -> None:
    found = Resamples(np.arange(3)).mean(np.ones(3), np.zeros(3, dtype=bool))
    assert (found.value, found.low, found.high, found.n) == (None, None, None, 0)


def test_a_few_prompts_give_no_interval_however_many_their_positions() -> None:
    found = Resamples(np.repeat([0, 1], 100)).mean(np.repeat([1.0, 2.0], 100))
    assert (found.value, found.low, found.high) == (1.5, None, None)
    assert not found.excludes_zero
    curve = Resamples(np.zeros(50, dtype=int)).mean_curve(np.ones((3, 50)))
    assert curve.low == (None, None, None)


def test_equal_seeds_give_equal_intervals() -> None:
    values = np.arange(30.0)
    one, two = (Resamples(np.arange(30), seed=3).mean(values) for _ in range(2))
    assert one == two
    assert one != Resamples(np.arange(30), seed=4).mean(values)


def test_a_curve_says_how_many_positions_each_depth_has() -> None:
    part = np.array([[1.0, 0.0], [1.0, 0.0]])
    whole = np.array([[1.0, 0.0], [1.0, 1.0]])
    curve = Resamples(np.arange(2)).curve(part, whole)
    assert curve.n == (2, 1)
    assert curve.value == (1.0, 0.0)
    assert curve.prompts == pytest.approx(2)
