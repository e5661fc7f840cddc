from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.paths.block_moves import RepeatBlock, SkipBlock, SwapBlocks
from search_cluster.paths.layer_path import LayerPath
from search_cluster.paths.moves import Move

Layers = tuple[int, ...]


@st.composite
def layer_paths(draw: st.DrawFn) -> LayerPath:
    # Few layers, so that blocks often read alike.
    num_layers = draw(st.integers(1, 5))
    layers = draw(st.lists(st.integers(0, num_layers - 1), min_size=1, max_size=9))
    return LayerPath(tuple(layers), num_layers)


def edits(move: Move, path: LayerPath) -> list[Layers]:
    made = [move.edit(path, index) for index in range(move.num_edits(path))]
    return [edited.layers for edited in made if edited is not None]


def without_a_block(x: Layers) -> set[Layers]:
    return {x[:i] + x[j:] for i in range(len(x)) for j in range(i + 1, min(i + 4, len(x)) + 1)} - {
        ()
    }


def with_a_block_repeated(x: Layers) -> set[Layers]:
    return {
        x[:j] + x[i:j] * more + x[j:]
        for i in range(len(x))
        for j in range(i + 1, min(i + 4, len(x)) + 1)
        for more in (1, 2, 3, 4)
    }


def with_two_blocks_exchanged(x: Layers) -> set[Layers]:
    n = len(x)
    return {
        x[:i] + x[j:k] + x[i:j] + x[k:]
        for i in range(n)
        for j in range(i + 1, min(i + 4, n) + 1)
        for k in range(j + 1, min(j + 4, n) + 1)
    } - {x}


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        (SkipBlock(4), without_a_block),
        (RepeatBlock(max_size=4, max_more=4), with_a_block_repeated),
        (SwapBlocks(4), with_two_blocks_exchanged),
    ],
    ids=["skip", "repeat", "swap"],
)
@given(path=layer_paths())
def test_a_move_makes_all_its_edits_and_never_an_equal_path(
    move: Move, expected: Callable[[Layers], set[Layers]], path: LayerPath
) -> None:
    made = edits(move, path)
    assert path.layers not in made
    assert set(made) == expected(path.layers)


@given(path=layer_paths(), index=st.integers(0, 10_000))
def test_what_a_move_makes_is_a_valid_path(path: LayerPath, index: int) -> None:
    for move in (SkipBlock(4), RepeatBlock(max_size=4, max_more=4), SwapBlocks(4)):
        edited = move.edit(path, index % move.num_edits(path)) if move.num_edits(path) else None
        if edited is not None:
            assert edited == LayerPath(edited.layers, path.num_layers)
            assert hash(edited) == hash(LayerPath(edited.layers, path.num_layers))


def test_the_numbers_of_edits_by_hand() -> None:
    path = LayerPath.identity(5)
    assert SkipBlock(4).num_edits(path) == 5 + 4 + 3 + 2
    assert RepeatBlock(max_size=4, max_more=4).num_edits(path) == 4 * (5 + 4 + 3 + 2)
    # Borders 1|4 2|3 3|2 4|1: blocks of 1..4 on both sides that fit.
    assert len(edits(SwapBlocks(4), path)) == 4 + 6 + 6 + 4
