"""Where blocks stand in the heat map, what it says of them, and that it stays light."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.scans import ScanSimulation, scan_result, single_edits

from search_cluster.report.scan import heat_map
from search_cluster.report.scan.heat_map import heat_map_figure
from search_cluster.scan.edits import Edit
from search_cluster.scan.result import CandidateSummary

NUM_LAYERS = 6
MASKS = hnp.arrays(bool, st.tuples(st.shared(st.integers(1, 7), key="n")).map(lambda n: n * 2))


def candidate(*edits: Edit, gain: float = 0.0, low: float = -1.0, high: float = 1.0, n: int = 32):
    made = ScanSimulation(num_layers=NUM_LAYERS).candidate(edits, n, 10)
    return replace(made, train=replace(made.train, gain=gain, low=low, high=high), shrunk=gain / 2)


def drawn(candidates: list[CandidateSummary], num_layers: int = NUM_LAYERS):
    figure = heat_map_figure(candidates, num_layers)
    assert figure is not None
    return figure.figure


def line_of(figure, name: str) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """The pieces of a line: from (column, row) to (column, row)."""
    for trace in figure.data:
        if trace.name == name:
            places = list(zip(trace.x, trace.y, strict=True))
            return [(places[at], places[at + 1]) for at in range(0, len(places), 3)]
    return []


def test_repeats_stand_above_the_diagonal_and_skips_below() -> None:
    figure = drawn([candidate(Edit(1, 4, 2), gain=0.05), candidate(Edit(2, 6, 0), gain=-0.3)])
    shrunk, gain, hover = figure.data[:3]
    assert gain.z[1][4] == pytest.approx(5)
    assert gain.z[6][2] == pytest.approx(-30)
    assert shrunk.z[1][4] == pytest.approx(2.5)
    assert np.isnan(np.asarray(gain.z, dtype=float)).sum() == 7 * 7 - 2
    assert hover.text[1][4].startswith("repeat 1-3, 9 of 6 layers<br>gain +5.0 points (-100.0 to")
    assert "skip 2-5, 2 of 6 layers" in hover.text[6][2]
    assert "32 questions; shrunk worth -15.0" in hover.text[6][2]
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1], "row 0 is the top one"


def test_the_scale_is_symmetric_and_as_wide_as_the_largest_gain() -> None:
    figure = drawn([candidate(Edit(0, 1, 2), gain=0.08), candidate(Edit(0, 1, 0), gain=-0.6)])
    shrunk, gain = figure.data[:2]
    assert (gain.zmin, gain.zmax) == (pytest.approx(-8), pytest.approx(8))
    assert (shrunk.zmin, shrunk.zmax) == (pytest.approx(-4), pytest.approx(4))
    nothing = drawn([candidate(Edit(0, 1, 0), gain=-0.6)]).data[1]
    assert (nothing.zmin, nothing.zmax) == (-2, 2)


def test_views_switch_the_colours_and_nothing_else() -> None:
    figure = drawn([candidate(Edit(0, 1, 2), gain=0.08), candidate(Edit(3, 5, 0), low=0.01, n=96)])
    first, second = figure.layout.meta["views"]
    assert (first["label"], second["label"]) == ("shrunk worth", "gain as measured")
    assert first["visible"][:2] == (True, False)
    assert second["visible"][:2] == (False, True)
    assert all(first["visible"][2:])
    assert len(first["visible"]) == len(figure.data) == 5
    assert [trace.visible for trace in figure.data[:2]] == [True, False]
    assert second["limit"] == pytest.approx(8)


def test_outlines_tell_sure_gains_from_sure_losses_and_hatching_few_questions() -> None:
    sure, worse = Edit(2, 4, 0), Edit(0, 2, 2)
    figure = drawn(
        [
            candidate(sure, low=0.01, n=524),
            candidate(worse, high=-0.01),
            candidate(Edit(1, 3, 2)),
        ]
    )
    around_sure = {((1.5, row), (2.5, row)) for row in (3.5, 4.5)}
    assert around_sure <= set(line_of(figure, "surely better"))
    assert len(line_of(figure, "surely better")) == len(line_of(figure, "surely worse")) == 4
    assert ((1.5, -0.5), (2.5, -0.5)) in line_of(figure, "surely worse")
    # Cells (row 0, column 2) and (1, 3) are neighbours on one diagonal: one stroke through both.
    assert line_of(figure, "few questions") == [((1.5, -0.5), (3.5, 1.5))]


def test_nothing_is_hatched_where_all_have_as_many_questions() -> None:
    figure = heat_map_figure([candidate(Edit(0, 1, 2)), candidate(Edit(0, 1, 0))], NUM_LAYERS)
    assert figure is not None
    assert line_of(figure.figure, "few questions") == []
    assert "All cells ran on the same 32 questions." in figure.caption


@given(MASKS)
def test_an_outline_is_every_border_and_no_other(mask: np.ndarray) -> None:
    columns, rows = heat_map._outline(mask)
    across, along = set(), set()
    for at in range(0, len(columns), 3):
        (x0, x1), (y0, y1) = columns[at : at + 2], rows[at : at + 2]
        if y0 == y1:
            along |= {(y0, x + 0.5) for x in np.arange(x0, x1)}
        else:
            across |= {(y + 0.5, x0) for y in np.arange(y0, y1)}
    size = len(mask)

    def inside(row: int, column: int) -> bool:
        return 0 <= row < size and 0 <= column < size and bool(mask[row, column])

    places = range(-1, size + 1)
    assert along == {
        (row + 0.5, column)
        for row in places
        for column in range(size)
        if inside(row, column) != inside(row + 1, column)
    }
    assert across == {
        (row, column + 0.5)
        for row in range(size)
        for column in places
        if inside(row, column) != inside(row, column + 1)
    }


@given(MASKS)
def test_hatching_goes_through_its_cells_and_no_other(mask: np.ndarray) -> None:
    columns, rows = heat_map._hatching(mask)
    hit = np.zeros_like(mask)
    for at in range(0, len(columns), 3):
        length = int(columns[at + 1] - columns[at])
        assert rows[at + 1] - rows[at] == length
        for step in range(length):
            hit[int(rows[at] + 0.5) + step, int(columns[at] + 0.5) + step] = True
    assert (hit == mask).all()


def test_further_passes_share_a_cell_and_paths_of_several_edits_have_none() -> None:
    figure = drawn(
        [
            candidate(Edit(1, 2, 3), gain=0.09),
            candidate(Edit(1, 2, 2), gain=0.01),
            candidate(Edit(3, 4, 0), Edit(5, 6, 0), gain=0.2),
        ]
    )
    assert figure.data[1].z[1][2] == pytest.approx(1)
    said = figure.data[2].text[1][2]
    assert said.index("repeat 1,") < said.index("repeat 1 x3,")
    assert (~np.isnan(np.asarray(figure.data[1].z, dtype=float))).sum() == 1
    assert heat_map_figure([candidate(Edit(3, 4, 0), Edit(5, 6, 0))], NUM_LAYERS) is None
    assert heat_map_figure([], NUM_LAYERS) is None


def test_a_deep_model_stays_light() -> None:
    result = scan_result(num_layers=80)
    assert sum(len(item.edits) == 1 for item in result.candidates) == len(single_edits(80)) == 6479
    figure = drawn(list(result.candidates), 80)
    text = figure.to_json()
    assert len(text) < 1_300_000
    assert len(figure.data) <= 6
    assert len(figure.layout.shapes) == 1
    assert sum(len(trace.x) for trace in figure.data if trace.type == "scatter") < 10_000
    assert "bdata" in json.loads(text)["data"][0]["z"], "grids travel as bytes"
