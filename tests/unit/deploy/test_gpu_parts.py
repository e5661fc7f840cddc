"""Parts of the GPU check, made slow, short of memory or blind: what they judge, and what not."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from search_cluster.model.engine import state_memory
from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.engine.scheduler import Scheduler
from search_cluster.model.engine.slabs import NoRoomError

Parts = Callable[[str], ModuleType]


@pytest.fixture
def report(parts: Parts) -> Any:
    return parts("gpu_parts.sheet").Report(part="X", about="", limit_s=60)


@pytest.fixture
def sheet(parts: Parts, report: Any) -> Any:
    return parts("gpu_parts.sheet").Sheet(60, report.take)


@pytest.fixture
def toy(parts: Parts) -> Any:
    return parts("gpu_parts.scale").TOY


@pytest.fixture
def loaded(parts: Parts, toy: Any) -> Any:
    return parts("gpu_parts.random_models").random_model(
        toy.shapes["3B"], device="cpu", num_layers=4
    )


def judged(report: Any) -> dict[str, bool | None]:
    return {rule.rule: rule.holds for rule in report.rules}


def no_room(executor: PathExecutor, requests: Sequence[Any]) -> list[Outcome]:
    return [NoRoomError("12 rows of layer 3 have no room") for _ in requests]


class Clock:
    """Seconds that pass only when something takes them."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def costly(self, function: Callable[..., Any], cost_s: Callable[..., float]) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.now_s += cost_s(*args)
            return function(*args, **kwargs)

        return call


@pytest.mark.parametrize(("slowness", "same"), [(1.0, True), (30.0, None)])
def test_verdicts_are_judged_before_time_is_up_however_slow_they_are(
    parts: Parts,
    toy: Any,
    report: Any,
    monkeypatch: pytest.MonkeyPatch,
    slowness: float,
    same: bool | None,
) -> None:
    verdicts, sheets = parts("gpu_parts.verdicts"), parts("gpu_parts.sheet")
    clock = Clock()
    for module in (verdicts, sheets):
        monkeypatch.setattr(module, "time", clock)
    # As on a GPU, where products are also summed the other way.
    monkeypatch.setattr(verdicts, "is_cuda", lambda device: True)
    monkeypatch.setattr(verdicts, "kernels_of", lambda device, dtype: "")
    evaluate = verdicts.GapKeeper.evaluate_with_gaps
    costs = {
        "evaluate_with_gaps": lambda keeper, pairs: 0.01 * slowness * len(pairs),
        "evaluate_alone": lambda *_: 0.1 * slowness,
        "evaluate_path": lambda *_: 0.1 * slowness,
    }
    monkeypatch.setattr(
        verdicts.GapKeeper,
        "evaluate_with_gaps",
        clock.costly(evaluate, costs["evaluate_with_gaps"]),
    )
    for name in ("evaluate_alone", "evaluate_path"):
        monkeypatch.setattr(verdicts, name, clock.costly(getattr(verdicts, name), costs[name]))
    # Random weights, as if they were real: without a model of the machine's.
    monkeypatch.setattr(verdicts, "real_samples", verdicts.random_samples)
    sheet = sheets.Sheet(120, report.take)
    verdicts.check(sheet, replace(toy, choice_verdicts=120, generated_verdicts=60), "cpu", "none")
    assert sheet.left_s > 0
    assert list(judged(report).values()) == [same, same, True, True]
    figures = report.figures["random 3B, bfloat16, choices"]
    assert figures["compared_with_reduced_precision_sums"] > 0
    assert figures["alone"] > 0


def test_a_way_to_attend_that_torch_refuses_is_missing_and_breaks_nothing_off(
    parts: Parts, toy: Any, report: Any, sheet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = parts("gpu_parts.card")
    attend = card.scaled_dot_product_attention

    def refuses(*tensors: Any, enable_gqa: bool = False, **settings: Any) -> Any:
        if enable_gqa:
            raise RuntimeError("No valid execution plans built.")
        return attend(*tensors, **settings)

    monkeypatch.setattr(card, "scaled_dot_product_attention", refuses)
    card.check(sheet, toy, "cpu")
    assert "refuses it: No valid execution plans" in report.missing["mask_and_gqa"]
    assert report.figures["one_row"]["us"] > 0


def test_compiling_that_takes_too_long_is_missing_and_breaks_nothing_off(
    parts: Parts, script: ModuleType, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = parts("gpu_parts.one_by_one")

    def endless(*arguments: Any, **settings: Any) -> None:
        time.sleep(600)

    monkeypatch.setattr(part, "is_cuda", lambda device: True)
    monkeypatch.setattr(torch, "compile", endless)
    monkeypatch.setattr(part, "_plain", lambda scale, device, send: None, raising=False)
    monkeypatch.setattr(script, "PARTS", {"G": replace(script.PARTS["G"], limit_s=5.0)})
    report = script.run_part("G", toy, "cpu", "none")
    assert report.error == ""
    assert report.mark == "MEASURED"
    assert "its time was up" in report.missing["compiled_4_layers_ms_a_token"]


def test_a_compiler_s_error_is_told(
    parts: Parts, toy: Any, report: Any, sheet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = parts("gpu_parts.one_by_one")

    class Refuses:
        def __init__(self, *arguments: Any) -> None:
            raise RuntimeError("no such backend")

    monkeypatch.setattr(part, "is_cuda", lambda device: True)
    monkeypatch.setattr(part, "_plain", lambda scale, device, send: None)
    monkeypatch.setattr(part, "_StaticLoop", Refuses)
    monkeypatch.setattr(torch, "compile", lambda model, **settings: model)
    part.check(sheet, toy, "cpu")
    assert report.missing == {"compiled_4_layers_ms_a_token": "RuntimeError: no such backend"}
    assert report.error == ""


class TestLayerCalls:
    def test_reading_logits_is_no_part_of_decoding_calls(
        self, parts: Parts, toy: Any, loaded: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        part = parts("gpu_parts.layer_call")
        cell = part.Cell(model="3B", rows=16, segments=16, figures={})
        monkeypatch.setattr(part, "ROUNDS", 1)
        figures = part._measured(loaded, cell, toy, 1e9)
        assert figures["rows_a_call"] == pytest.approx(16, rel=0.05)
        read = PathExecutor._read

        def longer(executor: PathExecutor, jobs: Sequence[Any]) -> Any:
            for _ in range(1000):
                torch.zeros(1)
            return read(executor, jobs)

        monkeypatch.setattr(PathExecutor, "_read", longer)
        assert part._measured(loaded, cell, toy, 1e9)["operations"] == figures["operations"]

    def test_a_call_has_room_for_its_keys_where_slabs_cant_grow(
        self, parts: Parts, toy: Any, loaded: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        part = parts("gpu_parts.layer_call")
        monkeypatch.setattr(state_memory, "TAKEN_AT_ONCE", ("cpu",))
        monkeypatch.setattr(state_memory, "FIRST_ROWS", 8)
        # As where all keys of a call go through the slab.
        monkeypatch.setattr(Scheduler, "_takes_keys", lambda scheduler, wants: True)
        monkeypatch.setattr(part, "ROUNDS", 1)
        outcomes: list[Outcome] = []
        evaluate = PathExecutor.evaluate

        def kept(executor: PathExecutor, requests: Sequence[Any]) -> list[Outcome]:
            outcomes.extend(evaluate(executor, requests))
            return outcomes[-len(requests) :]

        monkeypatch.setattr(PathExecutor, "evaluate", kept)
        cell = part.Cell(model="3B", rows=16, segments=1, figures={})
        assert part._measured(loaded, cell, toy, 1e9)["rows_a_call"] == 16
        assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []

    def test_a_request_without_room_is_no_measurement(
        self, parts: Parts, toy: Any, loaded: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        part = parts("gpu_parts.layer_call")
        monkeypatch.setattr(PathExecutor, "evaluate", no_room)
        cell = part.Cell(model="3B", rows=16, segments=1, figures={})
        assert part._measured(loaded, cell, toy, 1e9) == {
            "error": "12 rows of layer 3 have no room"
        }

    @pytest.mark.parametrize(
        ("seen", "sizes", "left"),
        [
            ({"launches": 0, "syncs": 1}, [(8192, 1), (8192, 8)], ["launches", "differ"]),
            ({"launches": 2, "syncs": 0}, [(8192, 1), (8192, 8)], ["waits"]),
            ({"launches": 2, "syncs": 1}, [(8192, 1)], ["differ"]),
            ({"launches": 2, "syncs": 1}, [(64, 1), (64, 8)], ["reach"]),
            ({"launches": 2, "syncs": 1}, [], ["launches", "differ", "waits", "reach"]),
        ],
    )
    def test_what_was_not_seen_or_not_measured_is_left_open(
        self,
        parts: Parts,
        report: Any,
        sheet: Any,
        seen: dict[str, int],
        sizes: list[tuple[int, int]],
        left: list[str],
    ) -> None:
        part, scale = parts("gpu_parts.layer_call"), parts("gpu_parts.scale").CARD
        figures = {"launches": 0.0, "syncs": 0.0, "efficiency": 0.7}
        cells = [part.Cell(model="3B", rows=r, segments=s, figures=figures) for r, s in sizes]
        part._judge(sheet, cells, scale, parts("gpu_parts.device").Work(**seen))
        rules = judged(report)
        words = {"launches": "at most 60", "differ": "differ", "waits": "waits", "reach": "reach"}
        for name, word in words.items():
            (holds,) = (holds for rule, holds in rules.items() if word in rule)
            assert holds is (None if name in left else True)


class TestRequestsWithoutAVerdict:
    def test_they_break_a_rule_though_they_are_alike_in_any_company(
        self, parts: Parts, toy: Any, report: Any, sheet: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verdicts = parts("gpu_parts.verdicts")
        monkeypatch.setattr(PathExecutor, "evaluate", no_room)
        monkeypatch.setattr(verdicts, "DTYPES", ("float32",))
        verdicts.check(sheet, toy, "cpu", "none")
        answered = report.rules[-1]
        assert answered.rule == parts("gpu_parts.engine").ANSWERED
        assert answered.holds is False
        assert "the first: NoRoomError: 12 rows of layer 3 have no room" in answered.value

    def test_they_count_for_no_rate(
        self, parts: Parts, toy: Any, report: Any, sheet: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        part = parts("gpu_parts.throughput")
        monkeypatch.setattr(PathExecutor, "evaluate", no_room)
        monkeypatch.setattr(part, "_several", lambda *_: None)
        one_shape = {"3B": toy.shapes["3B"]}
        part.check(sheet, replace(toy, shapes=one_shape), "cpu")
        cells = {name: cell for name, cell in report.figures.items() if "batch" in name}
        assert cells
        assert {tuple(cell) for cell in cells.values()} == {("failures",)}
        assert judged(report)[parts("gpu_parts.engine").ANSWERED] is False


def test_memory_that_has_not_come_back_for_want_of_time_is_left_open(
    parts: Parts, toy: Any, loaded: Any, report: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, sheets = parts("gpu_parts.memory"), parts("gpu_parts.sheet")
    sheet = sheets.Sheet(memory.LAST_S / 2, report.take)
    rows = iter([1024, 64, 64, 64, 64])
    monkeypatch.setattr(memory, "call_rows_of", lambda executor: next(rows))
    monkeypatch.setattr(memory, "_allocated", lambda device: 100)
    shorts = iter([0, 3])
    for name, value in {
        "empty_cache": lambda: None,
        "get_device_properties": lambda device: SimpleNamespace(total_memory=1000),
        "set_per_process_memory_fraction": lambda share, device: None,
        "memory_stats": lambda device: {"num_ooms": next(shorts)},
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    pairs = memory._pairs(toy, loaded)[:2]
    task = parts("gpu_parts.random_models").WordTask()
    memory._shortage(sheet, toy, loaded, pairs, PathExecutor(loaded, task).evaluate(pairs), 400)
    assert judged(report) == {memory.SAME_SHORT: True, memory.ROWS_BACK: None}


def test_a_worker_that_survives_an_error_of_another_kind_has_not_ended(
    parts: Parts, toy: Any, report: Any, sheet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = parts("gpu_parts.broken_device")
    kinds, asked = part._kinds, []

    def fails_later(worker: Any, requests: Sequence[Any]) -> list[str]:
        asked.append(requests)
        if len(asked) > 1:
            raise TypeError("no fault of a device")
        found: list[str] = kinds(worker, requests)
        return found

    monkeypatch.setattr(part, "_kinds", fails_later)
    part.check(sheet, toy, "cpu")
    assert judged(report) == {part.ENDS: False, part.SILENT: False}
    assert report.figures["outcomes_after"] == ["raised TypeError"]


def test_the_last_line_names_parts_with_rules_left_open(parts: Parts, script: ModuleType) -> None:
    sheets = parts("gpu_parts.sheet")
    reports = []
    for name, values in {"B": [True, None], "D": [True], "G": []}.items():
        report = sheets.Report(part=name, about="", limit_s=1)
        report.rules = [sheets.Rule(rule="", holds=value) for value in values]
        reports.append(report)
    assert script.conclusion(reports) == ("PASS; rules left open: B; measured only: G", 0)


def test_random_models_have_exact_products(parts: Parts, toy: Any) -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        parts("gpu_parts.random_models").random_model(toy.shapes["3B"], device="cpu", num_layers=1)
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision(before)
