"""Attention over packed rows: one call of a layer runs rows of many examples and paths.

No pad stands between them. Everything in a decoder layer but attention treats rows one by one, so
rows of any origin can stand in one sequence. For attention this module registers a kernel with
transformers that splits the sequence into segments, each looking only at its own rows. It gets its
plan in the place of the attention mask, so no layer code is touched and every family keeps its own
projections, norms and rotary embeddings.

Shapes: N rows of the call, S segments of a group, R rows of a segment, P shared rows in front of
them, K rows looked at, H query heads, G key-value heads, r query heads that share a key-value head,
E head width. A leading 1 is the batch of one that transformers' layers insist on.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from search_cluster.model.engine.prefix_trie import NodeState

KERNEL_NAME = "packed_rows"


@dataclass(slots=True, kw_only=True, eq=False)
class SegmentGroup:
    """Segments that add the same rows of the same example, one for each path prefix.

    They stand side by side in the call.
    """

    first_row: int
    num_rows: int
    """The number of rows of each segment (R)."""
    states: list[NodeState]
    """The S states that take each segment's keys and values, if they are kept."""
    mask_RK: Tensor
    """What each new row may look at: shared rows and rows held before, then the new ones."""
    keep_keys: bool
    """Whether later rows will look at these, so that their keys and values have to stay."""
    shared: list[NodeState]
    """The S states whose keys and values the segments look at before their own.

    Other examples have the same rows. The list is empty if nothing is shared, and after a node's
    first run."""


def attend(
    module: nn.Module,
    query_1HNE: Tensor,
    key_1GNE: Tensor,
    value_1GNE: Tensor,
    attention_mask: list[SegmentGroup],
    scaling: float,
    dropout: float = 0.0,
    softcap: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention of each segment over its own rows; what transformers calls in the place of SDPA.

    Args:
        module: the attention module; unused.
        query_1HNE: queries of all rows.
        key_1GNE: keys of all rows.
        value_1GNE: values of all rows.
        attention_mask: the plan; groups cover all rows in order.
        scaling: factor of the scores.
        dropout: unused, models are frozen.
        softcap: cap of the scores before the mask (Gemma 2), or none.

    Returns:
        The output ``[1, N, H, E]``, and no weights.
    """
    # The parts are joined in the order of the groups, which has to be the order of the call's rows.
    parts = []
    for group in attention_mask:
        attend_group = _kept if group.keep_keys else _passing
        parts += attend_group(group, query_1HNE, key_1GNE, value_1GNE, scaling, softcap)
    return torch.cat(parts)[None], None


def _kept(
    group: SegmentGroup,
    query_1HNE: Tensor,
    key_1GNE: Tensor,
    value_1GNE: Tensor,
    scaling: float,
    softcap: float | None,
) -> list[Tensor]:
    """Outputs ``[R, H, E]`` of segments that keep their keys and values.

    New keys and values are first written to the states and then looked at where they lie.
    """
    # One segment at a time: each one's keys and values lie in memory of their own, and stacking
    # them would copy everything that is held for each layer and each token.
    parts, num_rows = [], group.num_rows
    for number, state in enumerate(group.states):
        first = group.first_row + number * num_rows
        keys_GKE, values_GKE = state.append_keys(
            key_1GNE[0].narrow(1, first, num_rows),
            value_1GNE[0].narrow(1, first, num_rows),
            shared=group.shared[number] if group.shared else None,
        )
        query_1HRE = query_1HNE.narrow(2, first, num_rows)
        out_1HRE = _attention(
            query_1HRE, keys_GKE[None], values_GKE[None], group.mask_RK, scaling, softcap
        )
        parts.append(out_1HRE[0].transpose(0, 1))
    return parts


def _passing(
    group: SegmentGroup,
    query_1HNE: Tensor,
    key_1GNE: Tensor,
    value_1GNE: Tensor,
    scaling: float,
    softcap: float | None,
) -> list[Tensor]:
    """Outputs ``[S * R, H, E]`` of segments that keep nothing, all computed at once."""
    # Nothing is held, so all segments of a group have the same shape and the same mask.
    num_segments = len(group.states)
    span = slice(group.first_row, group.first_row + num_segments * group.num_rows)
    query_SHRE = _segments(query_1HNE[0, :, span], num_segments)
    key_SGRE = _segments(key_1GNE[0, :, span], num_segments)
    value_SGRE = _segments(value_1GNE[0, :, span], num_segments)
    if group.shared:
        key_SGRE = _behind([state.keys_and_values()[0] for state in group.shared], key_SGRE)
        value_SGRE = _behind([state.keys_and_values()[1] for state in group.shared], value_SGRE)
    out_SHRE = _attention(query_SHRE, key_SGRE, value_SGRE, group.mask_RK, scaling, softcap)
    return [out_SHRE.transpose(1, 2).flatten(0, 1)]


def _behind(shared: list[Tensor], own_SGRE: Tensor) -> Tensor:
    """The own rows of each segment behind the shared ones, ``[S, G, P + R, E]``."""
    return torch.cat([torch.stack(shared), own_SGRE], dim=2)


def _segments(part_HNE: Tensor, num_segments: int) -> Tensor:
    """The part ``[H, S * R, E]`` as ``[S, H, R, E]``."""
    heads, rows, width = part_HNE.shape
    return part_HNE.reshape(heads, num_segments, rows // num_segments, width).transpose(0, 1)


def _attention(
    query_SHRE: Tensor,
    key_SGKE: Tensor,
    value_SGKE: Tensor,
    mask_RK: Tensor,
    scaling: float,
    softcap: float | None,
) -> Tensor:
    """Plain attention with grouped key-value heads, ``[S, H, R, E]``."""
    num_segments, num_heads, num_rows, head_width = query_SHRE.shape
    repeats = num_heads // key_SGKE.shape[1]
    if softcap is None and num_rows == 1:
        # Heads that share keys stand as rows of one product, which takes a third of the time. The
        # mask of the one row then holds for all of them.
        query_SGrE = query_SHRE.reshape(num_segments, -1, repeats, head_width)
        out_SGrE = scaled_dot_product_attention(
            query_SGrE, key_SGKE, value_SGKE, attn_mask=mask_RK, scale=scaling
        )
        return out_SGrE.reshape(num_segments, num_heads, 1, head_width)
    if softcap is None:
        return scaled_dot_product_attention(
            query_SHRE,
            key_SGKE,
            value_SGKE,
            attn_mask=mask_RK,
            scale=scaling,
            enable_gqa=repeats > 1,
        )
    # SDPA has no soft cap. These are the steps and dtypes of transformers' eager attention, since
    # each verdict has to be the materialised model's. A finite minimum will do in the mask: each
    # row sees itself, so no row of scores is all masked.
    key_SGKE = key_SGKE.repeat_interleave(repeats, dim=1)
    value_SGKE = value_SGKE.repeat_interleave(repeats, dim=1)
    scores_SHRK = torch.tanh(query_SHRE @ key_SGKE.transpose(2, 3) * scaling / softcap) * softcap
    scores_SHRK = scores_SHRK.masked_fill(~mask_RK, torch.finfo(scores_SHRK.dtype).min)
    weights_SHRK = scores_SHRK.softmax(dim=-1, dtype=torch.float32).to(query_SHRE.dtype)
    return weights_SHRK @ value_SGKE


AttentionInterface.register(KERNEL_NAME, attend)
