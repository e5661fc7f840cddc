"""Training an `EarlyExitRouter`: does a depth answer no worse than the whole model?

Shapes: N examples, L layers, 2 readings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from torch import Tensor

from router_train.config import FitConfig
from router_train.data.facts import fact_hashes
from router_train.data.feature_store import stored_rows
from router_train.data.operating_point import OperatingPoint, choose_point
from router_train.routers.base import FitInputs, Fitted, Settings
from router_train.routers.early_exit.router import (
    EarlyExitRouter,
    exit_path,
    readings_of,
    restore_early_exit,
)
from search_cluster.console import track
from search_cluster.errors import CorpusError, NonFiniteLogitsError
from search_cluster.model.device_memory import default_state_bytes
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import PROMPTING_VERSION, encode_example
from search_cluster.model.scoring import SCORING_VERSIONS
from search_cluster.tasks.example import Example
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.verdict import Verdict

BATCH_SIZE = 8
"""The number of examples whose depths are evaluated together."""
NUM_THRESHOLDS = 201
"""The number of quantiles of the validation probabilities that are tried as thresholds."""
NEVER = 1.0
"""The threshold with which nothing stops early, as far as float arithmetic allows."""


@dataclass(frozen=True, slots=True)
class EarlyExitKind:
    """The kind that trains and restores `EarlyExitRouter`."""

    name: str = "early-exit"
    needs_model: bool = True

    def fit(self, inputs: FitInputs) -> Fitted:
        """A classifier of all questions, with the threshold that meets floor and budget.

        The threshold is the one that out-of-fold probabilities ask for.

        Raises:
            CorpusError: there are too few questions to learn from.
        """
        examples = select_examples(inputs.examples, inputs.config.train_limit, inputs.config.seed)
        facts = fact_hashes(inputs.examples)
        groups_N = np.array([facts[example.example_id] for example in examples], dtype=np.uint64)
        if len(np.unique(groups_N)) < 2:
            raise CorpusError(
                f"{len(examples)} examples can teach; an early exit needs at least 2 different "
                "questions that share no fact: let more teach (--train-limit), or search more "
                "(--limit)"
            )
        stored = stored_rows(
            inputs.feature_folder,
            _key(inputs),
            examples,
            seed=inputs.config.seed,
            name=lambda example: [example.example_id],
            compute=lambda part: _observe(inputs, part),
        )
        readings_NL2, right_NL = (
            stored["readings_NL2"].double().numpy(),
            stored["right_NL"].numpy() > 0,
        )
        router, point = train_early_exit(readings_NL2, right_NL, groups_N, inputs.config)
        return Fitted(
            router=router,
            metrics=point.metrics(),
            judged_on="the questions that chose the threshold (probabilities are out of fold)",
        )

    def restore(self, settings: Settings, tensors: Mapping[str, Tensor]) -> EarlyExitRouter:
        """The router of these settings and weights."""
        return restore_early_exit(settings, tensors)


def train_early_exit(
    readings_NL2: NDArray[np.float64],
    right_NL: NDArray[np.bool_],
    groups_N: NDArray[np.uint64],
    config: FitConfig,
) -> tuple[EarlyExitRouter, OperatingPoint]:
    """The router, and the point of its threshold on questions that the classifier has not seen.

    Args:
        readings_NL2: the readings of the prompt's last row after each layer.
        right_NL: whether stopping after each layer answers rightly; the last column is the plain
            model.
        groups_N: numbers that are equal for questions that must stay on one side.
        config: the folds, aim, floor and budget.
    """
    probability_NL = np.zeros(right_NL.shape)
    splitter = GroupKFold(
        n_splits=min(config.num_folds, len(np.unique(groups_N))),
        shuffle=True,
        random_state=config.seed,
    )
    for seen, held_out in splitter.split(readings_NL2, groups=groups_N):
        weight_2, bias_L = _fit_classifier(readings_NL2[seen], right_NL[seen])
        probability_NL[held_out] = _sigmoid(readings_NL2[held_out] @ weight_2 + bias_L)
    point = choose_exit(probability_NL, right_NL, config)
    weight_2, bias_L = _fit_classifier(readings_NL2, right_NL)
    return EarlyExitRouter(
        torch.tensor(weight_2).float(), torch.tensor(bias_L).float(), point.threshold
    ), point


def choose_exit(
    probability_NL: NDArray[np.float64], right_NL: NDArray[np.bool_], config: FitConfig
) -> OperatingPoint:
    """The threshold that meets aim, floor and budget on these probabilities.

    It is the plain model's where none does.
    """
    num_examples, num_layers = right_NL.shape
    early_NM = probability_NL[:, :-1]
    points = []
    for threshold in sorted(
        {NEVER, *map(float, np.quantile(early_NM, np.linspace(0, 1, NUM_THRESHOLDS)))}
    ):
        sure_NM = (
            early_NM >= threshold if threshold < NEVER else np.zeros_like(early_NM, dtype=bool)
        )
        stops_N = np.where(sure_NM.any(axis=1), sure_NM.argmax(axis=1), num_layers - 1)
        points.append(
            OperatingPoint.of(
                right_NL[np.arange(num_examples), stops_N], right_NL[:, -1], stops_N + 1, threshold
            )
        )
    place = choose_point(points, num_layers, config)
    return points[-1] if place is None else points[place]


def _fit_classifier(
    readings_NL2: NDArray[np.float64], right_NL: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of the two readings and a bias per depth.

    They give P(stopping here answers no worse than not at all).
    """
    num_examples, num_layers = right_NL.shape
    no_worse = (right_NL | ~right_NL[:, -1:])[:, :-1].ravel()
    if no_worse.all():  # nothing to tell apart
        return np.zeros(2), np.full(num_layers, 20.0)
    depth = np.tile(np.eye(num_layers - 1), (num_examples, 1))
    rows = np.concatenate([readings_NL2[:, :-1].reshape(-1, 2), depth], axis=1)
    classifier = LogisticRegression(fit_intercept=False, max_iter=1000).fit(rows, no_worse)
    weights = classifier.coef_[0]
    return weights[:2], np.append(weights[2:], 0.0)


def _sigmoid(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-scores))
    return result


def _key(inputs: FitInputs) -> dict[str, object]:
    model = _model(inputs)
    scoring = SCORING_VERSIONS[model.dtype]
    return {
        "what": "early exit",
        "model": model.fingerprint,
        "task": [inputs.task.name, inputs.task.version, PROMPTING_VERSION, scoring],
    }


def _observe(inputs: FitInputs, examples: Sequence[Example]) -> dict[str, Tensor]:
    """Readings after each layer, and whether each depth answers rightly.

    All depths share one pass of the engine.
    """
    loaded, task = _model(inputs), inputs.task
    executor = PathExecutor(loaded, task, max_state_bytes=default_state_bytes(loaded))
    paths = [exit_path(depth + 1, loaded.num_layers) for depth in range(loaded.num_layers)]
    readings, right = [], []
    batches = [
        examples[first : first + BATCH_SIZE] for first in range(0, len(examples), BATCH_SIZE)
    ]
    for batch in track(batches, f"batches of {BATCH_SIZE} questions, stopped after every layer"):
        readings += [
            readings_of(loaded, encode_example(loaded, task, example).context_ids)
            for example in batch
        ]
        outcomes = executor.evaluate([(example, path) for example in batch for path in paths])
        for outcome in outcomes:
            if isinstance(outcome, Exception) and not isinstance(outcome, NonFiniteLogitsError):
                raise outcome
        right += [isinstance(outcome, Verdict) and outcome.is_correct for outcome in outcomes]
    right_NL = torch.tensor(right, dtype=torch.uint8).reshape(len(examples), loaded.num_layers)
    return {"readings_NL2": torch.stack(readings), "right_NL": right_NL}


def _model(inputs: FitInputs) -> LoadedModel:
    assert inputs.loaded is not None, "the kind says that it needs a model"
    return inputs.loaded
