"""Which depths a lens-exit router reads, how it judges them, and from which threshold on it stops.

The best of many rules looks better than it is on the questions that chose it, also out of fold. So
the choice itself is cross-fitted: each fold of the questions is stopped by what the others chose,
which take depths, classifier and threshold from probabilities out of their own folds. That says how
the *choice* does on questions that had no part in it. It is made with more or less care (so many
standard errors above the floor, among those that choose). From the most careful on each must hold
the floor on all folds together, or it ends there; what saves most of those that did is taken. Tests
in a fixed order that end with the first failure cost no certainty, however many they are.

Shapes: N rows (see `ExitEvidence`), K depths, F features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from torch import Tensor

from router_train.config import FitConfig
from router_train.data.operating_point import OperatingPoint, choose_point
from router_train.routers.lens_exit.classifier import ExitClassifier
from router_train.routers.lens_exit.evidence import NEVER, ExitCosts, ExitEvidence, Stopped
from router_train.routers.lens_exit.readings import FEATURES, features_of

NUM_THRESHOLDS = 21
"""The number of quantiles of the out-of-fold probabilities that are tried as thresholds."""
STEPS = (1, 2, 4)
"""How far apart the depths are that a candidate reads; beside these stand single depths."""
CARES = (3.0, 2.0, 1.0, 0.0)
"""By how many standard errors the floor is cleared among the questions that choose, the most
careful first."""
NO_EXIT = float("inf")
"""The care with which nothing stops."""
ALWAYS_SURE = 20.0
"""The bias of a depth at which every question may stop."""


def candidates_of(num_depths: int) -> list[tuple[int, ...]]:
    """The sets of places that are tried: all in some steps, and every second place alone.

    All end at the last place, or are single.
    """
    found = {tuple(range((num_depths - 1) % step, num_depths, step)): None for step in STEPS}
    found |= {(place,): None for place in range((num_depths - 1) % 2, num_depths, 2)}
    return list(found)


def choose_exits(
    evidence: ExitEvidence, costs: ExitCosts, config: FitConfig
) -> tuple[ExitClassifier, OperatingPoint]:
    """The classifier of all rows, and the point of the choice on folds that others chose for.

    It never stops where no care holds floor and budget.
    """
    by_care: dict[float, Stopped] = {}
    for seen_N, held_out_N in _folds(evidence, config):
        held_out = evidence.of_rows(held_out_N)
        for care, classifier in choices_by_care(evidence.of_rows(seen_N), costs, config).items():
            part = _stopped(classifier, held_out, costs)
            whole = by_care.setdefault(care, _nowhere(evidence, costs))
            whole.right_N[held_out_N], whole.layers_N[held_out_N] = part.right_N, part.layers_N
    accepted = {NO_EXIT: never_point(evidence, costs)}
    floor = replace(config, max_layers_share=1.0)  # a bolder choice may meet the budget
    for care, whole in by_care.items():
        judged = whole.point(evidence, threshold=0.0)
        if judged.mean_layers < costs.num_layers:
            if choose_point([judged], costs.num_layers, floor) is None:
                break
            accepted[care] = judged
    number = choose_point(list(accepted.values()), costs.num_layers, config) or 0
    best, point = list(accepted.items())[number]
    classifier = never() if best == NO_EXIT else choices_by_care(evidence, costs, config)[best]
    if classifier.threshold >= NEVER:
        return never(), accepted[NO_EXIT]
    return classifier, replace(point, threshold=classifier.threshold)


def never_point(evidence: ExitEvidence, costs: ExitCosts) -> OperatingPoint:
    """The point of never stopping, at which nothing is read."""
    return replace(Stopped.nowhere(evidence, costs).point(evidence, NEVER), standard_error=0.0)


def never() -> ExitClassifier:
    """The classifier that reads nothing, and never stops."""
    return ExitClassifier(
        places=(), weight_F=torch.zeros(len(FEATURES)), bias_K=torch.zeros(0), threshold=NEVER
    )


def _folds(
    evidence: ExitEvidence, config: FitConfig
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    num_groups = len(np.unique(evidence.groups_N))
    if num_groups < 2:
        return
    splitter = GroupKFold(
        n_splits=min(config.num_folds, num_groups), shuffle=True, random_state=config.seed
    )
    yield from splitter.split(evidence.plain_N, groups=evidence.groups_N)


def choices_by_care(
    evidence: ExitEvidence, costs: ExitCosts, config: FitConfig
) -> dict[float, ExitClassifier]:
    """What these rows choose at each care, the most careful first, by probabilities out of fold."""
    may_stop_NK = evidence.may_stop(config.exit_label)
    folds = list(_folds(evidence, config))
    points = [never_point(evidence, costs)]
    of_point: list[tuple[int, ...]] = [()]
    for places in candidates_of(len(costs.depths)) if folds else ():
        probability_NK = np.zeros((len(evidence.plain_N), len(places)))
        for seen_N, held_out_N in folds:
            classifier = _fit(places, evidence.of_rows(seen_N), may_stop_NK[seen_N])
            probability_NK[held_out_N] = _probabilities(classifier, evidence.of_rows(held_out_N))
        for threshold in thresholds_of(probability_NK):
            stopped = Stopped.where_sure(probability_NK, places, threshold, evidence, costs)
            points.append(stopped.point(evidence, threshold))
            of_point.append(places)
    found: dict[float, ExitClassifier] = {}
    for care in CARES:
        careful = replace(config, floor_errors=max(care, config.floor_errors))
        number = choose_point(points, costs.num_layers, careful) or 0
        found[care] = (
            _fit(of_point[number], evidence, may_stop_NK, points[number].threshold)
            if points[number].threshold < NEVER
            else never()
        )
    return found


def _probabilities(classifier: ExitClassifier, evidence: ExitEvidence) -> NDArray[np.float64]:
    features_NKF = _features(classifier.places, evidence)
    return classifier.probabilities(features_NKF).double().numpy()


def _features(places: Sequence[int], evidence: ExitEvidence) -> Tensor:
    return features_of(evidence.readings_NKR[:, list(places)], evidence.told_apart_N)


def _stopped(classifier: ExitClassifier, evidence: ExitEvidence, costs: ExitCosts) -> Stopped:
    """What becomes of rows under a classifier with its threshold."""
    if not classifier.places:
        return Stopped.nowhere(evidence, costs)
    probability_NK = _probabilities(classifier, evidence)
    return Stopped.where_sure(
        probability_NK, classifier.places, classifier.threshold, evidence, costs
    )


def _nowhere(evidence: ExitEvidence, costs: ExitCosts) -> Stopped:
    """Arrays that may be written to."""
    stopped = Stopped.nowhere(evidence, costs)
    return Stopped(right_N=stopped.right_N.copy(), layers_N=stopped.layers_N)


def thresholds_of(probability_NK: NDArray[np.float64]) -> list[float]:
    """The thresholds that are tried, ascending."""
    quantiles = np.quantile(probability_NK, np.linspace(0, 1, NUM_THRESHOLDS))
    return [threshold for threshold in sorted(set(map(float, quantiles))) if threshold < NEVER]


def _fit(
    places: tuple[int, ...],
    evidence: ExitEvidence,
    may_stop_NK: NDArray[np.bool_],
    threshold: float = NEVER,
) -> ExitClassifier:
    """A logistic classifier of standardised features, folded back into what it is given."""
    features_NKF = _features(places, evidence)
    num_rows, num_places, num_features = features_NKF.shape
    labels = may_stop_NK[:, list(places)].ravel()
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
    depth = np.tile(np.eye(num_places), (num_rows, 1))
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
