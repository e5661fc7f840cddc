"""What is known of the questions or tokens that teach a lens exit, and what stopping costs.

Shapes: N rows, which are questions, or tokens of texts; K depths, R readings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from router_train.config import LABEL_FINAL
from router_train.data.operating_point import OperatingPoint

NEVER = 1.0
"""The threshold with which nothing stops early, and nothing is read."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ExitEvidence:
    """What is known of the rows that teach.

    A row is a question, or the last token of a prompt or a generated one, of which it is known what
    comes next.
    """

    readings_NKR: Tensor
    told_apart_N: Tensor
    right_NK: NDArray[np.bool_]
    """Whether the answer, or the next token, through the lens is right at each depth."""
    agrees_NK: NDArray[np.bool_]
    """Whether it is that at the path's end."""
    plain_N: NDArray[np.bool_]
    """Whether the latter is right."""
    num_tokens_N: NDArray[np.int64]
    """Of the question with its answer; of a token 1, of the last one of a prompt the prompt's."""
    groups_N: NDArray[np.uint64]
    """Numbers that are equal for rows that must stay on one side."""
    texts_N: NDArray[np.int64] | None = None
    """The number of each token's text, ascending; ``None``: rows are questions."""

    @classmethod
    def of(
        cls, observed: Mapping[str, Tensor], reading: str, groups_N: NDArray[np.uint64]
    ) -> "ExitEvidence":
        """The evidence of one way of reading, from what an `ExitObserver` saw."""
        return cls(
            readings_NKR=observed[f"{reading}_NKR"],
            told_apart_N=observed["told_apart_N"],
            right_NK=observed["right_NK"].numpy() > 0,
            agrees_NK=observed["agrees_NK"].numpy() > 0,
            plain_N=observed["plain_N"].numpy() > 0,
            num_tokens_N=observed["num_tokens_N"].numpy(),
            groups_N=groups_N,
        )

    def of_rows(self, rows_N: NDArray[np.int64]) -> "ExitEvidence":
        """The evidence of some of the rows, ascending; of a text all or none."""
        return ExitEvidence(
            readings_NKR=self.readings_NKR[rows_N],
            told_apart_N=self.told_apart_N[rows_N],
            right_NK=self.right_NK[rows_N],
            agrees_NK=self.agrees_NK[rows_N],
            plain_N=self.plain_N[rows_N],
            num_tokens_N=self.num_tokens_N[rows_N],
            groups_N=self.groups_N[rows_N],
            texts_N=None if self.texts_N is None else self.texts_N[rows_N],
        )

    def may_stop(self, label: str) -> NDArray[np.bool_]:
        """Whether a row should stop at a depth. Shape ``[N, K]``."""
        return self.agrees_NK if label == LABEL_FINAL else self.right_NK | ~self.plain_N[:, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitCosts:
    """What stopping costs, in layers of one row."""

    num_layers: int
    """The layers of the whole path."""
    depths: tuple[int, ...]
    read: float
    """Of one read of one row."""
    bridge: float
    """Of one translator of one row."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Stopped:
    """What became of each row under one rule of stopping."""

    right_N: NDArray[np.bool_]
    layers_N: NDArray[np.float64]
    """What ran of the path, with what was read, in layers of all the row's tokens."""

    @classmethod
    def nowhere(cls, evidence: ExitEvidence, costs: ExitCosts) -> "Stopped":
        """Nothing stops, and nothing is read."""
        layers_N = np.full(len(evidence.plain_N), float(costs.num_layers))
        return cls(right_N=evidence.plain_N, layers_N=layers_N)

    @classmethod
    def where_sure(
        cls,
        probability_NK: NDArray[np.float64],
        places: Sequence[int],
        threshold: float,
        evidence: ExitEvidence,
        costs: ExitCosts,
    ) -> "Stopped":
        """Each row stops at the first of the places at which its probability suffices.

        All rows of a question's answer cross the translator, which was read before. A token that
        stops is read once for both; but what it leaves out runs as far as a later token of its text
        goes.
        """
        if threshold >= NEVER or not places:
            return cls.nowhere(evidence, costs)
        right_NK = np.concatenate([evidence.right_NK[:, places], evidence.plain_N[:, None]], axis=1)
        sure_NK = probability_NK >= threshold
        is_sure_N = sure_NK.any(axis=1)
        stops_N = np.where(is_sure_N, sure_NK.argmax(axis=1), len(places))
        layers_N = np.array([*(costs.depths[place] for place in places), costs.num_layers])[stops_N]
        num_reads_N = np.minimum(stops_N + 1, len(places))
        if evidence.texts_N is None:
            layers_N = layers_N + costs.bridge * is_sure_N
            read_N = costs.read * num_reads_N
        else:
            layers_N = _as_later_ones(layers_N, evidence.texts_N)
            read_N = costs.read * (num_reads_N - is_sure_N) + costs.bridge * is_sure_N
        return cls(
            right_N=right_NK[np.arange(len(stops_N)), stops_N],
            layers_N=layers_N + read_N / evidence.num_tokens_N,
        )

    def point(self, evidence: ExitEvidence, threshold: float) -> OperatingPoint:
        """The operating point, with an error that is never zero.

        The standard error is that of Bonett and Price (2012), as in
        `search_cluster.stats.adjusted_difference`: as if two more rows had changed, one for the
        better and one for the worse. So few rows prove little, also where none changed. Rows of one
        group count as one draw.
        """
        difference_N = self.right_N.astype(np.float64) - evidence.plain_N
        num = len(difference_N) + 2
        mean = difference_N.sum() / num
        _, group_N = np.unique(evidence.groups_N, return_inverse=True)
        square = (np.bincount(group_N, difference_N - mean) ** 2).sum() + 2 * (1 + mean**2)
        weight_N = None if evidence.texts_N is None else evidence.num_tokens_N
        return OperatingPoint(
            threshold=threshold,
            accuracy=float(self.right_N.mean()),
            accuracy_plain=float(evidence.plain_N.mean()),
            standard_error=float(np.sqrt(square) / num),
            mean_layers=float(np.average(self.layers_N, weights=weight_N)),
            num_questions=len(np.unique(evidence.groups_N)),
        )


def _as_later_ones(layers_N: NDArray[np.int64], texts_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each token's layers, or those of the deepest token behind it in its text."""
    # Backwards the numbers of texts fall, so that each text begins above all of the one behind it.
    above_N = -texts_N * (int(layers_N.max()) + 1)
    return np.maximum.accumulate((layers_N + above_N)[::-1])[::-1] - above_N
