"""What is known of the questions that teach a lens exit, and what stopping costs.

Shapes: N questions, K depths, R readings.
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
    """What is known of the questions that teach."""

    readings_NKR: Tensor
    told_apart_N: Tensor
    right_NK: NDArray[np.bool_]
    """Whether the answer through the lens is right at each depth."""
    agrees_NK: NDArray[np.bool_]
    """Whether it is the answer at the path's end."""
    plain_N: NDArray[np.bool_]
    """Whether the answer at the path's end is right."""
    num_tokens_N: NDArray[np.int64]
    groups_N: NDArray[np.uint64]
    """Numbers that are equal for questions that must stay on one side."""

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

    def of_questions(self, rows_N: NDArray[np.int64]) -> "ExitEvidence":
        """The evidence of some of the questions."""
        return ExitEvidence(
            readings_NKR=self.readings_NKR[rows_N],
            told_apart_N=self.told_apart_N[rows_N],
            right_NK=self.right_NK[rows_N],
            agrees_NK=self.agrees_NK[rows_N],
            plain_N=self.plain_N[rows_N],
            num_tokens_N=self.num_tokens_N[rows_N],
            groups_N=self.groups_N[rows_N],
        )

    def may_stop(self, label: str) -> NDArray[np.bool_]:
        """Whether a question should stop at a depth. Shape ``[N, K]``."""
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
    """What became of each question under one rule of stopping."""

    right_N: NDArray[np.bool_]
    layers_N: NDArray[np.float64]
    """What ran of the path, with what was read, in layers of all the question's tokens."""

    @classmethod
    def where_sure(
        cls,
        probability_NK: NDArray[np.float64],
        places: Sequence[int],
        threshold: float,
        evidence: ExitEvidence,
        costs: ExitCosts,
    ) -> "Stopped":
        """Each question stops at the first of the places at which its probability suffices.

        Nothing is read where the threshold is `NEVER`.
        """
        if threshold >= NEVER or not places:
            return cls(
                right_N=evidence.plain_N,
                layers_N=np.full(len(evidence.plain_N), float(costs.num_layers)),
            )
        right_NK = np.concatenate([evidence.right_NK[:, places], evidence.plain_N[:, None]], axis=1)
        sure_NK = probability_NK >= threshold
        stops_N = np.where(sure_NK.any(axis=1), sure_NK.argmax(axis=1), len(places))
        depths = np.array([costs.depths[place] for place in places])
        layers_N = np.append(depths + costs.bridge, costs.num_layers)[stops_N]
        num_reads_N = np.minimum(stops_N + 1, len(places))
        return cls(
            right_N=right_NK[np.arange(len(stops_N)), stops_N],
            layers_N=layers_N + costs.read * num_reads_N / evidence.num_tokens_N,
        )

    def point(self, plain_N: NDArray[np.bool_], threshold: float) -> OperatingPoint:
        """The operating point, with an error that is never zero.

        The standard error is that of Bonett and Price (2012), as in
        `search_cluster.stats.adjusted_difference`: as if two more questions had changed, one for
        the better and one for the worse. So few questions prove little, also where none changed.
        """
        difference_N = self.right_N.astype(np.float64) - plain_N
        num = len(difference_N) + 2
        mean, square = difference_N.sum() / num, ((difference_N**2).sum() + 2) / num
        return OperatingPoint(
            threshold=threshold,
            accuracy=float(self.right_N.mean()),
            accuracy_plain=float(plain_N.mean()),
            standard_error=float(np.sqrt((square - mean**2) / num)),
            mean_layers=float(self.layers_N.mean()),
            num_questions=len(difference_N),
        )
