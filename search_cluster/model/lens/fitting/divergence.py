"""How far lenses are from the final prediction.

With p the final prediction and x a lens' logits, ``KL(p || softmax x)`` is ``sum p (log p - x) +
(sum p) (log sum exp x)``. In float32 the sum of p is not quite 1, which times a logit would show.

Shapes: N rows, C candidates, D width, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.errors import NonFiniteLogitsError
from search_cluster.model.head import float32_logits
from search_cluster.model.lens.readings import piece_rows

CHUNK_ROWS = 256
"""The rows that are read together: a few arrays of so many rows of logits are in memory at once."""
KEPT_ROWS = 256
"""Of so many rows final predictions are kept, two arrays of logits; of more they are not."""
BESIDE_KEPT = 128
"""The rows that are read together beside predictions that are kept."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FinalPrediction:
    """What a model says of rows at its end."""

    probability_NV: Tensor
    """Float32."""
    log_NV: Tensor
    """Its logarithm, in nats."""
    mass_N: Tensor
    """The sum of p."""
    top_N: Tensor
    """The likeliest token."""

    @classmethod
    def of(cls, model: PreTrainedModel, final_ND: Tensor) -> "FinalPrediction":
        """The prediction of final states, before the final norm."""
        log_NV = lens_logits(model, final_ND).log_softmax(dim=-1)
        probability_NV = log_NV.exp()
        return cls(
            probability_NV=probability_NV,
            log_NV=log_NV,
            mass_N=probability_NV.sum(dim=-1),
            top_N=log_NV.argmax(dim=-1),
        )

    def divergence(self, logits_NV: Tensor) -> Tensor:
        """KL(final || lens) of each row, in nats, from a lens' logits.

        Raises:
            NonFiniteLogitsError: a logit is NaN or infinite.
        """
        size = piece_rows(logits_NV.shape[1])
        rows = (self.probability_NV, self.log_NV, self.mass_N, logits_NV)
        pieces = zip(*(torch.split(item, size) for item in rows), strict=True)
        read_N = torch.cat([_divergence_of_piece(*piece) for piece in pieces])
        require_finite_readings(read_N)
        return read_N


def _divergence_of_piece(
    probability_NV: Tensor, log_NV: Tensor, mass_N: Tensor, logits_NV: Tensor
) -> Tensor:
    missing_N = (probability_NV * (log_NV - logits_NV)).sum(dim=-1)
    return missing_N + mass_N * logits_NV.logsumexp(dim=-1)


def cross_entropy(logits_NV: Tensor, token_N: Tensor) -> Tensor:
    """The negative log-probability of a token in each row, in nats.

    Raises:
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    read_N = logits_NV.logsumexp(dim=-1) - logits_NV.gather(1, token_N[:, None])[:, 0]
    require_finite_readings(read_N)
    return read_N


def require_finite_readings(read_N: Tensor) -> None:
    """Check what was read of rows: one logit that is not finite leaves nothing finite.

    Raises:
        NonFiniteLogitsError: a reading is NaN or infinite.
    """
    if not bool(read_N.isfinite().all()):
        raise NonFiniteLogitsError(
            "a logit that a lens reads is not finite; check the model's dtype, and the lens"
        )


def lens_logits(model: PreTrainedModel, state_ND: Tensor) -> Tensor:
    """The float32 logits ``[N, V]`` of states that stand for final ones."""
    return float32_logits(model, model.model.norm(state_ND))


class FinalPredictions:
    """What a model says at its end of rows, a few at a time; of few rows it is computed once.

    Args:
        model: the model.
        final_ND: final states, before the final norm.
    """

    def __init__(self, model: PreTrainedModel, final_ND: Tensor) -> None:
        self._model, self._final_ND = model, final_ND
        self._kept: dict[int, FinalPrediction] = {}

    def __iter__(self) -> Iterator[tuple[slice, FinalPrediction]]:
        """Which rows, and what is said of them."""
        num_rows = self._final_ND.shape[0]
        keeps = num_rows <= KEPT_ROWS
        size = BESIDE_KEPT if keeps else CHUNK_ROWS
        for start in range(0, num_rows, size):
            rows = slice(start, start + size)
            found = self._kept.get(start)
            if found is None:
                found = FinalPrediction.of(self._model, self._final_ND[rows])
            if keeps:
                self._kept[start] = found
            yield rows, found

    @torch.inference_mode()
    def divergences(self, candidates: Sequence[Tensor]) -> Tensor:
        """The mean of KL(final || candidate) over rows, in nats, float64 ``[C]``, on the CPU.

        Args:
            candidates: states ``[N, D]`` that stand for the final ones, in any dtype.

        Raises:
            NonFiniteLogitsError: a logit is NaN or infinite.
        """
        total_C = torch.zeros(len(candidates), dtype=torch.float64)
        for rows, final in self:
            for index, state_ND in enumerate(candidates):
                # Without a name for the logits: it would hold them while the next are computed.
                read_N = final.divergence(
                    lens_logits(self._model, state_ND[rows].to(self._final_ND.dtype))
                )
                total_C[index] += read_N.double().sum().cpu()
        return total_C / self._final_ND.shape[0]


def candidate_divergences(
    model: PreTrainedModel, final_ND: Tensor, candidates: Sequence[Tensor]
) -> Tensor:
    """See `FinalPredictions.divergences`."""
    return FinalPredictions(model, final_ND).divergences(candidates)
