"""Edits make a path, and are found in one again."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.errors import InvalidPathError
from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.edits import Edit, edits_of_path, path_of_edits

NUM_LAYERS = 12


@st.composite
def some_edits(draw: st.DrawFn) -> list[Edit]:
    """Edits of disjoint blocks that leave something to run."""
    ends = sorted(draw(st.sets(st.integers(0, NUM_LAYERS), min_size=2, max_size=8)))
    counts = st.sampled_from([0, 1, 1, 2, 3])
    blocks = pairwise(ends)
    return [Edit(*block, count) for block in blocks if (count := draw(counts)) != 1]


@given(edits=some_edits())
def test_the_edits_of_a_path_make_it(edits: list[Edit]) -> None:
    try:
        path = path_of_edits(edits, NUM_LAYERS)
    except InvalidPathError:  # all layers are left out
        return
    found = edits_of_path(path)
    assert path_of_edits(found, NUM_LAYERS) == path
    assert len(found) <= len(edits)  # neighbouring skips are one


@pytest.mark.parametrize(
    ("text", "edits"),
    [
        ("0-11", ()),
        ("0-4,7-11", (Edit(5, 7, 0),)),
        ("0-6,5,6,5-11", (Edit(5, 7, 3),)),
        ("1-4,3-8", (Edit(0, 1, 0), Edit(3, 5, 2), Edit(9, 12, 0))),
        ("0-5,5-6,6-11", (Edit(5, 6, 2), Edit(6, 7, 2))),
        ("11,0-10", ()),
        ("0-5,3-4,7-11", ()),
    ],
)
def test_known_paths(text: str, edits: tuple[Edit, ...]) -> None:
    assert edits_of_path(parse_path(text, NUM_LAYERS)) == edits


def test_edits_are_said_as_people_say_them() -> None:
    assert [str(Edit(*values)) for values in ((18, 20, 0), (3, 4, 2), (12, 15, 3))] == [
        "skip 18-19", "repeat 3", "repeat 12-14 x3",
    ]  # fmt: skip
    assert [Edit(*values).num_layers_added for values in ((18, 20, 0), (12, 15, 3))] == [-2, 6]


@pytest.mark.parametrize(
    ("edits", "complaint"),
    [
        ([(3, 5, 0), (4, 6, 2)], "skip 3-4 and repeat 4-5 overlap"),
        ([(3, 13, 0)], "skip 3-12 of a model with layers 0..11"),
        ([(0, 12, 0)], "path \\(\\) is empty"),
        ([(3, 3, 0)], "it holds at least one"),
        ([(3, 4, 1)], "a block that runs 1 times"),
    ],
)
def test_what_can_not_be_is_refused(edits: list[tuple[int, int, int]], complaint: str) -> None:
    with pytest.raises(InvalidPathError, match=complaint):
        path_of_edits([Edit(*values) for values in edits], NUM_LAYERS)


def test_a_path_of_the_plain_model_has_no_edits() -> None:
    assert edits_of_path(LayerPath.identity(NUM_LAYERS)) == ()
