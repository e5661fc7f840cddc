"""Factors that the benches state are quotients of the rates that stand beside them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.bench import engine
from search_cluster.bench.scaling import real_figures

RATES = st.lists(st.floats(0.1, 1e4), min_size=1, max_size=5)


@given(rates=RATES, others=RATES)
def test_claims_a_ratio_is_that_of_the_medians_and_inside_its_spread(
    rates: list[float], others: list[float]
) -> None:
    found = engine._ratio("r", rates, others)
    assert found.keys() == {"r", "r_min", "r_max"}
    assert found["r_min"] <= found["r"] * (1 + 1e-9)
    assert found["r"] <= found["r_max"] * (1 + 1e-9)


def test_claims_the_ratio_of_scripted_rounds_by_hand() -> None:
    found = engine._ratio("r", [10.0, 30.0, 20.0], [2.0, 5.0, 4.0])
    assert found == {"r": 5.0, "r_min": 2.0, "r_max": 15.0}


def test_claims_rates_come_with_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    # One round of 2 s, one of 4 s, one of 1 s.
    moments = iter([0.0, 2.0, 2.0, 6.0, 6.0, 7.0])
    monkeypatch.setattr(engine.time, "perf_counter", lambda: next(moments))
    assert engine._rates(8, lambda: None) == [4.0, 2.0, 8.0]
    slow = iter([0.0, 20.0])
    monkeypatch.setattr(engine.time, "perf_counter", lambda: next(slow))
    assert engine._rates(8, lambda: None) == [0.4]


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        # The median of the quotients would be 0.943 here.
        ([18.9, 10.0, 22.0], [14.5, 9.43, 30.0], (0.767, 0.767, 1.364)),
        ([10.0], [19.0], (1.9, 1.9, 1.9)),
        ([10.0, 10.0, 10.0], [20.0, 5.0, 15.0], (1.5, 0.5, 2.0)),
    ],
)
def test_claims_the_speed_up_of_two_workers_is_that_of_the_printed_medians(
    one: list[float], two: list[float], expected: tuple[float, float, float]
) -> None:
    found = real_figures({1: one, 2: two})
    names = ("two_workers_speedup", "two_workers_speedup_min", "two_workers_speedup_max")
    assert tuple(found[name] for name in names) == expected
    rates = found["real_paths_per_s"]
    assert found["two_workers_speedup"] == pytest.approx(rates["2"] / rates["1"], abs=1e-3)
    assert found["real_paths_per_s_rounds"] == {"1": one, "2": two}
