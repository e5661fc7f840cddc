"""Moves on blocks, which are runs of neighbouring places of a path (CoLa, arXiv 2507.07996).

Whatever layers stand there makes no difference. Skips may take back repeats, so these moves can
lead back to a path that was left: who walks must keep track.
"""

from dataclasses import dataclass

from search_cluster.paths.layer_path import LayerPath
from search_cluster.paths.moves import nth_window, num_windows


@dataclass(frozen=True, slots=True)
class SkipBlock:
    """Leave out 1 to ``max_size`` neighbouring places of the path."""

    max_size: int

    def num_edits(self, path: LayerPath) -> int:
        """The number of blocks of the path."""
        return num_windows(len(path.layers), self.max_size)

    def edit(self, path: LayerPath, index: int) -> LayerPath | None:
        """The path with one block left out; impossible if nothing else runs."""
        layers = path.layers
        start, size = nth_window(index, len(layers))
        if size == len(layers):
            return None
        return LayerPath.unchecked(layers[:start] + layers[start + size :], path.num_layers)


@dataclass(frozen=True, slots=True)
class RepeatBlock:
    """Run a block of up to ``max_size`` places up to ``max_more`` more times, after itself."""

    max_size: int
    max_more: int

    def num_edits(self, path: LayerPath) -> int:
        """The number of blocks of the path, times the numbers of repeats."""
        return num_windows(len(path.layers), self.max_size) * self.max_more

    def edit(self, path: LayerPath, index: int) -> LayerPath | None:
        """The path with one block repeated, which is always possible."""
        layers = path.layers
        window, more = divmod(index, self.max_more)
        start, size = nth_window(window, len(layers))
        stop = start + size
        return LayerPath.unchecked(
            layers[:stop] + layers[start:stop] * (more + 1) + layers[stop:], path.num_layers
        )


@dataclass(frozen=True, slots=True)
class SwapBlocks:
    """Exchange two neighbouring blocks of 1 to ``max_size`` places each, as CoLa re-orders."""

    max_size: int

    def num_edits(self, path: LayerPath) -> int:
        """The number of borders between places, times the sizes of the blocks before and after."""
        return (len(path.layers) - 1) * self.max_size**2

    def edit(self, path: LayerPath, index: int) -> LayerPath | None:
        """The path with two blocks exchanged.

        It is impossible if one sticks out of the path, or if both together read the same after.
        """
        layers = path.layers
        border, sizes = divmod(index, self.max_size**2)
        before, after = divmod(sizes, self.max_size)
        middle = border + 1
        start, stop = middle - before - 1, middle + after + 1
        if start < 0 or stop > len(layers):
            return None
        swapped = layers[middle:stop] + layers[start:middle]
        if swapped == layers[start:stop]:
            return None
        return LayerPath.unchecked(layers[:start] + swapped + layers[stop:], path.num_layers)
