"""What says whether stopping at a depth answers no worse than going on.

Shapes: N questions, K depths, F features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

MOST_SURE = 1 - 1e-6
"""The highest probability, so that rounding makes nothing as sure as a threshold of 1."""
CHOICES, VOCABULARY, TOKENS = "choices", "vocabulary", "tokens"
"""What is read: the first tokens of a question's choices, the vocabulary behind a prompt, or the
vocabulary behind each token that is generated."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ExitClassifier:
    """A logistic classifier of what is read in one way, with a bias per depth."""

    places: tuple[int, ...]
    """The translators that it reads through, ascending."""
    weight_F: Tensor
    bias_K: Tensor
    """The bias of each place."""
    threshold: float
    """The threshold that was chosen on training questions; a higher one may be asked for."""

    def probabilities(self, features_NKF: Tensor) -> Tensor:
        """The probability ``[N, K]`` that stopping at a place answers no worse than going on."""
        score_NK = features_NKF @ self.weight_F + self.bias_K[: features_NKF.shape[1]]
        return torch.sigmoid(score_NK).clamp(max=MOST_SURE)
