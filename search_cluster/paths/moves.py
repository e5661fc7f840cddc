"""Moves: how one layer path turns into its successors, and the moves of order-keeping paths.

A move numbers its candidate edits, so that one edit can be drawn and made without listing the
others: a node of a search has hundreds of successors, of which it tries a few. A move never returns
an equal path.
"""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Protocol

from search_cluster.paths.layer_path import LayerPath


class Move(Protocol):
    """One kind of edit. It is pure: equal arguments give equal answers."""

    def num_edits(self, path: LayerPath) -> int:
        """How many candidate edits of ``path`` there are; some may turn out to be impossible."""
        ...

    def edit(self, path: LayerPath, index: int) -> LayerPath | None:
        """What candidate ``index`` makes of ``path``; ``None`` if it is impossible here.

        The index is in ``[0, num_edits(path))``. The result is never a path equal to ``path``.
        Limits of the final path are not the move's business. Two candidates may make the same path.
        """
        ...


def num_windows(length: int, max_size: int) -> int:
    """How many runs of 1 to ``max_size`` neighbours a row of ``length`` places has."""
    return sum(length - size + 1 for size in range(1, min(max_size, length) + 1))


def nth_window(index: int, length: int) -> tuple[int, int]:
    """The first place and the size of run ``index`` in a row of ``length``.

    Runs are in the order of their sizes, then of their first places.
    """
    size = 1
    while index > length - size:
        index -= length - size + 1
        size += 1
    return index, size


@dataclass(frozen=True, slots=True)
class SkipAdjacent:
    """Skip 1 to ``max_layers`` adjacent layers that still run once (Dr.LLM, section 4).

    It is for order-keeping paths.
    """

    max_layers: int

    def num_edits(self, path: LayerPath) -> int:
        """The number of runs of the model's layers, whether they still run or not."""
        return num_windows(path.num_layers, self.max_layers)

    def edit(self, path: LayerPath, index: int) -> LayerPath | None:
        """The path with one run of layers skipped.

        It is impossible if one of them does not run exactly once, or if no other layer runs.
        """
        first, size = nth_window(index, path.num_layers)
        layers = path.layers
        start = bisect_left(layers, first)
        stop = start + size
        if layers[start:stop] != tuple(range(first, first + size)) or len(layers) == size:
            return None
        if stop < len(layers) and layers[stop] == first + size - 1:
            return None  # the last one runs again
        return LayerPath.unchecked(layers[:start] + layers[stop:], path.num_layers)


@dataclass(frozen=True, slots=True)
class RepeatOnce:
    """Run one layer, that runs once, again directly after itself (Dr.LLM, section 4).

    It is for order-keeping paths.
    """

    def num_edits(self, path: LayerPath) -> int:
        """The number of the model's layers."""
        return path.num_layers

    def edit(self, path: LayerPath, index: int) -> LayerPath | None:
        """The path with layer ``index`` repeated; impossible if it does not run exactly once."""
        layers = path.layers
        at = bisect_left(layers, index)
        if layers[at : at + 1] != (index,) or layers[at + 1 : at + 2] == (index,):
            return None
        return LayerPath.unchecked(layers[: at + 1] + layers[at:], path.num_layers)
