"""Whether a norm gives a row the same bits in any company, tried on the machine at hand.

Shapes: N rows of a call, W values that a norm spans.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from search_cluster.model.engine.fused_norm import fused

NUM_ROWS = 1024
PARTS = (1, 8, 96)
"""Calls of so many rows are compared with one of all."""


def norms_that_lack_it(model: PreTrainedModel) -> list[str]:
    """The names of those kinds of norms whose rows depend on the call, each once."""
    lacking: list[str] = []
    for norm, weight_W in _norms_of(model):
        if weight_W.device.type != "meta" and not _is_invariant(norm, weight_W):
            lacking.append(f"{type(norm).__name__} of {len(weight_W)}")
    return sorted(set(lacking))


def _norms_of(model: PreTrainedModel) -> Iterator[tuple[nn.Module, Tensor]]:
    """One norm of each kind, width and device, as the engine runs it."""
    known: set[tuple[object, ...]] = set()
    for module in (*model.model.layers.modules(), model.model.norm):
        weight_W = getattr(module, "weight", None)
        if "Norm" not in type(module).__name__ or not isinstance(weight_W, Tensor):
            continue
        key = type(module), weight_W.shape, weight_W.device
        if weight_W.dim() == 1 and key not in known:
            known.add(key)
            yield fused(module) or module, weight_W


def _is_invariant(norm: nn.Module, weight_W: Tensor) -> bool:
    generator = torch.Generator().manual_seed(0)
    rows_NW = torch.randn(NUM_ROWS, len(weight_W), generator=generator).to(weight_W)
    whole_NW = norm(rows_NW)
    return all(
        torch.equal(torch.cat([norm(part_NW) for part_NW in rows_NW.split(size)]), whole_NW)  # type: ignore[no-untyped-call]
        for size in PARTS
    )
