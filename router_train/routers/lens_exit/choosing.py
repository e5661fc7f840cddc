"""Which depths a lens-exit router reads, how it judges them, and from which threshold on it stops.

All of it is chosen by probabilities that are out of fold.

Shapes: N questions, K depths, R readings, F features, P candidates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from torch import Tensor

from router_train.config import LABEL_FINAL, FitConfig
from router_train.data.operating_point import OperatingPoint, choose_point
from router_train.routers.lens_exit.readings import FEATURES, features_of
from router_train.routers.lens_exit.router import NEVER, ExitClassifier

NUM_THRESHOLDS = 101
"""The number of quantiles of the out-of-fold probabilities that are tried as thresholds."""
STEPS = (1, 2, 4)
"""How far apart the depths are that a candidate reads; beside these stand single depths."""
ALWAYS_SURE = 20.0
"""The bias of a depth at which every question may stop."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ExitEvidence:
    """What is known of the questions that teach."""

    readings_NKR: Tensor
    told_apart_N: Tensor
    right_NK: NDArray[np.bool_]
    agrees_NK: NDArray[np.bool_]
    plain_N: NDArray[np.bool_]
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

    def may_stop(self, label: str) -> NDArray[np.bool_]:
        """Whether a question should stop at a depth. Shape ``[N, K]``."""
        return self.agrees_NK if label == LABEL_FINAL else self.right_NK | ~self.plain_N[:, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitCosts:
    """What stopping costs, in layers of one row."""

    num_layers: int
    depths: tuple[int, ...]
    read: float
    """Of one read of one row."""
    bridge: float
    """Of one translator of one row."""


def candidates_of(num_depths: int) -> list[tuple[int, ...]]:
    """The sets of places that are tried: from each place on in some steps, and each place alone."""
    found: dict[tuple[int, ...], None] = {(place,): None for place in range(num_depths)}
    for step in STEPS:
        found |= {tuple(range(first, num_depths, step)): None for first in range(num_depths)}
    return list(found)


def choose_exits(
    evidence: ExitEvidence, costs: ExitCosts, config: FitConfig
) -> tuple[ExitClassifier, OperatingPoint]:
    """The classifier of all questions, and the point of its threshold out of fold.

    It never stops where no candidate meets floor and budget.
    """
    may_stop_NK = evidence.may_stop(config.exit_label)
    splitter = GroupKFold(
        n_splits=min(config.num_folds, len(np.unique(evidence.groups_N))),
        shuffle=True,
        random_state=config.seed,
    )
    folds = list(splitter.split(evidence.plain_N, groups=evidence.groups_N))
    points: list[OperatingPoint] = []
    of_point: list[tuple[int, ...]] = []
    for places in candidates_of(len(costs.depths)):
        chosen = list(places)
        features_NKF = features_of(evidence.readings_NKR[:, chosen], evidence.told_apart_N)
        probability_NK = np.zeros((len(evidence.plain_N), len(places)))
        for seen, held_out in folds:
            classifier = _fit(places, features_NKF[seen], may_stop_NK[seen][:, chosen])
            probability_NK[held_out] = classifier.probabilities(features_NKF[held_out]).numpy()
        found = points_of(probability_NK, places, evidence, costs)
        points += found
        of_point += [places] * len(found)
    place = choose_point(points, costs.num_layers, config)
    if place is None or points[place].threshold >= NEVER:
        return _never(), plain_point(evidence, costs)
    places, point = of_point[place], points[place]
    chosen = list(places)
    features_NKF = features_of(evidence.readings_NKR[:, chosen], evidence.told_apart_N)
    fitted = _fit(places, features_NKF, may_stop_NK[:, chosen], point.threshold)
    return fitted, point


def points_of(
    probability_NK: NDArray[np.float64],
    places: Sequence[int],
    evidence: ExitEvidence,
    costs: ExitCosts,
) -> list[OperatingPoint]:
    """The points of all thresholds of one candidate, and that of never stopping."""
    num_questions, num_places = probability_NK.shape
    rows_N = np.arange(num_questions)
    right_NK = np.concatenate([evidence.right_NK[:, places], evidence.plain_N[:, None]], axis=1)
    depths = np.array([costs.depths[place] for place in places])
    points = [plain_point(evidence, costs)]
    for threshold in sorted(
        set(map(float, np.quantile(probability_NK, np.linspace(0, 1, NUM_THRESHOLDS))))
    ):
        if threshold >= NEVER:
            continue
        sure_NK = probability_NK >= threshold
        stops_N = np.where(sure_NK.any(axis=1), sure_NK.argmax(axis=1), num_places)
        lengths_N = np.append(depths + costs.bridge, costs.num_layers)[stops_N]
        num_reads_N = np.minimum(stops_N + 1, num_places)
        lengths_N = lengths_N + costs.read * num_reads_N / evidence.num_tokens_N
        points.append(
            OperatingPoint.of(right_NK[rows_N, stops_N], evidence.plain_N, lengths_N, threshold)
        )
    return points


def plain_point(evidence: ExitEvidence, costs: ExitCosts) -> OperatingPoint:
    """The point of never stopping, at which nothing is read."""
    lengths_N = np.full(len(evidence.plain_N), costs.num_layers)
    return OperatingPoint.of(evidence.plain_N, evidence.plain_N, lengths_N, NEVER)


def _never() -> ExitClassifier:
    return ExitClassifier(
        places=(), weight_F=torch.zeros(len(FEATURES)), bias_K=torch.zeros(0), threshold=NEVER
    )


def _fit(
    places: tuple[int, ...],
    features_NKF: Tensor,
    may_stop_NK: NDArray[np.bool_],
    threshold: float = NEVER,
) -> ExitClassifier:
    """A logistic classifier of standardised features, folded back into what it is given."""
    num_questions, num_places, num_features = features_NKF.shape
    labels = may_stop_NK.ravel()
    if labels.all() or not labels.any():  # nothing to tell apart
        bias = ALWAYS_SURE if labels.all() else -ALWAYS_SURE
        return ExitClassifier(
            places=places,
            weight_F=torch.zeros(num_features),
            bias_K=torch.full((num_places,), bias),
            threshold=threshold,
        )
    values = features_NKF.double().numpy().reshape(-1, num_features)
    mean_F, scale_F = values.mean(axis=0), values.std(axis=0)
    scale_F[scale_F < 1e-6] = np.inf  # what never varies has no say
    depth = np.tile(np.eye(num_places), (num_questions, 1))
    rows = np.concatenate([(values - mean_F) / scale_F, depth], axis=1)
    found = LogisticRegression(fit_intercept=False, max_iter=1000).fit(rows, labels)
    weight_F = found.coef_[0][:num_features] / scale_F
    bias_K = found.coef_[0][num_features:] - float(weight_F @ mean_F)
    return ExitClassifier(
        places=places,
        weight_F=torch.tensor(weight_F).float(),
        bias_K=torch.tensor(bias_K).float(),
        threshold=threshold,
    )
