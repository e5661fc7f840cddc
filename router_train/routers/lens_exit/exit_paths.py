"""Where a path can be left: behind some of its layers, through a translator to the final norm.

A *depth* is a number of layers of the path that ran. On the plain path it is a depth of the model.

Shapes: D width.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch

from search_cluster.errors import ConfigError
from search_cluster.model.bridge.bridges import Bridges
from search_cluster.model.lens.lens import Lens
from search_cluster.model.lens.states import depths_of
from search_cluster.paths.jumps import Jump
from search_cluster.paths.layer_path import LayerPath

FIRST_DEPTH_SHARE = 0.6
"""No exit is tried before this share of the layers."""


def exit_depths(path: LayerPath) -> tuple[int, ...]:
    """The depths at which an exit is tried; none is that of the whole path.

    Raises:
        ConfigError: the path has no exits. Translators are found by the layer that ran last, so no
            layer may run twice, and the last one is the highest.
    """
    if len(path) < 2 or not all(before < after for before, after in pairwise(path.layers)):
        raise ConfigError(
            f"path {path} can't be left early; a lens exit takes a path of at least 2 layers that "
            "runs none twice and keeps the model's order"
        )
    first = min(max(1, round(FIRST_DEPTH_SHARE * len(path))), len(path) - 1)
    return tuple(range(first, len(path)))


def path_to(path: LayerPath, depth: int) -> LayerPath:
    """The first layers of a path."""
    return LayerPath(path.layers[:depth], path.num_layers)


def exit_bridges(path: LayerPath, depths: Sequence[int], lens: Lens) -> Bridges:
    """The translators of some depths as bridges from their last layer to the final norm.

    ``lens`` has one translator for each of the depths, in their order.
    """
    return Bridges(
        {
            Jump(path.layers[depth - 1], path.num_layers): (
                lens.weight_LDD[place],
                lens.bias_LD[place],
            )
            for place, depth in enumerate(depths)
        }
    )


def at_depths(lens: Lens, path: LayerPath, depths: Sequence[int]) -> Lens:
    """The translators of some depths of a path, in their order, of a lens of the plain model."""
    of_plain = depths_of(path)
    chosen = torch.tensor([of_plain[depth] for depth in depths])
    return Lens(
        kind=lens.kind,
        weight_LDD=lens.weight_LDD[chosen].float().cpu(),
        bias_LD=lens.bias_LD[chosen].float().cpu(),
    )
