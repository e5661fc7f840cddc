"""Out of memory anywhere: the same verdicts to the bit, calls that grow back, and nothing lost."""

import random
from collections.abc import Callable

import pytest
import torch
from support.model_doubles import loaded_tiny

from search_cluster.model.engine.calls import call_limits
from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.engine.slabs import Slab
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task

TASKS = {name: get_task(name) for name in ("capitals", "arithmetic")}
"""One of choices and one that generates."""


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return loaded_tiny()


@pytest.fixture(params=TASKS)
def task_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def requests(task_name: str) -> list[tuple[Example, LayerPath]]:
    rng = random.Random(0)
    paths = [LayerPath(tuple(rng.randrange(6) for _ in range(5)), 6) for _ in range(3)]
    paths.append(LayerPath((*paths[0].layers[:3], 5), 6))
    examples = TASKS[task_name].load("train", None).examples[:4]
    return [(example, path) for example in examples for path in paths]


def undisturbed(loaded: LoadedModel, task_name: str) -> list[Outcome]:
    return PathExecutor(loaded, TASKS[task_name]).evaluate(requests(task_name))


def assert_nothing_is_lost(executor: PathExecutor) -> None:
    """All slots come back once nobody needs a state."""
    store = executor.store
    assert executor.is_idle
    store.evict((), max_bytes=0)
    assert (store.hidden.num_used, store.keys.num_used, store.num_bytes) == (0, 0, 0)


def failing(
    function: Callable[..., object], is_due: Callable[[int], bool]
) -> Callable[..., object]:
    """The function, with scripted failures; it knows the number of the call."""
    num_calls = 0

    def scripted(*arguments: object, **settings: object) -> object:
        nonlocal num_calls
        num_calls += 1
        if is_due(num_calls):
            raise torch.OutOfMemoryError("scripted")
        return function(*arguments, **settings)

    return scripted


@pytest.mark.parametrize("every", [2, 3, 7])
def test_in_a_layer(
    loaded: LoadedModel,
    task_name: str,
    every: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    executor = PathExecutor(loaded, TASKS[task_name])
    run = failing(executor._layers.run, lambda number: number % every == 0)
    monkeypatch.setattr(executor._layers, "run", run)
    assert executor.evaluate(requests(task_name)) == undisturbed(loaded, task_name)
    assert "out of memory in a call of " in caplog.text
    assert_nothing_is_lost(executor)


@pytest.mark.parametrize("every", [3, 4, 11])
def test_in_slabs_that_have_no_room(
    loaded: LoadedModel,
    task_name: str,
    every: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = undisturbed(loaded, task_name)
    executor = PathExecutor(loaded, TASKS[task_name])
    monkeypatch.setattr(Slab, "take", failing_method(Slab.take, every))
    assert executor.evaluate(requests(task_name)) == expected
    assert "out of memory in a call of " in caplog.text
    assert_nothing_is_lost(executor)


def failing_method(take: Callable[..., object], every: int) -> Callable[..., object]:
    scripted = failing(take, lambda number: number % every == 0)

    def method(self: Slab, count: int) -> object:
        return scripted(self, count)

    return method


def test_while_logits_are_read(
    loaded: LoadedModel,
    task_name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    executor = PathExecutor(loaded, TASKS[task_name])
    read, too_many = executor._logits, 16

    def limited(slots: list[int], asked: list[list[int]]) -> object:
        if len(slots) > too_many:
            raise torch.OutOfMemoryError("scripted")
        return read(slots, asked)

    monkeypatch.setattr(executor, "_logits", limited)
    monkeypatch.setattr(call_limits, "RECOVERY_CALLS", 2**30)
    assert executor.evaluate(requests(task_name)) == undisturbed(loaded, task_name)
    assert "calls of the head have at most 16 rows for now" in caplog.text
    assert_nothing_is_lost(executor)


def test_calls_grow_back(
    loaded: LoadedModel,
    task_name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(call_limits, "RECOVERY_CALLS", 2)
    executor = PathExecutor(loaded, TASKS[task_name])
    wanted = executor._scheduler.max_call_rows
    run = failing(executor._layers.run, lambda number: number == 1)
    monkeypatch.setattr(executor._layers, "run", run)
    executor.evaluate(requests(task_name)[:1])
    assert "calls have at most " in caplog.text
    for _ in range(9):  # as many doublings as there may be, with a call of each layer at least
        executor.store.evict((), max_bytes=0)
        executor.evaluate(requests(task_name))
    assert executor._scheduler.max_call_rows == wanted
    assert f"calls have up to {wanted} rows again" in caplog.text


def test_the_head_reads_as_many_rows_as_before_when_there_is_memory_again(
    loaded: LoadedModel,
    task_name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(call_limits, "RECOVERY_CALLS", 2)
    executor = PathExecutor(loaded, TASKS[task_name])
    wanted = executor.head_rows
    logits = failing(executor._logits, lambda number: number <= 3)
    monkeypatch.setattr(executor, "_logits", logits)
    assert executor.evaluate(requests(task_name)) == undisturbed(loaded, task_name)
    assert f"calls of the head have at most {wanted // 8} rows for now" in caplog.text
    for _ in range(6):
        executor.evaluate(requests(task_name)[:1])
    assert executor.head_rows == wanted
    assert f"calls of the head have up to {wanted} rows again" in caplog.text


def test_a_node_alone_has_the_room_of_all_that_can_be_spared(
    loaded: LoadedModel, task_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_, last = requests(task_name)
    executor = PathExecutor(loaded, TASKS[task_name])
    executor.evaluate([first])
    assert executor.store.num_bytes
    num_evictions, held = executor.store.num_evictions, executor.store.hidden.num_used
    take = Slab.take

    def scarce(self: Slab, count: int) -> object:
        if self is executor.store.hidden.of(0) and self.num_used + count > held:
            raise torch.OutOfMemoryError("scripted")
        return take(self, count)

    monkeypatch.setattr(Slab, "take", scarce)
    (outcome,) = executor.evaluate([last])
    assert outcome == undisturbed(loaded, task_name)[-1]
    assert executor.store.num_evictions > num_evictions


def test_a_node_without_room_ends_the_batch_and_not_the_engine(
    loaded: LoadedModel, task_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = PathExecutor(loaded, TASKS[task_name])
    with monkeypatch.context() as patch:
        run = failing(executor._layers.run, lambda number: number > 3)
        patch.setattr(executor._layers, "run", run)
        with pytest.raises(torch.OutOfMemoryError, match="scripted"):
            executor.evaluate(requests(task_name))
    assert executor.evaluate(requests(task_name)) == undisturbed(loaded, task_name)
    assert_nothing_is_lost(executor)


@pytest.mark.parametrize("interrupted_call", [1, 4, 9])
def test_an_interrupted_call_takes_nothing_along(
    loaded: LoadedModel, task_name: str, interrupted_call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = PathExecutor(loaded, TASKS[task_name])
    run, num_calls = executor._layers.run, 0

    def interrupted(*arguments: object) -> object:
        nonlocal num_calls
        num_calls += 1
        if num_calls == interrupted_call:
            raise KeyboardInterrupt
        return run(*arguments)

    monkeypatch.setattr(executor._layers, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        executor.evaluate(requests(task_name))
    assert_nothing_is_lost(executor)
    assert executor.evaluate(requests(task_name)) == undisturbed(loaded, task_name)
    assert_nothing_is_lost(executor)
