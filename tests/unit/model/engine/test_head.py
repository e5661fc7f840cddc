"""Where the head's rows are not tried, each of its calls has the same number of them."""

import random
from typing import Any

import pytest
import torch
from support import tiny
from support.model_doubles import loaded_tiny
from torch import Tensor

from search_cluster.model.engine import layer_runner
from search_cluster.model.engine.alone import evaluate_alone
from search_cluster.model.engine.calls.call_limits import HEAD_CALLS
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.engine.invariance import head
from search_cluster.model.engine.invariance.arithmetic import probe_arithmetic
from search_cluster.model.engine.invariance.head import (
    HEAD_CALL_ROWS,
    head_is_invariant,
    in_equal_calls,
)
from search_cluster.model.head import float32_logits
from search_cluster.model.memory_plan import HEAD_ROWS
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.registry import get_task

TASKS = {name: get_task(name) for name in ("capitals", "arithmetic")}


@pytest.fixture
def as_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head runs as on a device where numbers of rows are not tried."""
    monkeypatch.setattr(head, "TRIED_KINDS", ())


@pytest.mark.parametrize("num_rows", [1, 8, 127, 128, 129, 500, 1024])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_only_a_cpu_multiplies_as_many_rows_as_come(device: str, num_rows: int) -> None:
    calls: list[int] = []

    def logits_of(final_ND: Tensor) -> Tensor:
        calls.append(len(final_ND))
        return final_ND @ torch.ones(4, 9, device=device)

    assert in_equal_calls(logits_of, torch.ones(num_rows, 4, device=device)).shape == (num_rows, 9)
    if device == "cpu":
        assert calls == [num_rows]
    else:
        assert calls == [HEAD_CALL_ROWS] * -(-num_rows // HEAD_CALL_ROWS)


@pytest.mark.parametrize("head_rows", [None, 16, 128, 256, 1024])
@pytest.mark.parametrize("task_name", TASKS)
def test_whatever_fits_the_head_has_the_same_rows_and_verdicts_are_the_same(
    task_name: str, head_rows: int | None, monkeypatch: pytest.MonkeyPatch, as_on_a_card: None
) -> None:
    calls: list[int] = []

    def counting(model: Any, final_ND: Tensor, product: Any) -> Tensor:
        calls.append(len(final_ND))
        return float32_logits(model, final_ND, product)

    loaded, task, rng = loaded_tiny(), TASKS[task_name], random.Random(3)
    paths = [LayerPath(tuple(rng.choices(range(6), k=5)), 6) for _ in range(60)]
    examples = task.load("train", None).examples[:2]
    pairs = [(example, path) for example in examples for path in paths]
    with monkeypatch.context() as patch:
        patch.setattr(head, "TRIED_KINDS", ("cpu",))
        expected = PathExecutor(loaded, task).evaluate(pairs)
    monkeypatch.setattr(layer_runner, "float32_logits", counting)
    executor = PathExecutor(loaded, task, head_rows=head_rows)
    assert executor.evaluate(pairs) == expected
    assert evaluate_alone(loaded, task, *pairs[0]) == expected[0]
    assert set(calls) == {HEAD_CALL_ROWS}


def test_out_of_memory_ends_where_one_call_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, as_on_a_card: None
) -> None:
    def full(*_: object) -> Tensor:
        raise torch.OutOfMemoryError("scripted")

    task = TASKS["capitals"]
    executor = PathExecutor(loaded_tiny(), task, head_rows=512)
    monkeypatch.setattr(layer_runner, "float32_logits", full)
    pair = task.load("train", None).examples[0], LayerPath.identity(6)
    with pytest.raises(torch.OutOfMemoryError, match="scripted"):
        executor.evaluate([pair])
    assert [record.args for record in caplog.records] == [
        (512, HEAD_CALLS, 256),
        (256, HEAD_CALLS, HEAD_CALL_ROWS),
    ]


def test_what_a_plan_holds_at_a_time_are_whole_calls() -> None:
    assert all(rows % HEAD_CALL_ROWS == 0 for rows in HEAD_ROWS)


def test_a_head_whose_rows_depend_on_their_place_is_told_of(
    monkeypatch: pytest.MonkeyPatch, as_on_a_card: None
) -> None:
    def by_place(model: Any, final_ND: Tensor) -> Tensor:
        logits_NV = float32_logits(model, final_ND)
        logits_NV[::16] += 1e-3
        return logits_NV

    model = tiny.tiny_model()
    assert head_is_invariant(model)
    monkeypatch.setattr(head, "float32_logits", by_place)
    assert not head_is_invariant(model)
    found = probe_arithmetic(model)
    assert (found.is_invariant, found.reason) == (False, f"products of {tiny.VOCAB_SIZE} x 32")
