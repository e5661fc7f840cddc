"""Training a `MenuRouter` on the path table.

Cost-sensitive: what is learned is by how much each path does better or worse than identity, not
which path is "the" label. A ridge regression per path, its strength chosen by leave-one-out,
shrinks to the path's average where prompts tell nothing, so that the router can fall back to a
static path. Calibration and threshold come from predictions for questions whose facts the
predicting model has not seen.

Shapes: N examples, K paths, F features, B break points.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from torch import Tensor

from router_train.config import LOSS_MARGIN, FitConfig
from router_train.data.feature_store import stored_rows
from router_train.data.operating_point import OperatingPoint, choose_point
from router_train.data.path_table import VerdictTable
from router_train.data.prompt_states import features_of
from router_train.routers.base import FitInputs, Fitted, Settings
from router_train.routers.menu.router import (
    MenuModel,
    MenuRouter,
    choose_path,
    confidences,
    restore_menu_router,
)
from search_cluster.errors import CorpusError
from search_cluster.model.prompting import PROMPTING_VERSION
from search_cluster.paths.layer_path import LayerPath

ALPHAS = tuple(np.logspace(1, 7, 13))
"""The strengths of the ridge that leave-one-out chooses from. At the upper end a prediction is a
path's average."""
NUM_THRESHOLDS = 201
"""The number of quantiles of the validation confidences that are tried as thresholds."""
ROUNDING = 1e-6
"""How far a threshold stays below a confidence that it lets pass. Calibrated confidences come in
steps, and weights are kept in float32."""
IDENTITY_ONLY = 1.0
"""The threshold that no path reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Linear:
    """A standardisation and one ridge per path."""

    mean_F: NDArray[np.float64]
    scale_F: NDArray[np.float64]
    weight_KF: NDArray[np.float64]
    bias_K: NDArray[np.float64]

    def scores(self, features_NF: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predicted gains ``[N, K]``, not calibrated."""
        scores: NDArray[np.float64] = (
            features_NF - self.mean_F
        ) / self.scale_F @ self.weight_KF.T + self.bias_K
        return scores


@dataclass(frozen=True, slots=True)
class MenuKind:
    """The kind that trains and restores `MenuRouter`."""

    name: str = "menu"
    needs_model: bool = True

    def fit(self, inputs: FitInputs) -> Fitted:
        """Predictions per path, their calibration, and the threshold for the configured aim.

        Raises:
            CorpusError: the corpus has no path table, or too few questions may teach.
        """
        config, table = inputs.config, inputs.table
        if table is None:
            raise CorpusError(
                "a menu router learns from the full path table, which the corpus lacks; "
                "write it: search-cluster crossexec RUN --menu 16"
            )
        table = table.limited(config.train_limit, config.seed)
        if len(np.unique(table.fact_groups)) < 2:
            raise CorpusError(
                f"{len(table.examples)} questions of the path table can teach; a menu router needs "
                "at least 2 different ones that share no fact: let more teach (--train-limit), or "
                "search and cross-execute more (--limit)"
            )
        features_NF, num_layers_read = _features(inputs, table)
        model, point = train_menu(features_NF, table, config)
        router = MenuRouter(
            table.paths, model, num_layers_read, config.num_windows, point.threshold
        )
        return Fitted(
            router=router,
            metrics=point.metrics(),
            judged_on="the questions that chose the threshold and whose corpus made the menu "
            "(predictions are out of fold)",
        )

    def restore(self, settings: Settings, tensors: Mapping[str, Tensor]) -> MenuRouter:
        """The router of these settings and weights."""
        return restore_menu_router(settings, tensors)


def common_prefix(paths: tuple[LayerPath, ...]) -> int:
    """How many layers of the plain model all paths begin with."""
    return next(
        (
            depth
            for depth in range(paths[0].num_layers)
            if any(len(path) <= depth or path.layers[depth] != depth for path in paths)
        ),
        paths[0].num_layers,
    )


def train_menu(
    features_NF: NDArray[np.float64], table: VerdictTable, config: FitConfig
) -> tuple[MenuModel, OperatingPoint]:
    """The model of all questions, and the threshold that out-of-fold predictions ask for."""
    targets_NK = gain_targets(table, config.loss)
    gains_NK = table.right_NK.astype(np.float64) - table.right_NK[:, :1]
    scores_NK = np.zeros_like(targets_NK)
    groups_N = table.fact_groups
    num_folds = min(config.num_folds, len(np.unique(groups_N)))
    splitter = GroupKFold(n_splits=num_folds, shuffle=True, random_state=config.seed)
    folds = [held_out for _, held_out in splitter.split(features_NF, groups=groups_N)]
    for held_out in folds:
        seen = np.setdiff1d(np.arange(len(features_NF)), held_out)
        scores_NK[held_out] = _fit_linear(features_NF[seen], targets_NK[seen]).scores(
            features_NF[held_out]
        )
    # One calibration for the choice of the threshold and for use: its steps are what a threshold
    # falls between.
    knots_B, means_B = _calibrate(scores_NK, gains_NK)
    point = choose_threshold(confidences(np.interp(scores_NK, knots_B, means_B)), table, config)
    linear = _fit_linear(features_NF, targets_NK)
    arrays = (linear.mean_F, linear.scale_F, linear.weight_KF, linear.bias_K, knots_B, means_B)
    return MenuModel(*(array.astype(np.float32) for array in arrays)), point


def gain_targets(table: VerdictTable, loss: str) -> NDArray[np.float64]:
    """The regression's targets: the gain of each path over identity. Shape ``[N, K]``, in [-1, 1].

    ``verdict``: right minus identity's right. ``margin``: the same with ``sigmoid(margin / s)`` in
    place of right, s the median size of identity's margins: near the boundary a verdict is a coin's
    toss, and a margin says how near. Verdicts without margin count as they are.
    """
    right_NK = table.right_NK.astype(np.float64)
    if loss == LOSS_MARGIN:
        margin_NK = table.margin_NK
        known_N = np.isfinite(margin_NK[:, 0])
        if known_N.any():
            scale = max(float(np.median(np.abs(margin_NK[known_N, 0]))), 1e-6)
            with np.errstate(
                over="ignore"
            ):  # far from the boundary the exponential may overflow: 0 is right there
                soft_NK = 1.0 / (1.0 + np.exp(-margin_NK / scale))
            right_NK = np.where(
                np.isfinite(margin_NK).all(axis=1, keepdims=True), soft_NK, right_NK
            )
    gains: NDArray[np.float64] = right_NK - right_NK[:, :1]
    return gains


def choose_threshold(
    confidences_NK: NDArray[np.float64], table: VerdictTable, config: FitConfig
) -> OperatingPoint:
    """The threshold that meets aim, floor and budget on these predictions.

    It is identity's where none does.
    """
    rows_N, lengths_K = np.arange(len(table.examples)), table.path_lengths
    quantiles = (
        np.quantile(confidences_NK[:, 1:], np.linspace(0, 1, NUM_THRESHOLDS))
        if len(lengths_K) > 1
        else ()
    )
    points = []
    candidates = {max(0.0, float(value) - ROUNDING) for value in quantiles}
    for threshold in sorted({0.0, IDENTITY_ONLY, *candidates}):
        chosen_N = np.array([choose_path(row_K, lengths_K, threshold) for row_K in confidences_NK])
        points.append(
            OperatingPoint.of(
                table.right_NK[rows_N, chosen_N],
                table.right_NK[:, 0],
                lengths_K[chosen_N],
                threshold,
            )
        )
    place = choose_point(points, int(lengths_K[0]), config)
    return points[-1] if place is None else points[place]


def _features(inputs: FitInputs, table: VerdictTable) -> tuple[NDArray[np.float64], int]:
    loaded, config = inputs.loaded, inputs.config
    assert loaded is not None, "the kind says that it needs a model"
    num_layers_read = (
        common_prefix(table.paths) if config.feature_layer is None else config.feature_layer
    )
    key = {
        "what": "prompt",
        "model": loaded.fingerprint,
        "task": [inputs.task.name, inputs.task.version, PROMPTING_VERSION],
        "num_layers_read": num_layers_read,
        "num_windows": config.num_windows,
    }
    tensors = stored_rows(
        inputs.feature_folder,
        key,
        table.examples,
        seed=config.seed,
        name=lambda example: [example.example_id],
        compute=lambda part: {
            "features_NF": features_of(
                loaded,
                inputs.task,
                part,
                num_layers_read=num_layers_read,
                num_windows=config.num_windows,
            )
        },
    )
    return tensors["features_NF"].double().numpy(), num_layers_read


def _fit_linear(features_NF: NDArray[np.float64], targets_NK: NDArray[np.float64]) -> _Linear:
    mean_F, deviation_F = features_NF.mean(axis=0), features_NF.std(axis=0)
    # Entries that hardly vary stay small, so that rounding noise is not blown up into a feature.
    scale_F = np.maximum(deviation_F, max(1e-3 * float(np.median(deviation_F)), 1e-6))
    ridge = RidgeCV(alphas=ALPHAS, alpha_per_target=True)
    ridge.fit((features_NF - mean_F) / scale_F, targets_NK)
    return _Linear(
        mean_F=mean_F,
        scale_F=scale_F,
        weight_KF=np.atleast_2d(ridge.coef_),
        bias_K=ridge.intercept_,
    )


def _calibrate(
    scores_NK: NDArray[np.float64], gains_NK: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Break points of the rising map from a score to the mean gain, over all paths but identity.

    One map for all paths: a path alone has too few questions for one of its own.
    """
    if scores_NK.shape[1] < 2:
        return np.zeros(1), np.zeros(1)
    rising = IsotonicRegression(out_of_bounds="clip")
    rising.fit(scores_NK[:, 1:].ravel(), gains_NK[:, 1:].ravel())
    return rising.X_thresholds_, rising.y_thresholds_
