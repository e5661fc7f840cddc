"""Paths with a shortcut in the engine: the materialised verdicts, the same bits in any company."""

import random
from dataclasses import replace

import pytest
import torch
from support import tiny
from support.bridges import bare_tiny
from support.shortcuts import random_shortcut, shortcut_tiny
from support.watched_executor import Logits, WatchedExecutor

from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.scoring import evaluate_path
from search_cluster.model.shortcut.attached import with_shortcut
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict

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

Request = tuple[Example, LayerPath]


def some_requests(task: str, seed: int = 0) -> list[Request]:
    rng = random.Random(seed)
    return [
        (example, LayerPath(path, tiny.NUM_LAYERS))
        for example in EXAMPLES[task]
        for path in rng.sample(PATHS, k=5)
    ]


def outcome_alone(loaded: LoadedModel, task: Task, request: Request) -> tuple[Outcome, Logits]:
    executor = WatchedExecutor(loaded, task)
    assert executor.arithmetic.is_invariant
    (outcome,) = executor.evaluate([request])
    assert executor.num_tie_rechecks == 0
    return outcome, executor.logits


def same_bits(got: Logits, expected: Logits) -> bool:
    both = got.keys() & expected.keys()
    assert both
    return all(torch.equal(got[key], expected[key]) for key in both)


@pytest.mark.parametrize(("family", "task_name"), CASES)
def test_verdicts_are_the_materialised_models(family: str, task_name: str) -> None:
    loaded, task = shortcut_tiny(family), TASKS[task_name]
    requests = some_requests(task_name)
    outcomes = PathExecutor(loaded, task).evaluate(requests)
    bare = PathExecutor(bare_tiny(family), task).evaluate(requests)
    num_changed = 0
    for (example, path), outcome, without in zip(requests, outcomes, bare, strict=True):
        reference = evaluate_path(loaded, task, example, path)
        assert isinstance(outcome, Verdict), outcome
        assert replace(outcome, margin=None) == replace(reference, margin=None), str(path)
        if outcome.margin is not None and reference.margin is not None:
            assert outcome.margin == pytest.approx(reference.margin, abs=1e-3), str(path)
        assert {1, 3, 4} & set(path.layers) or outcome == without
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
    alone = [outcome_alone(loaded, task, request) for request in asked]
    for state_bytes, call_rows in ((2**30, 2048), (40_000, 70)):
        executor = WatchedExecutor(
            loaded, task, max_state_bytes=state_bytes, max_call_rows=call_rows
        )
        batch = [*requests, *asked]
        random.Random(state_bytes).shuffle(batch)
        outcomes = dict(zip(batch, executor.evaluate(batch), strict=True))
        for request, (expected, logits) in zip(asked, alone, strict=True):
            assert outcomes[request] == expected
            assert same_bits(executor.logits, logits)
        assert executor.num_tie_rechecks == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_switched_off_it_changes_no_bit_of_the_engines(dtype: torch.dtype) -> None:
    bare, task = bare_tiny(dtype=dtype), TASKS["capitals"]
    off = with_shortcut(bare, random_shortcut(off=True))
    requests = some_requests("capitals")
    executors = [WatchedExecutor(loaded, task) for loaded in (bare, off)]
    outcomes = [executor.evaluate(requests) for executor in executors]
    assert outcomes[0] == outcomes[1]
    assert same_bits(executors[0].logits, executors[1].logits)
