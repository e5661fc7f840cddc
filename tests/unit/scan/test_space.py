"""Every contiguous skip and repeat once, and what grows from them."""

import pytest

from search_cluster.paths.codec import parse_path
from search_cluster.paths.cost import PathCosts
from search_cluster.paths.jumps import Jump
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.edits import Edit, path_of_edits
from search_cluster.scan.space import Candidate, first_candidates, grown_candidates

BOTH = ("skip", "repeat")


def candidate(*edits: Edit, num_layers: int = 6) -> Candidate:
    return Candidate(path=path_of_edits(edits, num_layers), edits=edits, step=0)


def test_a_model_of_30_layers_has_929_single_edits() -> None:
    found = first_candidates(30, BOTH, max_block=30, passes=2)
    assert len(found) == 464 + 465
    assert len({item.path for item in found}) == 929
    assert LayerPath(tuple(range(30)) * 2, 30) in {item.path for item in found}
    assert not any(item.path.is_identity for item in found)
    assert all(item.path == path_of_edits(item.edits, 30) for item in found)


@pytest.mark.parametrize(
    ("families", "max_block", "passes", "number"),
    [(("skip",), 6, 2, 20), (("repeat",), 6, 2, 21), (BOTH, 2, 2, 22), (("repeat",), 1, 4, 18)],
)
def test_families_blocks_and_passes_bound_the_space(
    families: tuple[str, ...], max_block: int, passes: int, number: int
) -> None:
    found = first_candidates(6, families, max_block=max_block, passes=passes)
    assert len({item.path for item in found}) == len(found) == number
    blocks = [edit.end - edit.first for item in found for edit in item.edits]
    assert max(blocks) == min(max_block, 6 - (families == ("skip",)))
    assert max(edit.passes for item in found for edit in item.edits) in (0, passes)


def test_listed_paths_come_last_and_not_twice() -> None:
    listed = [parse_path(text, 6) for text in ("0-2,4,5", "5,0-4", "0-5")]
    found = first_candidates(6, BOTH, max_block=6, passes=2, listed=listed)
    assert [str(item.path) for item in found[41:]] == ["5,0-4"]
    assert found[41].edits == ()


def test_candidates_know_what_their_bridges_cost() -> None:
    costs = PathCosts(bridged=frozenset({Jump(0, 3)}), share=0.25)
    found = first_candidates(6, BOTH, max_block=6, passes=2, costs=costs)
    crossing = [item for item in found if item.crossing]
    assert [(str(item.path), item.layers) for item in crossing] == [("0,3-5", 4.25)]
    assert {type(item.layers) for item in found if not item.crossing} == {int}
    last = candidate(Edit(5, 6, 0))
    (grown,) = grown_candidates(crossing, [last], step=1, max_edits=2, known=(), costs=costs)
    assert (str(grown.path), grown.layers) == ("0,3-4", 3.25)


def test_growth_adds_one_edit_to_each_base_and_gives_each_path_once() -> None:
    skip_1, skip_2, repeat_4 = Edit(1, 2, 0), Edit(2, 3, 0), Edit(4, 5, 2)
    bases = [candidate(skip_1), candidate(repeat_4)]
    singles = [candidate(skip_1), candidate(skip_2), candidate(repeat_4)]
    known = {path_of_edits([Edit(1, 3, 0)], 6)}  # both skips: a single edit, and tried
    found = grown_candidates(bases, singles, step=1, max_edits=2, known=known)
    assert [item.edits for item in found] == [(skip_1, repeat_4), (skip_2, repeat_4)]
    assert {item.step for item in found} == {1}


def test_growth_ends_at_the_largest_number_of_edits() -> None:
    base = candidate(Edit(1, 2, 0), Edit(4, 5, 2))
    singles = [candidate(Edit(2, 3, 2))]
    assert not grown_candidates([base], singles, step=2, max_edits=2, known=())
    assert grown_candidates([base], singles, step=2, max_edits=3, known=())
