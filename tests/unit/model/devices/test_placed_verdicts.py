"""Layers on several devices give the verdicts of one, to the bit, and never mix devices."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from support import tiny
from support.bridges import random_bridges
from support.fake_devices import DEVICES, MixedDevicesError, fake_devices, tried_on_one
from support.model_doubles import CAPITAL, SUM, ChoiceTask, GenerateTask
from support.placed import PATHS, placed_tiny
from support.shortcuts import random_shortcut

from search_cluster.model.bridge.bridged import with_bridges
from search_cluster.model.devices.layer_devices import devices_of
from search_cluster.model.engine import call_rows
from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.load.selftest import check_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.scoring import evaluate_path
from search_cluster.model.shortcut.attached import with_shortcut
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict

ONE = (torch.device("cpu"),)
TASKS: dict[str, Task] = {
    "capitals": ChoiceTask(),
    "sums": GenerateTask(max_new_tokens=3),
}
EXAMPLES = {"capitals": (CAPITAL,), "sums": (SUM, replace(SUM, question="What is 2+3?", gold="5"))}
DTYPES = (torch.float32, torch.bfloat16)


@pytest.fixture(autouse=True)
def one_trial(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with tried_on_one(monkeypatch):
        yield


def verdicts(loaded: LoadedModel, task_name: str) -> list[Outcome]:
    """What the engine says, and behind it what the materialised model does."""
    task, examples = TASKS[task_name], EXAMPLES[task_name]
    pairs = [(example, path) for example in examples for path in PATHS]
    outcomes = PathExecutor(loaded, task).evaluate(pairs)
    outcomes += [evaluate_path(loaded, task, examples[0], path) for path in PATHS[1:3]]
    assert all(isinstance(outcome, Verdict) for outcome in outcomes)
    return outcomes


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, marks=() if family in tiny.QUICK_FAMILIES else pytest.mark.slow)
        for family in tiny.FAMILIES
    ],
)
def test_verdicts_of_every_family_are_those_of_one_device(family: str, dtype: torch.dtype) -> None:
    for task_name in TASKS:
        alone = verdicts(placed_tiny(family, dtype, devices=ONE), task_name)
        with fake_devices():
            loaded = placed_tiny(family, dtype)
            assert devices_of(loaded.model).distinct == DEVICES[:3]
            assert verdicts(loaded, task_name) == alone


@pytest.mark.parametrize("extra", ["tied", "bridges", "shortcut"])
def test_what_belongs_to_a_model_is_where_it_is_used(extra: str) -> None:
    def of(devices: tuple[torch.device, ...]) -> list[Outcome]:
        loaded = placed_tiny("llama", devices=devices, tied=extra == "tied")
        if extra == "bridges":
            loaded = with_bridges(loaded, random_bridges())
        if extra == "shortcut":
            loaded = with_shortcut(loaded, random_shortcut())
        return verdicts(loaded, "capitals")

    alone = of(ONE)
    with fake_devices():
        assert of(DEVICES[:2]) == alone


def test_an_operation_that_mixes_devices_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_rows, "to_device", lambda rows_NW, device: rows_NW)
    with fake_devices(), pytest.raises(MixedDevicesError):
        verdicts(placed_tiny(), "capitals")


def test_states_cross_once_and_nothing_is_read_back_within_a_wave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[Counter[str]] = []
    with fake_devices() as counts:
        loaded = placed_tiny()
        devices = devices_of(loaded.model)
        executor = PathExecutor(loaded, TASKS["capitals"])
        pairs = [(example, PATHS[0]) for example in EXAMPLES["capitals"]]
        executor.evaluate(pairs)  # tables of positions and masks are made once
        run = executor._scheduler._run

        def noting(*args: object) -> None:
            counts.clear()
            run(*args)  # type: ignore[arg-type]
            calls.append(Counter(counts))

        monkeypatch.setattr(executor._scheduler, "_run", noting)
        executor.store.evict((), max_bytes=0)
        executor.evaluate(pairs)
    assert len(calls) == 2 * tiny.NUM_LAYERS, "the rows of the template, then the others"
    for number, call in enumerate(calls):
        # The last layer of a block leaves its states where the next block is.
        layer = number % tiny.NUM_LAYERS
        crosses = devices.of_states(layer) != devices.layers[layer]
        assert call["crossed"] == crosses, (layer, call)
        assert call["sent"] == 1 + crosses, (layer, call)
        assert call["read"] == 0
    assert sum(call["crossed"] for call in calls) == 2 * 2, "three blocks, two borders"


@torch.inference_mode()
def test_passes_by_hand_and_generation_are_those_of_one_device() -> None:
    def of(devices: tuple[torch.device, ...]) -> list[torch.Tensor]:
        model = placed_tiny("gemma3_text", devices=devices).model
        tokens_BT = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]], device=devices[0])
        walk = LayerwisePass(model, tokens_BT)
        for layer in PATHS[3].layers:
            walk.step(layer)
        written = materialise(model, PATHS[3]).generate(
            tokens_BT, max_new_tokens=5, do_sample=False, pad_token_id=tiny.PAD_ID
        )
        return [walk.logits().cpu(), written.cpu()]

    alone = of(ONE)
    with fake_devices():
        for ours, theirs in zip(of(DEVICES[:3]), alone, strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_the_self_test_of_loading_runs_on_all_devices(family: str) -> None:
    with fake_devices():
        check_model(placed_tiny(family).model)
