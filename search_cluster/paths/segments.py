"""Programs of segments: disjoint runs of layers, each skipped, kept or run several times (PoLar).

What PoLar (arXiv 2606.06574) calls "keep" is every layer that no placed segment covers: keeping
changes nothing, so it is no move. A path tells its segments: a layer runs exactly once if and only
if no segment was placed on it. Segments may be placed in any order.
"""

from dataclasses import dataclass

from search_cluster.paths.layer_path import LayerPath
from search_cluster.paths.moves import nth_window, num_windows


@dataclass(frozen=True, slots=True)
class SkipSegment:
    """Skip a segment of 1 to ``max_size`` layers that no segment covers yet.

    It is for paths within `SegmentLimits`.
    """

    max_size: int

    def num_edits(self, path: LayerPath) -> int:
        """The number of the model's segments, covered or not."""
        return num_windows(path.num_layers, self.max_size)

    def edit(self, path: LayerPath, index: int) -> LayerPath | None:
        """The path with one segment skipped.

        It is impossible if the segment meets another one, or if nothing would be left to run.
        """
        layers = path.layers
        first, size = nth_window(index, path.num_layers)
        start = _place(layers, first, size)
        if start is None or size == len(layers):
            return None
        return LayerPath.unchecked(layers[:start] + layers[start + size :], path.num_layers)


@dataclass(frozen=True, slots=True)
class RepeatSegment:
    """Run a segment of up to ``max_size`` layers 2 to ``max_runs`` times in a row.

    No segment may cover its layers yet. It is for paths within `SegmentLimits`.
    """

    max_size: int
    max_runs: int

    def num_edits(self, path: LayerPath) -> int:
        """The number of the model's segments, covered or not, times the numbers of runs."""
        return num_windows(path.num_layers, self.max_size) * (self.max_runs - 1)

    def edit(self, path: LayerPath, index: int) -> LayerPath | None:
        """The path with one segment repeated; impossible if it meets another one."""
        layers = path.layers
        window, more = divmod(index, self.max_runs - 1)
        first, size = nth_window(window, path.num_layers)
        start = _place(layers, first, size)
        if start is None:
            return None
        stop = start + size
        return LayerPath.unchecked(
            layers[:stop] + layers[start:stop] * (more + 1) + layers[stop:], path.num_layers
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentLimits:
    """Passes the paths that disjoint segments can make, wherever and in whatever order.

    Skipped segments may be neighbours, so any number of layers may be missing together.
    """

    max_size: int
    max_runs: int

    def violation(self, path: LayerPath) -> str | None:
        """The first rule that ``path`` breaks, in words, or ``None``."""
        layers = path.layers
        at, free = 0, 0  # what stands at ``at`` must be layer ``free`` or a later one
        while at < len(layers):
            first = layers[at]
            if first < free:
                return (
                    f"path {path} runs layer {first} after layer {free - 1}; programs of segments "
                    "keep the order"
                )
            ahead = layers[at + 1 : at + 1 + self.max_size]
            size, runs = 1, 1
            if first in ahead:
                size = ahead.index(first) + 1
                runs = _count_runs(layers, at, size)
                if layers[at : at + size] != tuple(range(first, first + size)):
                    return (
                        f"path {path} repeats {layers[at : at + size]}; a segment is a run of "
                        "neighbouring layers"
                    )
            if runs > self.max_runs:
                return (
                    f"path {path} runs layer {first} {runs} times; at most {self.max_runs} are "
                    "allowed"
                )
            at += size * runs
            free = first + size
        return None


def _count_runs(layers: tuple[int, ...], start: int, size: int) -> int:
    """How often the block at ``start`` stands there in a row."""
    block = layers[start : start + size]
    runs = 1
    while layers[start + runs * size : start + (runs + 1) * size] == block:
        runs += 1
    return runs


def _place(layers: tuple[int, ...], first: int, size: int) -> int | None:
    """Where layers ``first .. first + size - 1`` stand if no segment covers any of them.

    It is ``None`` if one does.
    """
    if any(layers.count(layer) != 1 for layer in range(first, first + size)):
        return None
    return layers.index(first)  # all of them run once, so they stand together, in order
