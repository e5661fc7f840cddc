"""The packed layout of calls on a CPU, whose torch has no kernel for it."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.model.engine import executor as executor_module
from search_cluster.model.engine.calls import attention
from search_cluster.model.engine.calls.call_plan import Layout
from search_cluster.model.engine.invariance.arithmetic import Arithmetic, probe_arithmetic


def plain_varlen_attn(
    query_NHE: Tensor,
    key_LGE: Tensor,
    value_LGE: Tensor,
    first_rows: Tensor,
    first_keys: Tensor,
    max_rows: int,
    max_keys: int,
    *,
    scale: float,
    window_size: tuple[int, int],
    enable_gqa: bool,
    num_splits: int,
) -> Tensor:
    """Attention of one sequence after the other, as the kernel is documented."""
    assert num_splits == 1
    assert first_rows.dtype is first_keys.dtype is torch.int32
    repeats = query_NHE.shape[1] // key_LGE.shape[1]
    assert enable_gqa == (repeats > 1)
    before, behind = window_size
    assert behind == 0
    out_NHE = torch.full_like(query_NHE, torch.nan)
    spans = [list(pairwise(ends.tolist())) for ends in (first_rows, first_keys)]
    for (row, row_end), (key, key_end) in zip(*spans, strict=True):
        num_rows, num_keys = row_end - row, key_end - key
        assert num_rows <= max_rows
        assert num_keys <= max_keys
        # The last row sees the last key.
        places = torch.arange(num_keys - num_rows, num_keys)[:, None] - torch.arange(num_keys)
        sees = (places >= 0) if before < 0 else (places >= 0) & (places <= before)
        keys = key_LGE[key:key_end].repeat_interleave(repeats, dim=1)
        values = value_LGE[key:key_end].repeat_interleave(repeats, dim=1)
        scores = torch.einsum("nhe,lhe->hnl", query_NHE[row:row_end], keys) * scale
        weights = scores.masked_fill(~sees, -torch.inf).softmax(dim=-1)
        out_NHE[row:row_end] = torch.einsum("hnl,lhe->nhe", weights, values)
    return out_NHE


def packed(model: PreTrainedModel) -> Arithmetic:
    """The arithmetic of a model whose calls fill nothing up."""
    return replace(probe_arithmetic(model), layout=Layout.PACKED)


def run_packed(patch: pytest.MonkeyPatch) -> None:
    """Let engines that are made from now on run the packed layout."""
    patch.setattr(executor_module, "probe_arithmetic", packed)
    patch.setattr(attention, "varlen_attn", plain_varlen_attn)
