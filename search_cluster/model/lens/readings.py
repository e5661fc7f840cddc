"""What a lens reads of states: likeliest token, entropy, divergence from the end, ranks of tokens.

Rows of logits are as long as the vocabulary, so states are read in chunks and only figures are
kept.

Shapes: S states of a position (the depths of a path), N positions, K tokens that are asked for,
D width, V vocabulary, G groups of tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.errors import InvalidValueError, NonFiniteLogitsError
from search_cluster.model.lens.lens import Lens

LOGIT_BYTES = 2**27
"""The bytes of float32 logits that a chunk of rows may take: the head's product wants many rows."""
PIECE_BYTES = 2**23
"""The bytes of them that are looked at together: a processor's cache holds about so much."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LensReadings:
    """What a lens reads of N positions at S states each, in main memory."""

    top_SN: Tensor
    """The likeliest token's id, int32; the lowest id among equals."""
    top_probability_SN: Tensor
    """Its probability, float32."""
    gap_SN: Tensor
    """Its lead over the second likeliest in probability, float32."""
    entropy_SN: Tensor
    """In nats, float32."""
    divergence_SN: Tensor
    """KL(reference || lens) in nats, float32: 0 where both say the same."""
    rank_SNK: Tensor
    """The rank of each token that was asked for, int32: the number of tokens that are likelier, so
    that the likeliest has rank 0."""
    log_probability_SNK: Tensor
    """The log-probability of each token that was asked for, in nats, float32."""
    mass_SNG: Tensor
    """The probability of all tokens of each group together, float32; G is 0 without groups."""


@torch.inference_mode()
def read_states(
    model: PreTrainedModel,
    lens: Lens,
    states_SND: Tensor,
    depths: Sequence[int],
    asked_NK: Tensor,
    reference_ND: Tensor | None = None,
    groups_VG: Tensor | None = None,
) -> LensReadings:
    """Read states through a lens.

    Args:
        model: the model that the states come from.
        lens: its lens.
        states_SND: states before the final norm, in the model's dtype.
        depths: the depth of each of the S states, as `depths_of` says.
        asked_NK: the ids of the tokens that are asked for at each position; K may be 0.
        reference_ND: the final states, before the final norm, of what lens and end are compared
            with; ``None``: the last of ``states_SND``.
        groups_VG: float32, 1 where a token belongs to a group, else 0; ``None``: no groups.

    Raises:
        InvalidValueError: the shapes do not fit together.
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    num_states, num_rows, _ = states_SND.shape
    if len(depths) != num_states or asked_NK.shape[0] != num_rows:
        raise InvalidValueError(
            f"states are {tuple(states_SND.shape)}, depths {len(depths)}, asked tokens "
            f"{tuple(asked_NK.shape)}; they are [S, N, D], S and [N, K]"
        )
    end_ND = states_SND[-1] if reference_ND is None else reference_ND
    if groups_VG is None:
        groups_VG = states_SND.new_zeros(int(model.config.vocab_size), 0, dtype=torch.float32)
    chunk = max(1, LOGIT_BYTES // (4 * int(model.config.vocab_size)))
    parts = []
    for start in range(0, num_rows, chunk):
        rows = slice(start, start + chunk)
        reference_NV = _logits(model, Lens.logit(model), end_ND[rows], lens.num_layers)
        reference_NV = reference_NV.log_softmax(dim=-1)
        expected_NV = reference_NV.exp()  # once for all states of a position
        asked = asked_NK[rows].to(states_SND.device)
        parts.append(
            [
                _read(
                    _logits(model, lens, states_ND[rows], depth),
                    reference_NV,
                    expected_NV,
                    asked,
                    groups_VG,
                )
                for states_ND, depth in zip(states_SND, depths, strict=True)
            ]
        )
    return LensReadings(
        **{
            name: torch.cat(
                [torch.stack([row[name] for row in part]).cpu() for part in parts], dim=1
            )
            for name in parts[0][0]
        }
    )


def piece_rows(num_tokens: int) -> int:
    """The rows of float32 logits of so many tokens that are looked at together."""
    return max(1, PIECE_BYTES // (4 * num_tokens))


def _logits(model: PreTrainedModel, lens: Lens, hidden_ND: Tensor, depth: int) -> Tensor:
    logits_NV = lens.logits(model, hidden_ND, depth)
    smallest, largest = logits_NV.aminmax()  # NaN if there is one; far cheaper than every number
    if not bool(smallest.isfinite() & largest.isfinite()):
        raise NonFiniteLogitsError(
            f"a logit that the lens reads at depth {depth} is not finite; check the model's dtype, "
            "and the lens"
        )
    return logits_NV


def _read(
    logits_NV: Tensor,
    reference_NV: Tensor,
    expected_NV: Tensor,
    asked_NK: Tensor,
    groups_VG: Tensor,
) -> dict[str, Tensor]:
    """The figures of one state of each position, by the names of `LensReadings`."""
    size = piece_rows(logits_NV.shape[1])
    rows = (logits_NV, reference_NV, expected_NV, asked_NK)
    pieces = zip(*(torch.split(item, size) for item in rows), strict=True)
    found = [
        _read_piece(own_NV, end_NV, share_NV, some_NK, groups_VG)
        for own_NV, end_NV, share_NV, some_NK in pieces
    ]
    return {name: torch.cat([part[name] for part in found]) for name in found[0]}


def _read_piece(
    logits_NV: Tensor,
    reference_NV: Tensor,
    expected_NV: Tensor,
    asked_NK: Tensor,
    groups_VG: Tensor,
) -> dict[str, Tensor]:
    lens_NV = logits_NV.log_softmax(dim=-1)
    probability_NV = lens_NV.exp()
    top_N1 = lens_NV.argmax(dim=-1, keepdim=True)
    best_N1 = probability_NV.gather(1, top_N1)
    # The second best is the best without the first; looking for two at once takes twice as long.
    second_N = probability_NV.scatter_(1, top_N1, 0).amax(dim=-1)
    probability_NV.scatter_(1, top_N1, best_N1)
    asked_log_NK = lens_NV.gather(1, asked_NK)
    # A sum of truth values in 64 bits, the default, takes twice as long, too.
    ranks = [
        (lens_NV > asked_log_NK[:, [k]]).sum(dim=1, dtype=torch.int32)
        for k in range(asked_NK.shape[1])
    ]
    divergence_N = (expected_NV * (reference_NV - lens_NV)).sum(dim=-1)
    rank_NK = torch.stack(ranks, dim=1) if ranks else torch.zeros_like(asked_NK).int()
    return {
        "top_SN": top_N1[:, 0].int(),
        "top_probability_SN": best_N1[:, 0],
        "gap_SN": best_N1[:, 0] - second_N,
        "entropy_SN": -(probability_NV * lens_NV).sum(dim=-1),
        "divergence_SN": divergence_N.clamp(min=0),
        "rank_SNK": rank_NK,
        "log_probability_SNK": asked_log_NK,
        "mass_SNG": probability_NV @ groups_VG,
    }
