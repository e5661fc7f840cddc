"""Choosing a router's threshold by running it on validation questions.

This is for routers whose paths no table knows.

Shapes: N examples, P thresholds.
"""

from collections.abc import Sequence

import numpy as np

from router_train.config import FitConfig
from router_train.data.facts import fact_places
from router_train.data.operating_point import OperatingPoint, choose_point
from router_train.distributed import current_process_group
from router_train.routers.base import FitInputs, Router
from router_train.routers.online import begin_online_routing, route_batch_online
from search_cluster.console import track
from search_cluster.errors import NonFiniteLogitsError
from search_cluster.model.device_memory import default_state_bytes
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_example
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict

THRESHOLDS = (0.0, 0.5, 0.7, 0.9, 0.99, 1.0)
"""The thresholds that are tried, in this order. The last one gives the plain model, as far as float
arithmetic allows."""
BATCH_SIZE = 16
"""The number of questions that are answered together."""
_Answered = list[tuple[bool, list[bool], list[int]]]
"""For each question, whether the plain model is right; and for each threshold, whether the routed
one is, and with how many layers."""


def tune_threshold(
    router: Router, loaded: LoadedModel, task: Task, examples: Sequence[Example], config: FitConfig
) -> OperatingPoint:
    """The threshold that meets aim, floor and budget on these questions.

    It is the last one where none does.

    Args:
        router: the trained router, which is asked with every threshold.
        loaded: the frozen model.
        task: the task, which knows how to ask and grade.
        examples: at least one question; none of them asks for what has taught the router.
        config: the aim, the floor and the budget.

    Raises:
        PromptTooLongError: a prompt does not fit into the model's context.
    """
    executor = PathExecutor(loaded, task, max_state_bytes=default_state_bytes(loaded))
    identity = LayerPath.identity(loaded.num_layers)
    plain_right: list[bool] = []
    routed_right: list[list[bool]] = []
    lengths: list[list[int]] = []
    batches = [
        examples[first : first + BATCH_SIZE] for first in range(0, len(examples), BATCH_SIZE)
    ]
    group = current_process_group()
    answered: list[tuple[int, _Answered]] = []
    mine = [number for number in range(len(batches)) if group.is_mine(number)]
    for number in track(
        mine, f"batches of {BATCH_SIZE} questions, at {len(THRESHOLDS)} thresholds"
    ):
        batch = batches[number]
        choices = [
            _choices(router, loaded, encode_example(loaded, task, example).context_ids)
            for example in batch
        ]
        requests = [
            (example, path)
            for example, paths in zip(batch, choices, strict=True)
            for path in dict.fromkeys((identity, *paths))
        ]
        right = {
            (example.example_id, path): _is_right(outcome)
            for (example, path), outcome in zip(requests, executor.evaluate(requests), strict=True)
        }
        rows = [
            (
                right[example.example_id, identity],
                [right[example.example_id, path] for path in paths],
                [len(path) for path in paths],
            )
            for example, paths in zip(batch, choices, strict=True)
        ]
        answered.append((number, rows))
    for rows in group.collect(answered):
        for is_plain_right, are_right, num_layers in rows:
            plain_right.append(is_plain_right)
            routed_right.append(are_right)
            lengths.append(num_layers)
    right_NP, lengths_NP = np.array(routed_right), np.array(lengths)
    points = [
        OperatingPoint.of(
            right_NP[:, place], np.array(plain_right), lengths_NP[:, place], threshold
        )
        for place, threshold in enumerate(THRESHOLDS)
    ]
    chosen = choose_point(points, loaded.num_layers, config)
    return points[-1] if chosen is None else points[chosen]


def validation_examples(inputs: FitInputs) -> list[Example]:
    """All examples of the validation questions, those without a right path too.

    None of them asks for a fact that teaches.
    """
    teaching = [label.example for label in inputs.labels.train]
    places = fact_places([*inputs.examples, *teaching])
    taught = {places[example.example_id] for example in teaching}
    limit = inputs.config.validation_share * 2**64
    held_out = [
        example
        for example in inputs.examples
        if places[example.example_id] < limit and places[example.example_id] not in taught
    ]
    return held_out or [label.example for label in inputs.labels.validation]


def _choices(router: Router, loaded: LoadedModel, context_ids: Sequence[int]) -> list[LayerPath]:
    """The path at each threshold."""
    routings = [
        begin_online_routing(router, loaded, context_ids, threshold=threshold)
        for threshold in THRESHOLDS
    ]
    return [routed.path for routed in route_batch_online(loaded, context_ids, routings)]


def _is_right(outcome: Verdict | Exception) -> bool:
    if isinstance(outcome, Exception) and not isinstance(outcome, NonFiniteLogitsError):
        raise outcome
    return isinstance(outcome, Verdict) and outcome.is_correct
