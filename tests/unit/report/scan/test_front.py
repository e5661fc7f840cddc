"""The front of finalists: what is on it, what it says, what it takes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scans import scan_result

from search_cluster.report.scan.front import costs_of, front_figure, on_front
from search_cluster.report.scan.tables import front_rows
from search_cluster.scan.result import ScanResult

VALUES = st.lists(
    st.tuples(st.none() | st.integers(-3, 3).map(float), st.none() | st.integers(0, 4).map(float)),
    max_size=7,
)


@pytest.fixture(scope="module")
def result() -> ScanResult:
    return scan_result()


def test_of_known_points() -> None:
    #          best    cheapest  beaten  equal to the best  unknown
    gains = (5.0, 1.0, 4.0, 5.0, None)
    costs = (10.0, 2.0, 11.0, 10.0, 1.0)
    assert on_front(gains, costs) == (True, True, False, True, False)


@given(VALUES)
def test_nothing_on_the_front_is_beaten_and_everything_else_is(values) -> None:
    gains, costs = [gain for gain, _ in values], [cost for _, cost in values]
    front = on_front(gains, costs)
    best = [pair for pair, is_best in zip(values, front, strict=True) if is_best]
    for (gain, cost), is_best in zip(values, front, strict=True):
        if gain is None or cost is None:
            assert not is_best
            continue
        beaten = [
            other
            for other in best
            if other != (gain, cost) and other[0] >= gain and other[1] <= cost
        ]
        assert bool(beaten) is not is_best


def test_layers_and_times_are_shares_of_the_plain_model(result: ScanResult) -> None:
    layers, single, many = costs_of(result)
    assert (layers.plain, single.plain) == (30, 100)
    assert layers.of == tuple(item.summary.layers for item in result.finalists)
    assert single.label == "time, batch 1"
    timing = result.finalists[0].timings[1]
    assert many.of[0] == pytest.approx(100 * timing.seconds / timing.plain_seconds)


def test_each_view_shows_the_plain_model_validation_and_test(result: ScanResult) -> None:
    drawn = front_figure(result)
    assert drawn is not None
    figure = drawn.figure
    views = figure.layout.meta["views"]
    assert [view["label"] for view in views] == ["layers", "time, batch 1", "time, batch 8"]
    assert [any(view["visible"][at] for view in views) for at in range(len(figure.data))] == [
        True
    ] * len(figure.data)
    for view in views:
        names = [
            trace.name
            for trace, visible in zip(figure.data, view["visible"], strict=True)
            if visible
        ]
        assert names == ["front", "plain model", "validation", "test"]
    validation, test = figure.data[2:4]
    assert list(validation.text) == ["1", "2", "3", "4", "5"]
    assert list(test.text) == ["1", "2"]
    first = result.finalists[0].test
    assert test.y[0] == pytest.approx(100 * first.gain)
    assert test.error_y.array[0] == pytest.approx(100 * (first.high - first.gain))
    assert test.error_y.arrayminus[0] == pytest.approx(100 * (first.gain - first.low))
    assert f"{100 * first.accuracy:.1f} % right" in test.hovertext[0]
    assert "batch 8: " in test.hovertext[0]


def test_finalists_of_one_length_stand_beside_each_other(result: ScanResult) -> None:
    same = [replace(item, summary=replace(item.summary, layers=25)) for item in result.finalists]
    drawn = front_figure(replace(result, finalists=tuple(same)))
    assert drawn is not None
    places = drawn.figure.data[2].x
    assert len(set(places)) == 5
    assert max(places) - min(places) < 1, "a reader takes them for 25 layers"


def test_without_times_there_are_layers_alone(result: ScanResult) -> None:
    untimed = replace(
        result, finalists=tuple(replace(item, timings=()) for item in result.finalists)
    )
    drawn = front_figure(untimed)
    assert drawn is not None
    assert [view["label"] for view in drawn.figure.layout.meta["views"]] == ["layers"]
    assert "Times were not measured." in drawn.caption
    assert front_figure(replace(result, finalists=())) is None


def test_the_table_has_a_star_for_the_front_and_ends_with_the_plain_model() -> None:
    result = scan_result(is_sure=False)
    rows = front_rows(result)
    assert (rows[-1].what, rows[-1].gain, rows[-1].costs[0]) == ("plain model", "+0.0", "30 *")
    for row, item in zip(rows, result.finalists, strict=False):
        beaten = item.validation.gain < 0 and item.summary.layers >= 30
        assert ("*" in row.costs[0]) <= (not beaten)
        assert row.costs[0].split()[0] == str(item.summary.layers)
