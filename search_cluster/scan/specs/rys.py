"""The notation of RYS: repeated blocks, or a list of layers.

A block (i, j) repeats layers i to j - 1: layers 0 to j - 1 run, then layers i to the last. A
further block goes after the last place of layer j - 1 in the path so far. (0, 0) changes nothing.
Nothing is ever left out, so a path that leaves layers out is a list.
"""

import re
from collections.abc import Iterable
from itertools import pairwise

from search_cluster.errors import InvalidPathError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.specs.layers import write_layers

BLOCKS_PREFIX = "blocks:"
Block = tuple[int, int]
"""The first layer of a block, and the layer after its last one."""
NO_BLOCK: Block = (0, 0)
PAIR = re.compile(r"\(?\s*(\d+)\s*,\s*(\d+)\s*\)?", re.ASCII)
"""A block as RYS writes its keys: ``(31, 34)`` or ``31,34``."""
BARE_PAIR = re.compile(r"\s*(\d+)\s*,\s*(\d+)\s*", re.ASCII)
"""A block that bears no mark of RYS: our own path of two layers is written just so."""


def write_rys(path: LayerPath) -> str:
    """``blocks:31,34;43,45`` if blocks make the path, else ``layers:0,1,2,4``."""
    blocks = blocks_of(path)
    if blocks is None:
        return write_layers(path)
    return BLOCKS_PREFIX + ";".join(f"{first},{end}" for first, end in blocks)


def blocks_of(path: LayerPath) -> tuple[Block, ...] | None:
    """The blocks that make a path, in the order in which they are put in; ``None`` if none do."""
    runs = path.runs()
    if (runs[0][0], runs[-1][1]) != (0, path.num_layers - 1):
        return None
    # From run to run the path jumps back, which is what a block does; a jump ahead is none.
    blocks = tuple((first, last + 1) for (_, last), (first, _) in pairwise(runs))
    return None if any(first >= end for first, end in blocks) else blocks or (NO_BLOCK,)


def read_rys(text: str, num_layers: int) -> LayerPath:
    """The path of ``blocks:31,34;43,45``, of ``31,34;43,45`` or of one pair ``(31, 34)``.

    Raises:
        InvalidPathError: it is not a list of blocks of such a model.
    """
    blocks = []
    for part in text.strip().removeprefix(BLOCKS_PREFIX).split(";"):
        pair = PAIR.fullmatch(part.strip())
        if pair is None:
            raise InvalidPathError(
                f"{text!r} has the block {part!r}; blocks are pairs, as 31,34, with ; in between"
            )
        blocks.append((int(pair[1]), int(pair[2])))
    return path_of_blocks(blocks, num_layers)


def path_of_blocks(blocks: Iterable[Block], num_layers: int) -> LayerPath:
    """The path that blocks make of the plain one, put in one after the other.

    Raises:
        InvalidPathError: a block is empty or sticks out of the model.
    """
    layers = list(range(num_layers))
    for first, end in blocks:
        if (first, end) == NO_BLOCK:
            continue
        if not first < end <= num_layers:
            raise InvalidPathError(
                f"block ({first}, {end}) of a model with layers 0..{num_layers - 1}; (i, j) "
                f"repeats layers i to j - 1, so 0 <= i < j <= {num_layers}: a path of these "
                f"two layers is layers:{first},{end}"
            )
        after = len(layers) - layers[::-1].index(end - 1)
        layers[after:after] = range(first, end)
    return LayerPath(tuple(layers), num_layers)
