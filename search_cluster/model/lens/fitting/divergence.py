"""How far lenses are from the final prediction, in the mean over rows.

The reference is read once for all that is compared with it.

Shapes: N rows, C candidates, D width, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.errors import NonFiniteLogitsError
from search_cluster.model.head import float32_logits

CHUNK_ROWS = 256
"""The rows that are read together: a few arrays of so many rows of logits are in memory at once."""


@torch.inference_mode()
def candidate_divergences(
    model: PreTrainedModel, final_ND: Tensor, candidates: Sequence[Tensor]
) -> Tensor:
    """The mean of KL(final || candidate) over rows, in nats, float64 ``[C]``, on the CPU.

    Args:
        model: the model.
        final_ND: final states, before the final norm.
        candidates: states ``[N, D]`` that stand for them, in any dtype.

    Raises:
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    total_C = torch.zeros(len(candidates), dtype=torch.float64)
    for start in range(0, final_ND.shape[0], CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        reference_NV = log_probabilities(model, final_ND[rows])
        probability_NV = reference_NV.exp()
        for index, state_ND in enumerate(candidates):
            lens_NV = log_probabilities(model, state_ND[rows].to(final_ND.dtype))
            divergence_N = divergence(probability_NV, reference_NV, lens_NV)
            total_C[index] += divergence_N.double().sum().cpu()
    return total_C / final_ND.shape[0]


def log_probabilities(model: PreTrainedModel, state_ND: Tensor) -> Tensor:
    """The log-probabilities ``[N, V]`` of states that stand for final ones, float32.

    Raises:
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    logits_NV = float32_logits(model, model.model.norm(state_ND))
    if not bool(logits_NV.isfinite().all()):
        raise NonFiniteLogitsError(
            "a logit that a lens reads is not finite; check the model's dtype, and the lens"
        )
    return logits_NV.log_softmax(dim=-1)


def divergence(probability_NV: Tensor, reference_NV: Tensor, lens_NV: Tensor) -> Tensor:
    """KL(reference || lens) of each row, in nats."""
    return (probability_NV * (reference_NV - lens_NV)).sum(dim=-1)
