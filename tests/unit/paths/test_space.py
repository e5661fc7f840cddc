from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.paths.limits import PathLimits
from search_cluster.paths.moves import RepeatOnce, SkipAdjacent, nth_window, num_windows
from search_cluster.paths.space import SearchSpace

LIMITS = PathLimits(max_skipped_run=2, max_layer_uses=2, max_length_ratio=2.0, order_kept=True)
SPACE = SearchSpace(moves=(SkipAdjacent(2), RepeatOnce()), limits=LIMITS)


def test_successors_of_a_three_layer_identity_by_hand() -> None:
    successors = SPACE.successors(LayerPath.identity(3))
    assert [path.layers for path in successors] == [
        (1, 2), (0, 2), (0, 1), (2,), (0,), (0, 0, 1, 2), (0, 1, 1, 2), (0, 1, 2, 2),
    ]  # fmt: skip


def test_limits_hold_for_the_final_path_not_for_each_move() -> None:
    # Layers 0 and 1 are gone; skipping layer 2 as well is one legal move, but makes a run of three.
    successors = SPACE.successors(LayerPath((2, 3, 4), 5))
    assert (3, 4) not in {path.layers for path in successors}
    assert (2, 4) in {path.layers for path in successors}


def test_a_layer_is_never_repeated_twice() -> None:
    assert all(max(path.counts()) <= 2 for path in SPACE.successors(LayerPath((0, 0, 1), 2)))


@pytest.mark.parametrize(
    ("layers", "rule"),
    [
        ((0, 4), "skips 3 adjacent layers; at most 2"),
        ((0, 1, 1, 1, 2, 3, 4), "runs layer 1 3 times; at most 2"),
        ((1, 0, 2, 3, 4), "re-orders layers"),
    ],
)
def test_each_limit_says_what_it_allows(layers: tuple[int, ...], rule: str) -> None:
    assert rule in str(LIMITS.violation(LayerPath(layers, 5)))


def test_the_length_limit_counts_layers() -> None:
    limits = PathLimits(
        max_skipped_run=None, max_layer_uses=None, max_length_ratio=1.5, order_kept=False
    )
    assert "has 4 layers; at most 3" in str(limits.violation(LayerPath((0, 1, 0, 1), 2)))


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12).filter(any))
def test_a_successor_is_legal_new_and_listed_once(decisions: list[int]) -> None:
    path = LayerPath.from_decisions(tuple(decisions))
    successors = SPACE.successors(path)
    assert path not in successors
    assert len(set(successors)) == len(successors)
    assert all(LIMITS.violation(successor) is None for successor in successors)


def test_every_path_within_the_limits_is_reached_by_moves() -> None:
    reached = {LayerPath.identity(5)}
    frontier = list(reached)
    while frontier:
        new = [path for path in SPACE.successors(frontier.pop()) if path not in reached]
        reached.update(new)
        frontier.extend(new)
    every = {
        LayerPath.from_decisions(decisions)
        for decisions in product((0, 1, 2), repeat=5)
        if any(decisions)
    }
    assert reached == {path for path in every if LIMITS.violation(path) is None}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12).filter(any))
def test_edits_are_all_ways_to_skip_a_run_or_repeat_a_layer(decisions: list[int]) -> None:
    free = PathLimits(
        max_skipped_run=None, max_layer_uses=None, max_length_ratio=9.0, order_kept=False
    )
    path = LayerPath.from_decisions(tuple(decisions))
    expected = set()
    for first in range(len(decisions)):
        if decisions[first] == 1:
            expected.add((*decisions[:first], 2, *decisions[first + 1 :]))
        for size in (1, 2):
            if decisions[first : first + size] == [1] * size:
                expected.add((*decisions[:first], *[0] * size, *decisions[first + size :]))
    successors = SearchSpace(moves=(SkipAdjacent(2), RepeatOnce()), limits=free).successors(path)
    assert {successor.decisions() for successor in successors} == {
        wanted for wanted in expected if any(wanted)
    }


@given(st.integers(1, 12), st.integers(1, 5))
def test_windows_are_numbered_without_gaps(length: int, max_size: int) -> None:
    windows = [nth_window(index, length) for index in range(num_windows(length, max_size))]
    assert windows == [
        (at, size) for size in range(1, max_size + 1) for at in range(length - size + 1)
    ]


def test_an_edit_past_the_last_is_a_mistake() -> None:
    path = LayerPath.identity(3)
    with pytest.raises(InvalidValueError, match="edit 8 of a path with 8 candidates"):
        SPACE.edit(path, SPACE.num_edits(path))


def test_edits_are_drawn_evenly_or_by_kind() -> None:
    path = LayerPath.identity(5)
    moves = (SkipAdjacent(2), RepeatOnce())
    assert SearchSpace(moves=moves, limits=LIMITS).group_sizes(path) == (14,)
    assert SearchSpace(moves=moves, limits=LIMITS, kinds_evenly=True).group_sizes(path) == (9, 5)
