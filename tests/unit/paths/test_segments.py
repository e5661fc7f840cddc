from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.paths.layer_path import LayerPath
from search_cluster.paths.segments import RepeatSegment, SegmentLimits, SkipSegment
from search_cluster.paths.space import SearchSpace

Layers = tuple[int, ...]


def programs(first: int, num_layers: int, max_size: int, max_runs: int) -> set[Layers]:
    """All that segments from layer ``first`` on can make, by trying all of them."""
    if first == num_layers:
        return {()}
    made = set()
    for size in range(1, min(max_size, num_layers - first) + 1):
        block = tuple(range(first, first + size))
        for rest in programs(first + size, num_layers, max_size, max_runs):
            made |= {block * runs + rest for runs in range(max_runs + 1)}
    return made


def space(max_size: int, max_runs: int) -> SearchSpace:
    return SearchSpace(
        moves=(SkipSegment(max_size), RepeatSegment(max_size=max_size, max_runs=max_runs)),
        limits=SegmentLimits(max_size=max_size, max_runs=max_runs),
    )


@pytest.mark.parametrize(("max_size", "max_runs"), [(1, 2), (2, 2), (2, 3)])
def test_the_limits_pass_what_segments_make_and_nothing_else(max_size: int, max_runs: int) -> None:
    limits = SegmentLimits(max_size=max_size, max_runs=max_runs)
    legal = programs(0, 3, max_size, max_runs) - {()}
    every = {layers for length in range(1, 10) for layers in product(range(3), repeat=length)}
    assert legal < every
    assert {layers for layers in every if limits.violation(LayerPath(layers, 3)) is None} == legal


@pytest.mark.parametrize(("num_layers", "max_size", "max_runs"), [(3, 2, 3), (4, 4, 2), (5, 2, 2)])
def test_placing_segments_in_whatever_order_reaches_every_program(
    num_layers: int, max_size: int, max_runs: int
) -> None:
    reached = {LayerPath.identity(num_layers)}
    frontier = list(reached)
    while frontier:
        new = set(space(max_size, max_runs).successors(frontier.pop())) - reached
        reached |= new
        frontier.extend(new)
    assert {path.layers for path in reached} == programs(0, num_layers, max_size, max_runs) - {()}


def test_segments_of_two_layers_by_hand() -> None:
    made = space(max_size=2, max_runs=2).successors(LayerPath.identity(2))
    assert [path.layers for path in made] == [(1,), (0,), (0, 0, 1), (0, 1, 1), (0, 1, 0, 1)]


@pytest.mark.parametrize(
    ("layers", "rule"),
    [
        ((0, 2, 1), "runs layer 1 after layer 2; programs of segments keep the order"),
        ((0, 1, 3, 1, 3), "repeats (1, 3); a segment is a run of neighbouring layers"),
        ((0, 0, 0, 0, 0, 0), "runs layer 0 6 times; at most 5 are allowed"),
        ((0, 1, 2, 3, 4, 0, 1, 2, 3, 4), "runs layer 0 after layer 4"),
    ],
)
def test_each_limit_says_what_it_allows(layers: Layers, rule: str) -> None:
    violation = SegmentLimits(max_size=4, max_runs=5).violation(LayerPath(layers, 5))
    assert violation is not None
    assert rule in violation


@given(st.lists(st.integers(0, 10_000), max_size=12), st.integers(1, 12))
def test_segments_never_meet_and_never_change_nothing(draws: list[int], num_layers: int) -> None:
    polar = space(max_size=4, max_runs=5)
    path = LayerPath.identity(num_layers)
    for draw in draws:
        move = polar.moves[draw % 2]
        edited = move.edit(path, draw % move.num_edits(path))
        if edited is not None:
            changed = {
                layer
                for layer in range(num_layers)
                if path.counts()[layer] != edited.counts()[layer]
            }
            assert edited != path
            assert 1 <= len(changed) <= 4
            assert all(path.counts()[layer] == 1 for layer in changed)
            assert polar.limits.violation(edited) is None
            path = edited
