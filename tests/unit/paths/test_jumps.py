"""Jumps: where a path leaves out layers."""

import pytest

from search_cluster.errors import InvalidPathError
from search_cluster.paths.jumps import Jump, jumps_of, parse_jump, steps_of
from search_cluster.paths.layer_path import LayerPath


def test_steps_lead_to_each_layer_and_to_the_final_norm() -> None:
    path = LayerPath((1, 1, 4, 2), 6)
    assert steps_of(path) == ((-1, 1), (1, 1), (1, 4), (4, 2), (2, 6))
    assert jumps_of(path) == (Jump(-1, 1), Jump(1, 4), Jump(2, 6))


def test_a_path_that_leaves_nothing_out_has_no_jumps() -> None:
    assert jumps_of(LayerPath.identity(6)) == ()
    assert jumps_of(LayerPath((0, 1, 2, 1, 2, 3, 4, 5, 5), 6)) == ()


def test_a_jump_that_is_made_twice_counts_once() -> None:
    assert jumps_of(LayerPath((0, 3, 0, 3, 4, 5), 6)) == (Jump(0, 3),)


def test_jumps_are_written_as_they_are_read() -> None:
    for jump in (Jump(16, 20), Jump(-1, 1), Jump(28, 30)):
        assert parse_jump(str(jump), 30) == jump
    assert Jump(16, 20).num_skipped == 3


@pytest.mark.parametrize("text", ["16", "16:17", "16:16", "20:16", "-2:3", "28:31", "a:b", "16-20"])
def test_what_is_no_jump_is_refused(text: str) -> None:
    with pytest.raises(InvalidPathError, match="is none of a model of 30 layers; write BEFORE"):
        parse_jump(text, 30)
