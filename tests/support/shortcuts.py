"""Random shortcuts for tiny models."""

from collections.abc import Sequence
from functools import cache

import torch
from support.bridges import WIDTH, bare_tiny

from search_cluster.model.loaded import LoadedModel
from search_cluster.model.shortcut.attached import with_shortcut
from search_cluster.model.shortcut.shortcut import Shortcut

RANK, NUM_HEADS = 8, 2


def random_shortcut(
    sources: Sequence[int] = (1, 3, 4), *, seed: int = 0, off: bool = False
) -> Shortcut:
    """A shortcut that changes states clearly, or one that is switched off."""
    generator = torch.Generator().manual_seed(seed)
    sizes = {"S": len(sources), "R": RANK, "D": WIDTH, "H": NUM_HEADS}
    tensors = {
        name: torch.randn(*(sizes[letter] for letter in letters), generator=generator) * 0.3
        for name, letters in Shortcut.SHAPES.items()
    }
    for name in Shortcut.FIXED:
        tensors[name] = tensors[name].abs() + 0.5
    if off:
        tensors["output_DR"].zero_()
    return Shortcut(sources, NUM_HEADS, tensors)


@cache
def shortcut_tiny(family: str = "llama", dtype: torch.dtype = torch.float32) -> LoadedModel:
    """A loaded tiny model with a shortcut that changes states."""
    return with_shortcut(bare_tiny(family, dtype), random_shortcut())
