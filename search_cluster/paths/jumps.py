"""Jumps of a layer path: where it leaves out layers of the plain model."""

import re
from itertools import pairwise
from typing import NamedTuple

from search_cluster.errors import InvalidPathError
from search_cluster.paths.layer_path import LayerPath

_JUMP = re.compile(r"\s*(-?\d+)\s*:\s*(-?\d+)\s*")


class Jump(NamedTuple):
    """From one layer to another behind it, with at least one layer between them left out."""

    before: int
    """The layer that runs last before the jump; -1: none, the state is the embedding."""
    after: int
    """The layer that runs next; as many as the model has layers: none, the final norm is next."""

    def __str__(self) -> str:
        return f"{self.before}:{self.after}"

    @property
    def num_skipped(self) -> int:
        """The number of layers that are left out."""
        return self.after - self.before - 1


def steps_of(path: LayerPath) -> tuple[Jump, ...]:
    """Where each layer of a path, and then the final norm, comes from: one more than its layers.

    Most are no jumps: they go to the next layer, or back.
    """
    return tuple(Jump(*step) for step in pairwise((-1, *path.layers, path.num_layers)))


def jumps_of(path: LayerPath) -> tuple[Jump, ...]:
    """The distinct jumps of a path, in its order."""
    return tuple(dict.fromkeys(step for step in steps_of(path) if step.num_skipped > 0))


def parse_jump(text: str, num_layers: int) -> Jump:
    """The jump that a text such as ``16:20`` names.

    Raises:
        InvalidPathError: it names none, or one that a model of that depth does not have.
    """
    found = _JUMP.fullmatch(text)
    jump = None if found is None else Jump(int(found[1]), int(found[2]))
    if jump is None or not (-1 <= jump.before < jump.after - 1 <= num_layers - 1):
        raise InvalidPathError(
            f"jump {text!r} is none of a model of {num_layers} layers; write BEFORE:AFTER with a "
            f"layer between them, such as 16:20 (-1: from the embedding, {num_layers}: to the "
            "final norm)"
        )
    return jump
