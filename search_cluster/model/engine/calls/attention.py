"""Attention over the rows of a call: rows of many examples and paths, each looking at its own keys.

Everything in a decoder layer but attention treats rows one by one, so rows of any origin can stand
in one sequence. Attention is a kernel that is registered with transformers and gets the call's plan
in the place of the mask: every family keeps its own projections, norms and rotary embeddings.

Shapes: N rows of the call, S segments or chains of a group, R rows of a segment, Q rows of a chain,
L keys, H query heads, G key-value heads, r query heads that share a key-value head, E head width. A
leading 1 is the batch of one that transformers' layers insist on.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface

from search_cluster.model.engine.calls.call_plan import (
    BlockGroup,
    Call,
    ChainGroup,
    PackedGroup,
)
from search_cluster.model.engine.calls.capped import (
    CAPPED_ROWS,
    attend_capped,
    attend_capped_in_equal_calls,
)
from search_cluster.model.engine.calls.sequences import attend_to_sequences

KERNEL_NAME = "search_cluster_rows"
KEYS, VALUES = 0, 1
"""The parts of the slab of keys and values."""


def attend(
    module: nn.Module,
    query_1HNE: Tensor,
    key_1GNE: Tensor,
    value_1GNE: Tensor,
    attention_mask: Call,
    scaling: float,
    dropout: float = 0.0,
    softcap: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention of each row over its own keys; what transformers calls in the place of SDPA.

    Args:
        module: the attention module; unused.
        query_1HNE: queries of all rows.
        key_1GNE: keys of all rows.
        value_1GNE: values of all rows.
        attention_mask: the call.
        scaling: factor of the scores.
        dropout: unused, models are frozen.
        softcap: cap of the scores before the mask (Gemma 2), or none.

    Returns:
        The output ``[1, N, H, E]``, and no weights. Rows that fill the call up have any output.
    """
    call, plan = attention_mask, attention_mask.plan
    query_NHE = query_1HNE[0].transpose(0, 1)
    key_NGE, value_NGE = key_1GNE[0].transpose(0, 1), value_1GNE[0].transpose(0, 1)
    if plan.key_rows.start != plan.key_rows.stop:
        rows, slots = plan.sections[plan.key_rows], plan.sections[plan.key_slots]
        call.held.write(slots, key_NGE.index_select(0, rows).flatten(1), KEYS)
        call.held.write(slots, value_NGE.index_select(0, rows).flatten(1), VALUES)
    if plan.packed is not None:
        return _packed(call, plan.packed, query_NHE, key_NGE.shape[1], scaling, softcap)[None], None
    out_NHE = torch.empty_like(query_NHE, memory_format=torch.contiguous_format)
    for block in plan.blocks:
        _block(call, block, query_NHE, key_NGE, value_NGE, scaling, softcap, out_NHE)
    for chains in plan.chains:
        rows = plan.sections[chains.rows]
        part_NHE = _chains(call, chains, query_NHE[rows], key_NGE.shape[1], scaling, softcap)
        out_NHE.index_copy_(0, rows, part_NHE)
    out_NHE[plan.num_used :] = 0.0
    return out_NHE[None], None


def _block(
    call: Call,
    block: BlockGroup,
    query_NHE: Tensor,
    key_NGE: Tensor,
    value_NGE: Tensor,
    scaling: float,
    softcap: float | None,
    out_NHE: Tensor,
) -> None:
    """Write the outputs of segments that start from nothing to where they stand."""
    span, sections = slice(block.first_row, block.end_row), call.plan.sections
    shape = (block.num_segments, block.num_rows, *query_NHE.shape[1:])
    if block.is_full:
        query_SRHE = query_NHE[span].reshape(shape)
    else:
        query_SRHE = query_NHE.index_select(0, sections[block.rows]).view(shape)
    key_shape = (block.num_segments, -1, *key_NGE.shape[1:])
    parts = []
    for part, rows_NGE in ((KEYS, key_NGE), (VALUES, value_NGE)):
        own_NGE = rows_NGE.index_select(0, sections[block.own_keys])
        own_SLGE = own_NGE.view(key_shape)
        if block.num_shared:
            shared = call.held.gather(sections[block.shared_slots], part).view(key_shape)
            own_SLGE = torch.cat([shared, own_SLGE], dim=1)
        parts.append(own_SLGE)
    out_SHRE = scores_and_values(
        query_SRHE.transpose(1, 2),
        parts[KEYS].transpose(1, 2),
        parts[VALUES].transpose(1, 2),
        block.mask_S1RL,
        scaling,
        softcap,
        call.shapes.tile_rows,
    )
    out_RHE = out_SHRE.transpose(1, 2).flatten(0, 1)
    if block.is_full:
        out_NHE[span] = out_RHE
    else:
        torch.index_select(out_RHE, 0, sections[block.places], out=out_NHE[span])


def _chains(
    call: Call,
    chains: ChainGroup,
    query_NHE: Tensor,
    num_key_heads: int,
    scaling: float,
    softcap: float | None,
) -> Tensor:
    """Outputs ``[S * Q, H, E]`` of rows that follow others, whose keys are gathered."""
    num_heads, width = query_NHE.shape[1:]
    repeats = num_heads // num_key_heads
    shape = (chains.num_chains, chains.num_keys, num_key_heads, width)
    slots = call.plan.sections[chains.key_slots]
    key_SGLE = call.held.gather(slots, KEYS).view(shape).transpose(1, 2)
    value_SGLE = call.held.gather(slots, VALUES).view(shape).transpose(1, 2)
    last_SQ = call.plan.sections[chains.last_keys].view(chains.num_chains, chains.num_rows)
    # Heads that share keys stand as rows of one product: one row alone would be filled up to as
    # many rows as all of them.
    query_SQGrE = query_NHE.view(chains.num_chains, chains.num_rows, num_key_heads, repeats, width)
    query_SGME = query_SQGrE.permute(0, 2, 1, 3, 4).flatten(2, 3)
    last_SM = last_SQ.repeat_interleave(repeats, dim=1)
    missing = call.shapes.num_rows(query_SGME.shape[2]) - query_SGME.shape[2]
    if missing:
        query_SGME = pad(query_SGME, (0, 0, 0, missing))
        last_SM = pad(last_SM, (0, missing))
    index_L = torch.arange(chains.num_keys, device=slots.device)
    sees_SML = index_L <= last_SM[..., None]
    if chains.window is not None:
        sees_SML &= index_L > last_SM[..., None] - chains.window
    mask_SML = torch.zeros(sees_SML.shape, dtype=query_NHE.dtype, device=slots.device)
    mask_SML.masked_fill_(~sees_SML, -torch.inf)
    out_SGME = scores_and_values(
        query_SGME,
        key_SGLE,
        value_SGLE,
        mask_SML[:, None],
        scaling,
        softcap,
        call.shapes.tile_rows,
    )
    out_SGME = out_SGME[:, :, : chains.num_rows * repeats]
    out_SGQrE = out_SGME.reshape(*out_SGME.shape[:2], -1, repeats, width)
    return out_SGQrE.permute(0, 2, 1, 3, 4).reshape(-1, num_heads, width)


def _packed(
    call: Call,
    packed: PackedGroup,
    query_NHE: Tensor,
    num_key_heads: int,
    scaling: float,
    softcap: float | None,
) -> Tensor:
    """Outputs ``[N, H, E]`` by a kernel that knows sequences of unlike lengths."""
    assert softcap is None, "the kernel has no soft cap; such models run in the padded layout"
    slots = call.plan.sections[packed.key_slots]
    shape = (-1, num_key_heads, query_NHE.shape[2])
    return attend_to_sequences(
        query_NHE,
        call.held.gather(slots, KEYS).view(shape),
        call.held.gather(slots, VALUES).view(shape),
        call.plan.sections[packed.first_rows].int(),
        call.plan.sections[packed.first_keys].int(),
        (packed.max_rows, packed.max_keys),
        window=packed.window,
        scaling=scaling,
    )


def scores_and_values(
    query_SHRE: Tensor,
    key_SGLE: Tensor,
    value_SGLE: Tensor,
    mask_S1RL: Tensor,
    scaling: float,
    softcap: float | None,
    tile_rows: int,
) -> Tensor:
    """Plain attention with an additive mask and grouped key-value heads, ``[S, H, R, E]``."""
    repeats = query_SHRE.shape[1] // key_SGLE.shape[1]
    if softcap is not None or (repeats > 1 and query_SHRE.device.type != "cpu"):
        # Off the CPU a mask and grouped heads together would take the slowest kernel.
        key_SGLE = key_SGLE.repeat_interleave(repeats, dim=1)
        value_SGLE = value_SGLE.repeat_interleave(repeats, dim=1)
        repeats = 1
    mask_SHRL = mask_S1RL.expand(len(query_SHRE), -1, -1, -1)
    # On a CPU a few rows at a time: SDPA cuts longer calls into larger pieces, whose products take
    # other kernels.
    if softcap is not None:
        tile_rows = min(tile_rows, CAPPED_ROWS)
    elif query_SHRE.device.type != "cpu":
        tile_rows = query_SHRE.shape[2]
    parts = []
    for first in range(0, query_SHRE.shape[2], tile_rows):
        query, mask = (part[:, :, first : first + tile_rows] for part in (query_SHRE, mask_SHRL))
        if softcap is not None:
            capped = attend_capped if query.device.type == "cpu" else attend_capped_in_equal_calls
            parts.append(capped(query, key_SGLE, value_SGLE, mask, scaling, softcap))
            continue
        parts.append(
            scaled_dot_product_attention(
                query, key_SGLE, value_SGLE, attn_mask=mask, scale=scaling, enable_gqa=repeats > 1
            )
        )
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


AttentionInterface.register(KERNEL_NAME, attend)
