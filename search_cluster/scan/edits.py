"""Edits of the plain path: blocks of neighbouring layers that are left out or run several times.

A candidate of a scan is a set of edits whose blocks do not overlap. Both ends of a block are the
model's layers, whatever other edits do before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from search_cluster.errors import InvalidPathError
from search_cluster.paths.layer_path import LayerPath

TWICE = 2
"""How often a repeated block runs, unless more passes are asked for."""


class EditKind(StrEnum):
    """What happens to a block."""

    SKIP = "skip"
    REPEAT = "repeat"


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """A block of layers that runs another number of times than once, immutable.

    Raises:
        InvalidPathError: the block is empty, or runs once.
    """

    first: int
    """The first layer of the block."""
    end: int
    """The layer after the last one of the block."""
    passes: int
    """How often the block runs: 0 for a skip, 2 or more for a repeat."""

    def __post_init__(self) -> None:
        if not 0 <= self.first < self.end:
            raise InvalidPathError(
                f"a block of layers {self.first} to {self.end}, exclusive; it holds at least one"
            )
        if self.passes < 0 or self.passes == 1:
            raise InvalidPathError(
                f"a block that runs {self.passes} times; it runs 0 times or at least {TWICE}"
            )

    @property
    def kind(self) -> EditKind:
        """What happens to the block."""
        return EditKind.REPEAT if self.passes else EditKind.SKIP

    @property
    def num_layers_added(self) -> int:
        """How many layers longer the path gets; negative for a skip."""
        return (self.passes - 1) * (self.end - self.first)

    def __str__(self) -> str:
        """As people say it: ``skip 18-19``, ``repeat 12-14``, ``repeat 12-14 x3``."""
        last = self.end - 1
        block = str(self.first) if last == self.first else f"{self.first}-{last}"
        times = f" x{self.passes}" if self.passes > TWICE else ""
        return f"{self.kind} {block}{times}"


def path_of_edits(edits: Sequence[Edit], num_layers: int) -> LayerPath:
    """The path that edits make of the plain one.

    Args:
        edits: in any order; their blocks do not overlap.
        num_layers: the model's depth.

    Raises:
        InvalidPathError: blocks overlap or stick out of the model, or nothing is left to run.
    """
    ordered = sorted(edits)
    for before, after in pairwise(ordered):
        if after.first < before.end:
            raise InvalidPathError(f"{before} and {after} overlap; edits have blocks of their own")
    layers: list[int] = []
    at = 0
    for edit in ordered:
        if edit.end > num_layers:
            raise InvalidPathError(f"{edit} of a model with layers 0..{num_layers - 1}")
        layers += range(at, edit.first)
        layers += list(range(edit.first, edit.end)) * edit.passes
        at = edit.end
    layers += range(at, num_layers)
    return LayerPath(tuple(layers), num_layers)


def edits_of_path(path: LayerPath) -> tuple[Edit, ...]:
    """The edits that make a path of the plain one, in the order of their blocks.

    None for the plain path, and for a path that no skips and repeats of blocks make.
    """
    passes: dict[tuple[int, int], int] = {}
    at = 0
    for first, last in path.runs():
        if first > at:
            passes[at, first] = 0
        elif first < at:
            passes[first, at] = passes.get((first, at), 1) + 1
        at = last + 1
    if at < path.num_layers:
        passes[at, path.num_layers] = 0
    try:
        edits = tuple(sorted(Edit(*block, count) for block, count in passes.items()))
        return edits if edits and path_of_edits(edits, path.num_layers) == path else ()
    except InvalidPathError:  # blocks overlap, or one both runs again and is left out
        return ()
