"""Attention of sequences of unlike lengths in one call of FlashAttention's kernel for them.

Shapes: N rows of all sequences, L keys of all, H query heads, G key-value heads, E head width.
"""

import inspect
from typing import cast

import torch
from torch import Tensor

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # an older torch
    varlen_attn = None  # type: ignore[assignment]

SETTINGS = {"scale", "window_size", "enable_gqa", "num_splits"}
"""What the kernel is told beside the sequences; torch 2.10 and 2.11 have it without the last."""
FIRST_CAPABILITY = (8, 0)
"""The first cards of NVIDIA's that the kernel runs on: Ampere."""
MAX_WIDTH, WIDTH_STEP = 256, 8
"""The head widths that it takes: multiples of the second up to the first."""


def has_sequence_kernel(device: torch.device, dtype: torch.dtype, width: int) -> bool:
    """Whether the kernel runs there with one split, on heads of that width."""
    if varlen_attn is None or not inspect.signature(varlen_attn).parameters.keys() >= SETTINGS:
        return False
    if dtype not in (torch.bfloat16, torch.float16) or width > MAX_WIDTH or width % WIDTH_STEP:
        return False
    if device.type == "meta":  # stands for a card that has it
        return True
    return (
        device.type == "cuda"
        and torch.version.hip is None  # whose kernels are others
        and torch.backends.cuda.is_flash_attention_available()  # some builds are without
        and torch.cuda.get_device_capability(device) >= FIRST_CAPABILITY
    )


def attend_to_sequences(
    query_NHE: Tensor,
    key_LGE: Tensor,
    value_LGE: Tensor,
    first_rows: Tensor,
    first_keys: Tensor,
    longest: tuple[int, int],
    *,
    window: int | None,
    scaling: float,
) -> Tensor:
    """Causal attention ``[N, H, E]`` of sequences that stand behind each other.

    Args:
        query_NHE: the rows of all sequences, each one's last ones.
        key_LGE: the keys of all sequences.
        value_LGE: the values of all sequences.
        first_rows: where each sequence's rows begin, and the end, int32.
        first_keys: where each sequence's keys begin, and the end, int32.
        longest: the largest number of rows and of keys of a sequence.
        window: how many positions a row looks back; ``None`` stands for all.
        scaling: factor of the scores.
    """
    assert varlen_attn is not None, "older versions of torch run the padded layout"
    max_rows, max_keys = longest
    if window is not None:
        # A window that no sequence of the call fills is dropped, and another kernel runs, whose
        # sums are cut otherwise. So the longest sequence is said to fill it.
        max_keys = max(max_keys, window + 1)
    out_NHE = varlen_attn(
        query_NHE,
        key_LGE,
        value_LGE,
        first_rows,
        first_keys,
        max_rows,
        max_keys,
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=key_LGE.shape[1] != query_NHE.shape[1],
        num_splits=1,
    )
    return cast(Tensor, out_NHE)
