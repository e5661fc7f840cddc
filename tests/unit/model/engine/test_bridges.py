"""Bridged paths in the engine: the materialised model's verdicts, the same bits in any company."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from support import tiny
from support.bridges import (
    ALL_JUMPS,
    WIDTH,
    bare_tiny,
    bridged_tiny,
    random_bridges,
    zero_bridges,
)
from support.watched_executor import (
    Request,
    WatchedExecutor,
    assert_as_alone_in_company,
    assert_materialised,
    assert_same_bits,
)

from search_cluster.model.bridge.bridged import with_bridges
from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.paths.jumps import Jump, jumps_of, steps_of
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.task import AnswerKind, Task
from search_cluster.tasks.verdict import Verdict

TASKS = {name: get_task(name) for name in ("capitals", "arithmetic")}
"""One of choices and one that generates."""
EXAMPLES = {name: task.load("train", None).examples[:3] for name, task in TASKS.items()}
CASES = [
    pytest.param(family, dtype, marks=[] if family in tiny.QUICK_FAMILIES else [pytest.mark.slow])
    for family in tiny.FAMILIES
    for dtype in (torch.float32, torch.bfloat16)
]
EDGES = ((0, 3), (3, 4, 5), (0, 3, 4), (0, 1, 2, 3, 4, 5), (0, 5, 0, 5), (0, 3, 3, 1, 4), (2,))
"""One inside another, from the embedding, to the final norm, none at all, one bridge twice."""


def some_requests(task: str, seed: int = 0) -> list[Request]:
    rng = random.Random(seed)
    layers = [*EDGES, *(tuple(rng.choices(range(6), k=rng.randint(1, 6))) for _ in range(4))]
    return [
        (example, LayerPath(path, tiny.NUM_LAYERS))
        for example in EXAMPLES[task]
        for path in rng.sample(layers, k=7)
    ]


def shortened(task: Task) -> Task:
    """The task with few tokens, so that references are quick."""
    if task.kind is AnswerKind.GENERATE:
        return replace(task, max_new_tokens=5)  # type: ignore[type-var]
    return task


@pytest.mark.parametrize("task_name", TASKS)
@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=[] if name in tiny.QUICK_FAMILIES else [pytest.mark.slow])
               for name in tiny.FAMILIES]
)  # fmt: skip
def test_verdicts_of_bridged_paths_are_the_materialised_models(family: str, task_name: str) -> None:
    loaded, task = bridged_tiny(family), TASKS[task_name]
    requests = some_requests(task_name)
    outcomes = PathExecutor(loaded, task).evaluate(requests)
    bare = PathExecutor(bare_tiny(family), task).evaluate(requests)
    num_margins = num_changed = 0
    for request, outcome, without in zip(requests, outcomes, bare, strict=True):
        num_margins += assert_materialised(loaded, task, request, outcome)
        assert jumps_of(request[1]) or outcome == without
        num_changed += outcome != without
    assert num_margins == (len(requests) if task_name == "capitals" else 0)
    assert num_changed > len(requests) / 3


@pytest.mark.parametrize("task_name", TASKS)
@pytest.mark.parametrize(("family", "dtype"), CASES)
def test_a_bridged_path_has_the_same_bits_alone_and_in_company(
    family: str, dtype: torch.dtype, task_name: str
) -> None:
    loaded, task = bridged_tiny(family, dtype), TASKS[task_name]
    requests = some_requests(task_name, seed=1)
    asked = random.Random(family).sample(requests, k=3)
    limits = ((2**30, 2048), (20_000, 70), (1, 8))
    assert_as_alone_in_company(loaded, task, requests, asked, limits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bridges_of_zeros_change_no_bit_of_the_engines(dtype: torch.dtype) -> None:
    bare, task = bare_tiny(dtype=dtype), TASKS["capitals"]
    zero = with_bridges(bare, zero_bridges(ALL_JUMPS, WIDTH))
    requests = some_requests("capitals")
    executors = [WatchedExecutor(loaded, task) for loaded in (bare, zero)]
    outcomes = [executor.evaluate(requests) for executor in executors]
    assert outcomes[0] == outcomes[1]
    assert executors[0].logits.keys() == executors[1].logits.keys()
    assert_same_bits(executors[0].logits, executors[1].logits)


def test_only_the_rows_that_jump_cross_and_they_are_counted() -> None:
    """A layer's call holds rows of several parents, of which one is at the far end of a bridge."""
    task, example = TASKS["capitals"], EXAMPLES["capitals"][0]
    jumps = [Jump(0, 3), Jump(3, 6)]
    loaded = with_bridges(bare_tiny(), random_bridges(jumps))
    paths = [LayerPath(layers, 6) for layers in ((0, 3, 4, 5), (1, 3, 4, 5), (0, 1, 2, 3))]
    executor = PathExecutor(loaded, task)
    outcomes = executor.evaluate([(example, path) for path in paths])
    for path, outcome in zip(paths, outcomes, strict=True):
        assert outcome == PathExecutor(loaded, task).evaluate([(example, path)])[0]
    untouched = PathExecutor(bare_tiny(), task).evaluate([(example, path) for path in paths])
    is_bridged = [bool({*steps_of(path)} & {*jumps}) for path in paths]
    assert [got != bare for got, bare in zip(outcomes, untouched, strict=True)] == is_bridged
    one_layer = PathExecutor(loaded, task)
    one_layer.evaluate([(example, LayerPath((0,), 6))])
    # All rows cross to layer 3, and those that are read to the final norm.
    num_read = one_layer.counters.head_rows
    assert executor.counters.bridged_rows == one_layer.counters.layer_tokens + num_read


def test_verdicts_stay_when_states_are_evicted_between_requests() -> None:
    loaded, task = bridged_tiny(), TASKS["capitals"]
    requests = some_requests("capitals")
    executor = PathExecutor(loaded, task, max_state_bytes=1)
    once: list[Outcome] = [executor.evaluate([request])[0] for request in requests]
    assert once == PathExecutor(loaded, task).evaluate(requests)
    assert all(isinstance(outcome, Verdict) for outcome in once)


def names(requests: Sequence[Request]) -> set[str]:
    return {str(path) for _, path in requests}


def test_the_requests_hold_every_edge() -> None:
    found = names([*some_requests("capitals"), *some_requests("capitals", seed=1)])
    assert {str(LayerPath(layers, 6)) for layers in EDGES} <= found
