"""Reads one row at one depth after the other, and says how sure it is of stopping there.

Shapes: F features, D width, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from router_train.routers.lens_exit.classifier import ExitClassifier
from router_train.routers.lens_exit.readings import (
    features_of,
    first_tokens,
    read_cost,
    read_logits_of,
    told_apart,
)
from search_cluster.model.head import float32_logits, logits_of_tokens
from search_cluster.model.lens.lens import Lens
from search_cluster.model.loaded import LoadedModel


class ExitReader:
    """What one row says of itself on its way.

    Args:
        loaded: the frozen model.
        lens: the translators, of which the classifier names some.
        classifier: judges what is read.
        choice_ids: the choices whose first tokens are read; empty: the vocabulary is.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        lens: Lens,
        classifier: ExitClassifier,
        choice_ids: Sequence[Sequence[int]] = (),
    ) -> None:
        self._model, self._lens, self._classifier = loaded.model, lens, classifier
        self._tokens = first_tokens(choice_ids)
        self._told_apart_1 = torch.tensor([told_apart(choice_ids)])
        self._readings: list[Tensor] = []
        self.surest = 0.0
        """The highest probability so far."""
        self.cost = read_cost(self._model, len(self._tokens) or int(self._model.config.vocab_size))
        """Of one read, in layers of one row."""

    @property
    def num_reads(self) -> int:
        """The number of reads so far."""
        return len(self._readings)

    def read(self, hidden_1D: Tensor, place: int) -> tuple[float, Tensor]:
        """Read the row through the next translator that the classifier names.

        Returns:
            The probability that stopping here answers no worse, and the float32 logits ``[1, V]``
            that were read (of the choices' first tokens alone, if there are choices).

        Raises:
            NonFiniteLogitsError: a logit is NaN or infinite.
        """
        final_1D = self._model.model.norm(self._lens.translate(hidden_1D, place))
        logits_1V = (
            logits_of_tokens(self._model, final_1D, self._tokens)
            if self._tokens
            else float32_logits(self._model, final_1D)
        )
        self._readings.append(read_logits_of(logits_1V, self._tokens))
        features_NKF = features_of(torch.stack(self._readings, dim=1), self._told_apart_1)
        probability = float(self._classifier.probabilities(features_NKF)[0, -1])
        self.surest = max(self.surest, probability)
        return probability, logits_1V
