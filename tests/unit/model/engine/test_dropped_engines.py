"""An engine that nobody has any more leaves its memory at once, whatever is kept of its answers.

On a GPU the next engine of the process would find none: Python looks for objects that refer to each
other when many have been made, and memory of a device is few objects.
"""

import gc
import threading
from collections.abc import Iterator
from weakref import ref

import pytest
import torch
from support import tiny
from support.model_doubles import CAPITAL, ChoiceTask, GenerateTask, loaded_tiny

from search_cluster.bench.scan.scored_engine import ScoredEngine
from search_cluster.errors import NonFiniteLogitsError
from search_cluster.model.engine import state_memory
from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.engine.slabs import NoRoomError, Slab
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict

NUM_LAYERS = 6
GOOD, BROKEN = LayerPath((0, 1, 2), NUM_LAYERS), LayerPath((0, 1, 5), NUM_LAYERS)


@pytest.fixture(autouse=True)
def nobody_looks_for_cycles() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return loaded_tiny()


@pytest.fixture(scope="module")
def broken() -> LoadedModel:
    """A model whose last layer says nothing finite."""
    model = tiny.tiny_model()
    with torch.no_grad():
        model.model.layers[5].mlp.down_proj.weight.fill_(torch.inf)
    return loaded_tiny(model)


def outcomes_and_slabs(
    executor: PathExecutor, requests: list[tuple[Example, LayerPath]]
) -> tuple[list[Outcome], list[ref[Slab]]]:
    outcomes = executor.evaluate(requests)
    slabs = (executor.store.hidden.of(0), executor.store.keys.of(0))
    return outcomes, [ref(slab) for slab in slabs]


@pytest.mark.parametrize("task", [ChoiceTask(), GenerateTask()], ids=["choices", "generated"])
def test_memory_goes_with_the_engine(loaded: LoadedModel, task: Task) -> None:
    executor = PathExecutor(loaded, task)
    outcomes, slabs = outcomes_and_slabs(executor, [(CAPITAL, GOOD)])
    assert isinstance(outcomes[0], Verdict)
    del executor
    assert [slab() for slab in slabs] == [None, None]


def test_an_answer_that_is_not_finite_keeps_none(broken: LoadedModel) -> None:
    executor = PathExecutor(broken, ChoiceTask())
    outcomes, slabs = outcomes_and_slabs(executor, [(CAPITAL, GOOD), (CAPITAL, BROKEN)])
    assert list(map(type, outcomes)) == [Verdict, NonFiniteLogitsError]
    del executor
    assert [slab() for slab in slabs] == [None, None]


def test_a_request_without_room_keeps_none(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_memory, "TAKEN_AT_ONCE", ("cpu",))
    monkeypatch.setattr(state_memory, "FIRST_ROWS", 16)
    executor = PathExecutor(loaded, ChoiceTask(), max_state_bytes=1)
    outcomes, slabs = outcomes_and_slabs(executor, [(CAPITAL, GOOD)])
    assert isinstance(outcomes[0], NoRoomError)
    del executor
    assert [slab() for slab in slabs] == [None, None]


def test_an_engine_that_tells_scores_keeps_none(loaded: LoadedModel) -> None:
    engine = ScoredEngine(loaded, ChoiceTask(), num_workers=1)
    ((scores,),) = engine.scores([CAPITAL], [GOOD], threading.Event()) or [[()]]
    assert len(scores) == len(CAPITAL.choices)
    slab = ref(engine._executor.store.hidden.of(0))
    del engine
    assert slab() is None
