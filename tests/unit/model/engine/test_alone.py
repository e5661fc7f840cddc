"""A request in an engine of its own has room for all that it needs, whatever the device."""

import random

import pytest
from support.model_doubles import loaded_tiny

from search_cluster.model.engine import state_memory
from search_cluster.model.engine.alone import evaluate_alone
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.verdict import Verdict

FEW_ROWS = 64


@pytest.mark.parametrize("task_name", ["capitals", "arithmetic"])
def test_a_long_path_has_room_where_memory_is_taken_at_once(
    task_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, task, rng = loaded_tiny(), get_task(task_name), random.Random(0)
    example, *_ = task.load("train", None).examples
    path = LayerPath(tuple(rng.choices(range(6), k=20)), 6)
    (expected,) = PathExecutor(loaded, task).evaluate([(example, path)])
    monkeypatch.setattr(state_memory, "TAKEN_AT_ONCE", ("cpu",))
    monkeypatch.setattr(state_memory, "FIRST_ROWS", FEW_ROWS)
    outcome = evaluate_alone(loaded, task, example, path)
    assert isinstance(outcome, Verdict)
    assert outcome.num_layer_tokens > FEW_ROWS
    assert outcome == expected
