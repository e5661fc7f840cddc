"""How much each row counts in a fit: rows of named tokens may count less.

With "the" at a thousandth of its weight, a lens that still says "the" early does not say it because
it was taught to so often (How Do LLMs Use Their Depth?, arXiv 2510.18871, appendix D).

Shapes: N rows, D width.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.errors import InvalidValueError
from search_cluster.model.lens.lens import Lens
from search_cluster.model.lens.readings import LOGIT_BYTES


class WeighedBy(StrEnum):
    """Which token of a row its weight goes by."""

    TARGET = "target"
    """The token that follows in the text."""
    TOP = "top"
    """The one that the model itself finds likeliest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWeights:
    """The weights of rows by token; 1 for tokens that are not named.

    Raises:
        InvalidValueError: a weight is negative.
    """

    by_token: Mapping[int, float] = field(default_factory=dict)
    """The weight of a row, by token id."""
    by: WeighedBy = WeighedBy.TARGET

    def __post_init__(self) -> None:
        for token, weight in self.by_token.items():
            if not weight >= 0:
                raise InvalidValueError(f"token {token} has the weight {weight}; it is at least 0")

    def of_rows(self, model: PreTrainedModel, final_ND: Tensor, next_N: Tensor) -> Tensor:
        """The weight of each row, float32, on the CPU.

        Args:
            model: the model.
            final_ND: the final states of the rows, before the final norm.
            next_N: the token that follows each.
        """
        weight_N = torch.ones(next_N.shape[0])
        if self.by_token:
            token_N = next_N if self.by is WeighedBy.TARGET else top_tokens(model, final_ND)
            for token, weight in self.by_token.items():
                weight_N[token_N == token] = weight
        return weight_N


@torch.inference_mode()
def top_tokens(model: PreTrainedModel, final_ND: Tensor) -> Tensor:
    """The token that the model finds likeliest after each row, on the CPU."""
    chunk = max(1, LOGIT_BYTES // (4 * int(model.config.vocab_size)))
    lens = Lens.logit(model)
    parts = [
        lens.logits(model, rows_ND, 0).argmax(dim=-1) for rows_ND in torch.split(final_ND, chunk)
    ]
    return torch.cat(parts).cpu()
