"""Attention whose scores are capped (Gemma 2), for which torch has no kernel.

Shapes: S segments, R rows of a segment, L keys, H heads, E head width, B heads of all segments that
are computed together.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from search_cluster.model.engine.invariance.sums import sum_in_pairs

CAPPED_ROWS, CAPPED_KEYS = 32, 256
"""The rows and keys that are multiplied together where scores are capped."""
CAPPED_HEADS = 64
"""The heads of all segments that are, off a CPU, in every call."""
SUMMED_KEYS = 512
"""The keys whose weights are summed together where scores are capped, off a CPU."""


def attend_capped(
    query_SHRE: Tensor,
    key_SHLE: Tensor,
    value_SHLE: Tensor,
    mask_S1RL: Tensor,
    scaling: float,
    softcap: float,
) -> Tensor:
    """Attention with capped scores, for which SDPA has no place.

    These are the steps and dtypes of transformers' eager attention, for a fixed number of rows and
    of keys at a time: products take other kernels for other numbers.
    """
    tiles = [
        slice(first, first + CAPPED_KEYS) for first in range(0, key_SHLE.shape[2], CAPPED_KEYS)
    ]
    scores_SHRL = torch.cat(
        [query_SHRE @ key_SHLE[:, :, tile].transpose(2, 3) for tile in tiles], dim=3
    )
    scores_SHRL = torch.tanh(scores_SHRL * scaling / softcap) * softcap + mask_S1RL
    weights_SHRL = _weights_of(scores_SHRL).to(query_SHRE.dtype)
    out_SHRE = weights_SHRL[..., tiles[0]] @ value_SHLE[:, :, tiles[0]]
    for tile in tiles[1:]:
        out_SHRE = out_SHRE + weights_SHRL[..., tile] @ value_SHLE[:, :, tile]
    return out_SHRE


def _weights_of(scores_SHRL: Tensor) -> Tensor:
    """The softmax of scores, float32."""
    if scores_SHRL.device.type == "cpu":
        return scores_SHRL.softmax(dim=-1, dtype=torch.float32)
    return softmax_in_pairs(scores_SHRL)


def softmax_in_pairs(scores_SHRL: Tensor) -> Tensor:
    """The float32 softmax, of which keys that are masked change no bit.

    Elsewhere than on a CPU torch takes another kernel for more than 1,024 keys, and sums in another
    order; here two weights are added at a time, at the same places in each piece of the keys.
    """
    num_keys = scores_SHRL.shape[-1]
    scores_SHRL = pad(scores_SHRL.float(), (0, -num_keys % SUMMED_KEYS), value=-torch.inf)
    weights_SHRL = (scores_SHRL - scores_SHRL.amax(dim=-1, keepdim=True)).exp()
    pieces = weights_SHRL.unflatten(-1, (-1, SUMMED_KEYS))  # type: ignore[no-untyped-call]
    # The sums of pieces one after the other: further ones, of masked keys, add nothing.
    total_SHR, *others = sum_in_pairs(pieces, dim=-1).unbind(dim=-1)
    for other_SHR in others:
        total_SHR = total_SHR + other_SHR
    shares_SHRL: Tensor = weights_SHRL / total_SHR[..., None]
    return shares_SHRL[..., :num_keys]


def attend_capped_in_equal_calls(
    query_SHRE: Tensor,
    key_SHLE: Tensor,
    value_SHLE: Tensor,
    mask_S1RL: Tensor,
    scaling: float,
    softcap: float,
) -> Tensor:
    """The same for equally many heads at a time.

    A library picks its kernel for many products also by how many these are.
    """
    num_heads = query_SHRE.shape[1]
    num_all = len(query_SHRE) * num_heads
    mask_SHRL = mask_S1RL.expand(-1, num_heads, -1, -1)

    def calls(part_SHRE: Tensor) -> Tensor:
        heads_BRE = part_SHRE.flatten(0, 1).contiguous()
        heads_BRE = pad(heads_BRE, (0, 0, 0, 0, 0, -num_all % CAPPED_HEADS))
        return heads_BRE.view(-1, 1, CAPPED_HEADS, *part_SHRE.shape[2:])

    tensors = map(calls, (query_SHRE, key_SHLE, value_SHLE, mask_SHRL))
    out_BRE = torch.cat(
        [
            attend_capped(query, key, value, mask, scaling, softcap)[0]
            for query, key, value, mask in zip(*tensors, strict=True)
        ]
    )
    return out_BRE[:num_all].view(*query_SHRE.shape)
