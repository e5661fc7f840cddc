"""Rates and the time left, checked by hand."""

import pytest
from support.run_folders import counters

from search_cluster.dashboard.history import seconds_left, session_points, thinned
from search_cluster.telemetry.samples import Sample

SESSION = {"started_at": "2026-01-01T00:00:00+00:00"}


def _sample(second: float, done: int, paths: int = 0, hits: int = 0) -> Sample:
    values = counters(second, done=done, paths=paths, hits=hits)
    return Sample(**{name: values.get(name, 0) for name in Sample.__slots__})


def test_a_rate_is_the_growth_over_the_window_before_it() -> None:
    samples = [_sample(0, 0, 0), _sample(4, 1, 40), _sample(8, 2, 60, 10), _sample(12, 4, 180, 10)]
    points = session_points(SESSION, samples)
    assert [point.epoch_s - 1767225600 for point in points] == [4, 8, 12]
    # A window reaches back at least 6 s where there are samples: 0..4, 0..8, 4..12.
    assert [point.searched_per_s for point in points] == [10, 7.5, pytest.approx(140 / 8)]
    assert points[2].evaluated_per_s == pytest.approx(130 / 8)
    assert points[2].searched_per_device_hour == pytest.approx(3600 * 140 / 16)
    assert points[2].busy_share == pytest.approx(0.9)
    assert [point.examples_done for point in points] == [1, 2, 4]


def test_what_gives_no_rates() -> None:
    samples = [_sample(0, 0), _sample(4, 1)]
    assert session_points({}, samples) == []
    assert session_points({"started_at": "yesterday"}, samples) == []
    assert session_points(SESSION, samples[:1]) == []
    assert session_points(SESSION, [_sample(4, 1), _sample(4, 1)]) == [], "no time passed"


def test_thinning_keeps_the_newest_point() -> None:
    points = session_points(SESSION, [_sample(second, second) for second in range(101)])
    few = thinned(points, 7)
    assert len(few) <= 7
    assert few[-1] == points[-1]
    assert thinned(points, 1000) == points


def test_the_time_left_follows_the_pace_of_late() -> None:
    # 100 examples in the first 100 s (replayed from a cache), then one every 10 s.
    samples = [_sample(second, min(second, 100)) for second in range(0, 101, 2)]
    samples += [_sample(100 + 10 * number, 100 + number) for number in range(1, 31)]
    assert seconds_left(samples, 50) == pytest.approx(500, rel=0.15)
    assert seconds_left(samples, 0) is None
    assert seconds_left(samples[:1], 10) is None
    assert seconds_left([_sample(0, 0), _sample(50, 0)], 10) is None, "nothing ended yet"


def test_a_lull_falls_back_to_the_pace_of_the_session() -> None:
    samples = [_sample(0, 0), _sample(100, 20), _sample(1000, 20), _sample(1300, 20)]
    assert seconds_left(samples, 10) == pytest.approx(650)
