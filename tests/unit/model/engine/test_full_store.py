"""States that fill memory which can't grow, as on a GPU: the oldest go, and no call falls short."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from support.fake_devices import fake_devices
from support.model_doubles import CAPITAL, ChoiceTask, loaded_tiny
from support.packed import run_packed
from support.placed import placed_tiny

from search_cluster.model.engine import state_memory
from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.engine.slabs import NoRoomError, Slab
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.task import Prompt
from search_cluster.tasks.verdict import Verdict

TASKS = {name: get_task(name) for name in ("capitals", "arithmetic")}
"""One of choices and one that generates."""
ROOMY_BYTES = 2**30
CALL_ROWS = 256

Request = tuple[Example, LayerPath]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return loaded_tiny()


@pytest.fixture(params=TASKS)
def task_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=["padded", "packed"])
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    if name == "packed":
        run_packed(monkeypatch)
    return name


@pytest.fixture
def fixed_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Memory is taken at once, there is no more, and nobody flushes what is kept."""

    def grow(self: Slab, count: int) -> None:
        raise torch.OutOfMemoryError(f"there are no {count} rows more")

    with monkeypatch.context() as patch:
        patch.setattr(state_memory, "TAKEN_AT_ONCE", ("cpu",))
        patch.setattr(state_memory, "FIRST_ROWS", 1)
        patch.setattr(Slab, "_grow", grow)
        yield


def some_requests(task_name: str, num_examples: int = 6) -> list[Request]:
    rng = random.Random(0)
    paths = [LayerPath(tuple(rng.randrange(6) for _ in range(5)), 6) for _ in range(4)]
    paths.append(LayerPath((*paths[0].layers[:3], 5), 6))
    examples = TASKS[task_name].load("train", None).examples[:num_examples]
    return [(example, path) for example in examples for path in paths]


def roomy(
    loaded: LoadedModel, task_name: str, requests: list[Request]
) -> tuple[list[Outcome], int]:
    """The outcomes of an engine with room for everything, and the bytes that it had to hold."""
    executor = PathExecutor(loaded, TASKS[task_name], max_state_bytes=ROOMY_BYTES)
    assert executor.store.can_grow
    outcomes = executor.evaluate(requests)
    assert executor.store.num_evictions == 0
    return outcomes, executor.store.peak_bytes


def test_what_was_used_longest_ago_goes_and_verdicts_stay(
    loaded: LoadedModel,
    task_name: str,
    layout: str,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    requests = some_requests(task_name)
    expected, needed_bytes = roomy(loaded, task_name, requests)
    request.getfixturevalue("fixed_memory")
    executor = PathExecutor(
        loaded, TASKS[task_name], max_state_bytes=needed_bytes // 3, max_call_rows=CALL_ROWS
    )
    store = executor.store
    assert not store.can_grow
    assert executor.evaluate(requests) == expected
    assert store.num_evictions > 0
    assert executor._scheduler.max_call_rows == CALL_ROWS
    assert "out of memory" not in caplog.text
    assert store.peak_bytes <= needed_bytes // 3
    assert store.num_bytes > needed_bytes // 3 // 4, "full, not flushed"
    assert executor.evaluate(requests[-1:]) == expected[-1:]
    runs = executor.counters.layer_runs
    assert executor.evaluate(requests[-1:]) == expected[-1:]
    if task_name == "capitals":  # a generated answer may run its last node once more for a draft
        assert executor.counters.layer_runs == runs, "what was used last is still there"
    store.evict((), max_bytes=0)
    assert (store.hidden.num_used, store.keys.num_used, store.num_bytes) == (0, 0, 0)


def test_requests_come_one_by_one_and_hold_no_more_than_there_is(
    loaded: LoadedModel, task_name: str, layout: str, request: pytest.FixtureRequest
) -> None:
    requests = some_requests(task_name)
    expected, needed_bytes = roomy(loaded, task_name, requests)
    request.getfixturevalue("fixed_memory")
    executor = PathExecutor(loaded, TASKS[task_name], max_state_bytes=needed_bytes // 3)
    for pair, outcome in zip(requests, expected, strict=True):
        assert executor.evaluate([pair]) == [outcome]
    assert executor.store.num_evictions > 0


def test_answers_that_outgrow_the_room_wait_and_come_out_the_same(
    loaded: LoadedModel, layout: str, request: pytest.FixtureRequest
) -> None:
    requests = some_requests("arithmetic")
    expected, needed_bytes = roomy(loaded, "arithmetic", requests)
    request.getfixturevalue("fixed_memory")
    executor = PathExecutor(loaded, TASKS["arithmetic"], max_state_bytes=needed_bytes // 2)
    admission, num_back = executor._admission, 0
    next_round = admission.next_round

    def watched(*args: object) -> object:
        nonlocal num_back
        result = next_round(*args)  # type: ignore[arg-type]
        num_back += admission._num_left > 0
        return result

    admission.next_round = watched  # type: ignore[method-assign, assignment]
    assert executor.evaluate(requests) == expected
    assert num_back, "the test is about those that step back"


def test_a_request_without_room_fails_alone(
    loaded: LoadedModel, task_name: str, layout: str, request: pytest.FixtureRequest
) -> None:
    short, other, *_ = some_requests(task_name)
    long = (short[0], LayerPath((0, 1, 2, 3, 4, 5) * 20, 6))
    requests = [short, long, other]
    expected, _ = roomy(loaded, task_name, requests)
    _, short_bytes = roomy(loaded, task_name, [short, other])
    request.getfixturevalue("fixed_memory")
    executor = PathExecutor(loaded, TASKS[task_name], max_state_bytes=8 * short_bytes)
    outcomes = executor.evaluate(requests)
    assert outcomes[::2] == expected[::2]
    assert isinstance(outcomes[1], NoRoomError)
    assert "set state_bytes higher" in str(outcomes[1])
    assert executor.evaluate([other]) == [expected[2]]


def test_states_of_a_card_have_all_of_it_that_they_may(
    loaded: LoadedModel, task_name: str, fixed_memory: None
) -> None:
    store = PathExecutor(loaded, TASKS[task_name], max_state_bytes=10**7).store
    row_bytes = store.hidden.bytes_per_row + store.keys.bytes_per_row
    assert 10**7 - 2 * row_bytes <= sum(store.budgets) <= 10**7
    hidden, keys = store.hidden.of(0), store.keys.of(0)
    assert [keys.num_bytes, hidden.num_bytes] == store.budgets
    if task_name == "arithmetic":
        assert len(hidden.take(10**7 // row_bytes)) == len(keys.take(10**7 // row_bytes))
    else:
        assert hidden.num_bytes == pytest.approx(0.9 * 10**7, rel=1e-2)


@dataclass(frozen=True, kw_only=True)
class Templated(ChoiceTask):
    """Asks behind a template."""

    num_words: int

    def prompt(self, example: Example) -> Prompt:
        prompt = super().prompt(example)
        return replace(prompt, plain="word " * self.num_words + prompt.plain)


def behind_a_template() -> list[Request]:
    """Requests whose questions are short, on paths that begin alike."""
    paths = [LayerPath((*range(6), *range(first, 6), 5), 6) for first in range(1, 6)]
    examples = [replace(CAPITAL, question=f"What is {number}?") for number in range(3)]
    return [(example, path) for example in examples for path in paths]


def test_a_long_template_has_room_while_there_is_memory(
    loaded: LoadedModel, layout: str, request: pytest.FixtureRequest
) -> None:
    task, requests = Templated(num_words=60), behind_a_template()
    whole = PathExecutor(loaded, task, max_state_bytes=ROOMY_BYTES)
    expected = whole.evaluate(requests)
    needed_bytes = whole.store.peak_bytes
    request.getfixturevalue("fixed_memory")
    executor = PathExecutor(loaded, task, max_state_bytes=needed_bytes, max_call_rows=CALL_ROWS)
    before = sum(executor.store.budgets)
    assert executor.evaluate(requests) == expected
    assert all(isinstance(outcome, Verdict) for outcome in expected)
    assert sum(executor.store.budgets) == pytest.approx(before, rel=1e-2)
    assert executor.store.peak_bytes > needed_bytes // 2, "neither part is empty"


def test_a_call_of_many_rows_takes_no_room_that_outputs_need(
    loaded: LoadedModel, layout: str, request: pytest.FixtureRequest
) -> None:
    task, requests = Templated(num_words=60), behind_a_template()[:1]
    whole = PathExecutor(loaded, task, max_state_bytes=ROOMY_BYTES)
    expected = whole.evaluate(requests)
    room = whole.store.peak_bytes * 5 // 4
    request.getfixturevalue("fixed_memory")
    executor = PathExecutor(loaded, task, max_state_bytes=room, max_call_rows=2**20)
    assert executor.evaluate(requests) == expected
    assert isinstance(expected[0], Verdict)


def test_a_template_that_is_longer_than_those_before_has_room(
    loaded: LoadedModel,
    layout: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    task, requests = Templated(num_words=60), behind_a_template()
    whole = PathExecutor(loaded, task, max_state_bytes=ROOMY_BYTES)
    expected = whole.evaluate(requests)
    request.getfixturevalue("fixed_memory")
    executor = PathExecutor(
        loaded,
        Templated(num_words=0),
        max_state_bytes=whole.store.peak_bytes,
        max_call_rows=CALL_ROWS,
    )
    others = [(replace(example, question="Who?"), path) for example, path in requests]
    assert all(isinstance(outcome, Verdict) for outcome in executor.evaluate(others))
    monkeypatch.setattr(executor, "_task", task)
    assert executor.evaluate(requests) == expected
    store = executor.store
    store.evict((), max_bytes=0)
    assert (store.hidden.num_used, store.keys.num_used, store.num_bytes) == (0, 0, 0)


def test_layers_on_several_devices_have_room_for_each(
    task_name: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    requests = some_requests(task_name, num_examples=3)
    with fake_devices():
        expected, needed_bytes = roomy(placed_tiny(), task_name, requests)
        request.getfixturevalue("fixed_memory")
        executor = PathExecutor(placed_tiny(), TASKS[task_name], max_state_bytes=needed_bytes)
        assert len(executor.store.budgets) == 2 * 3
        assert executor.evaluate(requests) == expected
        assert all(isinstance(outcome, Verdict) for outcome in expected)
        assert executor.store.num_evictions > 0, "layers on one device may need more than its part"
    assert "out of memory" not in caplog.text
