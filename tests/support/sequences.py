"""What FlashAttention's kernel for sequences of unlike lengths computes, on a CPU."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor


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
    """Attention of one sequence after the other, as the kernel is documented.

    In float64, so that a row's bits are the same whatever stands around it.
    """
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
        keys = key_LGE[key:key_end].double().repeat_interleave(repeats, dim=1)
        values = value_LGE[key:key_end].double().repeat_interleave(repeats, dim=1)
        scores = torch.einsum("nhe,lhe->hnl", query_NHE[row:row_end].double(), keys) * scale
        weights = scores.masked_fill(~sees, -torch.inf).softmax(dim=-1)
        out_NHE[row:row_end] = torch.einsum("hnl,lhe->nhe", weights, values).to(out_NHE)
    return out_NHE


def flash_varlen_attn(*arguments: Any, **settings: Any) -> Tensor:
    """The same as FlashAttention 2 does it: a window has a kernel of its own, if it is filled.

    The kernel rounds otherwise; a window that no sequence of the call fills is dropped.
    """
    out_NHE = plain_varlen_attn(*arguments, **settings)
    max_keys, before = arguments[6], settings["window_size"][0]
    return out_NHE if before < 0 or before >= max_keys else out_NHE + 1e-3
