"""Where the weights of the tests' models lie in memory: no test asks for bits that hang on it.

A product of few rows may have other bits where its operands lie at another alignment, and a
checkpoint that is read back lies wherever its file has it. By default, a test finds its models at
whatever place the allocator and the file gave them. With ``pytest --weights-offset BYTES`` every
weight of every model that is built or loaded lies at a place of its own instead, no two models
alike, as they may on another machine.
"""

import itertools
from collections.abc import Iterable
from typing import Any

import torch
from transformers import PreTrainedModel

ALIGNMENT_BYTES = 64
"""What torch's own allocations on a CPU are aligned to."""

_offsets: Iterable[int] | None = None


def scatter_weights(offset_bytes: int) -> None:
    """Place the weights of all models that are built or loaded from now on.

    The first lies so many bytes behind a boundary, the next twice as many.

    Args:
        offset_bytes: a multiple of 4, so that numbers of 32 bits do not straddle. Odd multiples of
            4 go through all places between two boundaries.
    """
    global _offsets
    _offsets = (step * offset_bytes % ALIGNMENT_BYTES for step in itertools.count(1))
    load = PreTrainedModel.from_pretrained.__func__  # type: ignore[attr-defined]

    def from_pretrained(cls: type[PreTrainedModel], *args: Any, **kwargs: Any) -> Any:
        loaded = load(cls, *args, **kwargs)
        scatter(loaded[0] if isinstance(loaded, tuple) else loaded)
        return loaded

    PreTrainedModel.from_pretrained = classmethod(from_pretrained)  # type: ignore[assignment]


def scatter(model: torch.nn.Module) -> None:
    """Move each weight of a model to the next place, if `scatter_weights` asked for it."""
    if _offsets is not None:
        _move(model, _offsets)


def place_weights(model: torch.nn.Module, offset_bytes: int = 0) -> None:
    """Move each weight so many bytes behind a boundary of 64 bytes.

    Its values stay, and tied weights stay tied.     Models whose bits are compared are placed alike
    first.
    """
    _move(model, itertools.repeat(offset_bytes))


def _move(model: torch.nn.Module, offsets: Iterable[int]) -> None:
    for weight, offset in zip([*model.parameters(), *model.buffers()], offsets, strict=False):
        if weight.device.type != "cpu" or not weight.is_contiguous():
            continue
        num_bytes = weight.numel() * weight.element_size()
        memory = torch.empty(num_bytes + 2 * ALIGNMENT_BYTES, dtype=torch.uint8)
        start = -memory.data_ptr() % ALIGNMENT_BYTES + offset
        place = memory[start : start + num_bytes].view(weight.dtype).view(weight.shape)
        weight.data = place.copy_(weight.data)
