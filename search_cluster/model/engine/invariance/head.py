"""Logits where the head's product is not tried with several numbers of rows, but has one.

On a CPU it is tried as all products are. Elsewhere its sums are float32 in a 16-bit model, by a
product of its own (`float32_logits`), of which each call has the same number of rows: whatever has
room, so that a row has the same bits with any memory, and in an engine of its own.

Shapes: N rows, D width, V vocabulary.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from search_cluster.model.head import float32_logits

TRIED_KINDS = ("cpu",)
"""The kinds of devices on which several numbers of rows are tried."""
HEAD_CALL_ROWS = 128
"""The number of rows of each call elsewhere: as many as fit where there is least room. With fewer
the weights are read more often than a product lasts."""


def is_tried(device: torch.device) -> bool:
    """Whether the head's product is tried there with several numbers of rows."""
    return device.type in TRIED_KINDS


def in_equal_calls(logits_of: Callable[[Tensor], Tensor], final_ND: Tensor) -> Tensor:
    """Logits ``[N, V]`` of final states, of equally many rows at a time where that is not tried.

    Args:
        logits_of: computes them.
        final_ND: the states; one at least.
    """
    if is_tried(final_ND.device):
        return logits_of(final_ND)
    filled_ND = pad(final_ND, (0, 0, 0, -len(final_ND) % HEAD_CALL_ROWS))
    parts = [logits_of(part_ND) for part_ND in filled_ND.split(HEAD_CALL_ROWS)]  # type: ignore[no-untyped-call]
    return (parts[0] if len(parts) == 1 else torch.cat(parts))[: len(final_ND)]


def head_is_invariant(model: PreTrainedModel) -> bool:
    """Whether a row's logits in such a call depend on neither its place nor its neighbours."""
    weight_VD = model.lm_head.weight
    if weight_VD.device.type == "meta":  # where there are no bits
        return True
    generator = torch.Generator().manual_seed(0)
    final_ND = torch.randn(HEAD_CALL_ROWS, weight_VD.shape[1], generator=generator).to(weight_VD)
    expected_NV = float32_logits(model, final_ND)
    for places in (1, HEAD_CALL_ROWS // 2 - 1):
        moved_NV = float32_logits(model, final_ND.roll(places, dims=0))
        if not torch.equal(moved_NV.roll(-places, dims=0), expected_NV):
            return False
    return True
