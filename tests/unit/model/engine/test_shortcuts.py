"""Paths with a shortcut in the engine: the materialised verdicts, the same bits in any company."""

import random

import pytest
import torch
from support import tiny
from support.bridges import bare_tiny
from support.shortcuts import random_shortcut, shortcut_tiny
from support.watched_executor import (
    Request,
    WatchedExecutor,
    assert_as_alone_in_company,
    assert_materialised,
    assert_same_bits,
)

from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.shortcut.attached import with_shortcut
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.registry import get_task

TASKS = {name: get_task(name) for name in ("capitals", "arithmetic")}
"""One of choices and one that generates."""
EXAMPLES = {name: task.load("train", None).examples[:3] for name, task in TASKS.items()}
CASES = [
    pytest.param(family, task, marks=[] if is_quick else [pytest.mark.slow])
    for task in TASKS
    for family in tiny.FAMILIES
    for is_quick in [family == "llama" or (task == "capitals" and family in tiny.QUICK_FAMILIES)]
]
PATHS = ((0, 1, 2, 3, 4, 5), (0, 1, 4, 5), (0, 2, 5), (0, 1, 1, 3, 4, 4), (4, 3, 1), (3,), (0, 1))
"""With all sources (1, 3, 4), some, none, some twice, in another order, at the end and alone."""


def some_requests(task: str, seed: int = 0) -> list[Request]:
    rng = random.Random(seed)
    return [
        (example, LayerPath(path, tiny.NUM_LAYERS))
        for example in EXAMPLES[task]
        for path in rng.sample(PATHS, k=5)
    ]


@pytest.mark.parametrize(("family", "task_name"), CASES)
def test_verdicts_are_the_materialised_models(family: str, task_name: str) -> None:
    loaded, task = shortcut_tiny(family), TASKS[task_name]
    requests = some_requests(task_name)
    outcomes = PathExecutor(loaded, task).evaluate(requests)
    bare = PathExecutor(bare_tiny(family), task).evaluate(requests)
    num_changed = 0
    for request, outcome, without in zip(requests, outcomes, bare, strict=True):
        assert_materialised(loaded, task, request, outcome)
        assert {1, 3, 4} & set(request[1].layers) or outcome == without
        num_changed += outcome != without
    assert num_changed > len(requests) / 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("family", "task_name"), CASES)
def test_the_same_bits_alone_and_in_company(
    family: str, dtype: torch.dtype, task_name: str
) -> None:
    """Little memory lets states be dropped and computed again, with what they carry."""
    loaded, task = shortcut_tiny(family, dtype), TASKS[task_name]
    requests = some_requests(task_name, seed=1)
    asked = random.Random(family).sample(requests, k=2)
    limits = ((2**30, 2048), (40_000, 70))
    assert_as_alone_in_company(loaded, task, requests, asked, limits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_switched_off_it_changes_no_bit_of_the_engines(dtype: torch.dtype) -> None:
    bare, task = bare_tiny(dtype=dtype), TASKS["capitals"]
    off = with_shortcut(bare, random_shortcut(off=True))
    requests = some_requests("capitals")
    executors = [WatchedExecutor(loaded, task) for loaded in (bare, off)]
    outcomes = [executor.evaluate(requests) for executor in executors]
    assert outcomes[0] == outcomes[1]
    assert_same_bits(executors[0].logits, executors[1].logits)
