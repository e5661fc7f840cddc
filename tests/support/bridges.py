"""Random bridges for tiny models, one for every jump that a path can make."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache

import torch
from support import tiny
from support.model_doubles import loaded_tiny

from search_cluster.model.bridge.bridged import with_bridges
from search_cluster.model.bridge.bridges import Bridges
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.jumps import Jump

WIDTH = 32
ALL_JUMPS = tuple(
    Jump(before, after)
    for before in range(-1, tiny.NUM_LAYERS - 1)
    for after in range(before + 2, tiny.NUM_LAYERS + 1)
)


def random_bridges(jumps: Iterable[Jump] = ALL_JUMPS, *, seed: int = 0) -> Bridges:
    """Bridges that change states clearly, without letting them explode."""
    generator = torch.Generator().manual_seed(seed)
    return Bridges(
        {
            jump: (
                0.1 * torch.randn(WIDTH, WIDTH, generator=generator),
                torch.randn(WIDTH, generator=generator),
            )
            for jump in jumps
        }
    )


def zero_bridges(jumps: Iterable[Jump], width: int) -> Bridges:
    """Bridges that change nothing."""
    return Bridges({jump: (torch.zeros(width, width), torch.zeros(width)) for jump in jumps})


@cache
def bare_tiny(family: str = "llama", dtype: torch.dtype = torch.float32) -> LoadedModel:
    """A loaded tiny model of any dtype, without bridges; the same one each time."""
    loaded = loaded_tiny(tiny.tiny_model(family).to(dtype))
    return replace(loaded, dtype=str(dtype).removeprefix("torch."))


@cache
def bridged_tiny(family: str = "llama", dtype: torch.dtype = torch.float32) -> LoadedModel:
    """The same with a bridge for every jump."""
    return with_bridges(bare_tiny(family, dtype), random_bridges())
