"""What is read of a prompt's last row at each depth, and the features that come of it.

Where the choices are known only the first tokens of the choices are read: a few rows of the head.
Elsewhere the whole vocabulary is.

Shapes: N questions, K depths that are read, R readings, F features, V vocabulary, D width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.errors import NonFiniteLogitsError
from search_cluster.model.bridge.bridges import share_of_layer

READINGS = ("token", "top", "second", "entropy")
"""The likeliest token, its probability, that of the second one, and the entropy in nats."""
FEATURES = (
    "top",
    "gap",
    "entropy",
    "top change",
    "gap change",
    "agrees",
    "patience",
    "told apart",
)
"""What a classifier sees: probability and lead of the likeliest token, the entropy, how the first
two changed since the depth read before, whether that said the same token, for how many depths it
has been the same, and the share of the choices whose first tokens differ (1 of a vocabulary)."""
MOST_PATIENCE = 4
"""Longer runs of the same token count as this one."""


def read_logits_of(logits_KV: Tensor, tokens: Sequence[int]) -> Tensor:
    """The readings ``[K, R]`` of float32 logits, in main memory.

    Args:
        logits_KV: the logits of these tokens, or of the vocabulary.
        tokens: which tokens they are of; empty: of the vocabulary.

    Raises:
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    if not bool(logits_KV.isfinite().all()):
        raise NonFiniteLogitsError(
            "a logit that the lens reads of the prompt's last row is not finite; check the model's "
            "dtype, and the lens"
        )
    log_KV = logits_KV.log_softmax(dim=-1)
    probability_KV = log_KV.exp()
    best_K2, place_K2 = torch.nn.functional.pad(probability_KV, (0, 1)).topk(2, dim=-1)
    token_K = place_K2[:, 0] if not tokens else torch.tensor(tokens).to(place_K2)[place_K2[:, 0]]
    entropy_K = -(probability_KV * log_KV).sum(dim=-1)
    return torch.stack([token_K.float(), best_K2[:, 0], best_K2[:, 1], entropy_K], dim=-1).cpu()


def features_of(readings_NKR: Tensor, told_apart_N: Tensor) -> Tensor:
    """The features ``[N, K, F]`` of readings at ascending depths; none looks at a later depth."""
    token_NK, top_NK, second_NK, entropy_NK = readings_NKR.unbind(dim=-1)
    gap_NK = top_NK - second_NK
    agrees_NK = torch.zeros_like(top_NK)
    agrees_NK[:, 1:] = (token_NK[:, 1:] == token_NK[:, :-1]).float()
    patience_NK = torch.zeros_like(top_NK)
    for place in range(1, token_NK.shape[1]):
        patience_NK[:, place] = (patience_NK[:, place - 1] + 1) * agrees_NK[:, place]
    columns = (
        top_NK,
        gap_NK,
        entropy_NK,
        _change(top_NK),
        _change(gap_NK),
        agrees_NK,
        patience_NK.clamp(max=MOST_PATIENCE) / MOST_PATIENCE,
        told_apart_N[:, None].expand_as(top_NK),
    )
    return torch.stack(columns, dim=-1)


def first_tokens(choice_ids: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The different tokens with which choices begin, in their order."""
    return tuple(dict.fromkeys(ids[0] for ids in choice_ids))


def told_apart(choice_ids: Sequence[Sequence[int]]) -> float:
    """The share of the choices that their first tokens tell apart; 1 without choices."""
    return len(first_tokens(choice_ids)) / len(choice_ids) if choice_ids else 1.0


def read_cost(model: PreTrainedModel, num_tokens: int) -> float:
    """What one read costs in layers of one row: a translator, and some rows of the head.

    The count is of products by weights; of attention it knows nothing.
    """
    width = int(model.config.hidden_size)
    return share_of_layer(model) * (1 + num_tokens / width)


def _change(value_NK: Tensor) -> Tensor:
    change_NK = torch.zeros_like(value_NK)
    change_NK[:, 1:] = value_NK[:, 1:] - value_NK[:, :-1]
    return change_NK
