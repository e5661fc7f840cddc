"""All parts of the GPU check run here at toy size, and rules that need a GPU are judged by hand."""

import contextlib
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from support.tiny import save_tiny_model
from torch._C._autograd import DeviceType
from torch.autograd.profiler_util import FunctionEvent

from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.engine.layer_runner import LayerRunner

Done = tuple[dict[str, Any], str, int]
"""The line of each part, the last line and the exit code."""
Parts = Callable[[str], ModuleType]
REPOSITORY = Path(__file__).parents[3]
RUNS = REPOSITORY / "deploy" / "runs"


def run_check(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(RUNS / "gpu_check.py"), "--device", "cpu", "--toy", *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **variables},
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The line of each part, the last line and the exit code of a run of all parts."""
    folder = tmp_path_factory.mktemp("gpu_check")
    out, model = folder / "lines", save_tiny_model(folder / "tiny")
    process = run_check("--model", str(model), "--out", str(out))
    assert process.stdout == out.read_text()
    *lines, last = process.stdout.splitlines()
    return {line["part"]: line for line in map(json.loads, lines)}, last, process.returncode


def holds(line: dict[str, Any]) -> dict[str, bool | None]:
    return {rule["rule"]: rule["holds"] for rule in line["rules"]}


def test_every_part_runs_and_none_breaks_off(done: Done) -> None:
    lines, *_ = done
    assert list(lines) == list("ABCDEFGHI")
    assert {name: line.get("error") for name, line in lines.items() if "error" in line} == {}
    assert sum(line["limit_s"] for line in lines.values()) <= 8 * 60


def test_what_a_cpu_cant_tell_is_null_with_a_reason(
    done: Done,
) -> None:
    lines, *_ = done
    for line in lines.values():
        for name, reason in line.get("missing", {}).items():
            assert line["figures"][name] is None
            assert reason
        for rule in line["rules"]:
            assert (rule["holds"] is None) == bool(rule.get("why"))
    assert lines["A"]["figures"]["one_row"]["kernels"] is None
    assert lines["E"]["figures"]["allocated_peak_bytes"] is None
    assert set(holds(lines["B"]).values()) == {None}
    rates = {rule: value for rule, value in holds(lines["C"]).items() if "plain product" in rule}
    assert set(rates.values()) == {None}


def test_operations_and_rows_of_a_call_are_counted(
    done: Done,
) -> None:
    cells = {name: cell for name, cell in done[0]["B"]["figures"].items() if "x" in name}
    assert set(cells) == {f"{m} {c}" for m in ("3B", "8B") for c in ("16x1", "16x4", "16x16")}
    for name, cell in cells.items():
        # A draft that comes true by chance runs with its prompt, and not later.
        assert cell["rows_a_call"] == pytest.approx(16, rel=0.05 if name.endswith("16x16") else 0)
        assert cell["operations"] > 10
        assert "launches" not in cell


def test_the_whole_engine_is_measured_alone_and_beside_itself(
    done: Done,
) -> None:
    figures = done[0]["C"]["figures"]
    cell = figures["3B generated 3, batch 8, call rows 64"]
    assert cell["paths_per_s"] > 0
    assert 0 < cell["mfu"] < 1
    assert 0 < cell["layers_s"] < cell["seconds"]
    assert 0 < cell["sharing"] < 1
    assert figures["2 processes"]["paths_per_s"] > 0


def test_verdicts_are_compared_with_the_same_requests_alone(
    done: Done,
) -> None:
    line = done[0]["D"]
    assert line["figures"]["random 3B, float32, choices"]["alone"] == 8
    assert line["figures"]["random 3B, bfloat16, generated 3"]["alone"] == 3
    assert set(holds(line).values()) == {True}


def test_a_folder_s_verdicts_are_compared_with_the_materialised_model_s(
    done: Done,
) -> None:
    figures = {
        name.split(", ")[2]: figures
        for name, figures in done[0]["D"]["figures"].items()
        if "tiny, float32" in name
    }
    assert set(figures) == {"capitals", "arithmetic"}
    for of_task in figures.values():
        assert of_task["compared_with_materialised"] > 0
        assert of_task["materialised_agreement"] == 1.0
        assert set(of_task["share_of_gaps_up_to"]) == {"0.03", "0.06", "0.125", "0.25", "0.5"}
    assert 0 < figures["capitals"]["margin_noise"]["1.0"] < 1e-3
    assert figures["capitals"]["share_of_gaps_up_to"]["0.5"] > 0


def test_without_real_weights_their_figures_are_missing(parts: Parts) -> None:
    report = parts("gpu_parts.sheet").Report(part="D", about="", limit_s=60)
    sheet = parts("gpu_parts.sheet").Sheet(60, report.take)
    toy = parts("gpu_parts.scale").TOY
    samples = parts("gpu_parts.samples")
    assert list(samples.real_samples(sheet, toy, "cpu", "float32", "none")) == []
    assert "named" in report.missing["real weights, float32"]
    assert report.rules == []
    assert list(samples.real_samples(sheet, toy, "cpu", "bfloat16", "/nowhere")) == []
    (rule,) = report.rules
    assert (rule.rule, rule.holds) == ("/nowhere can be loaded in bfloat16", False)
    assert "there is no such folder" in rule.value


def test_thrown_away_states_change_no_verdict(done: Done) -> None:
    line = done[0]["E"]
    assert line["figures"]["evictions"]["evictions"] >= 20
    assert holds(line)["states that are thrown away change no verdict"]


def test_a_folder_is_loaded_in_three_ways(done: Done) -> None:
    figures = done[0]["H"]["figures"]
    for way in ("by_the_host", "to_the_device", "as_workers_do"):
        assert figures[way]["seconds"] > 0


def test_the_exit_code_is_the_last_line(done: Done) -> None:
    lines, last, code = done
    failed = [name for name, line in lines.items() if line["mark"] == "FAIL"]
    assert last.startswith(f"FAIL: {', '.join(failed)}" if failed else "PASS")
    assert code == bool(failed)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--device", "cuda:99"], "--device is 'cuda:99', and torch can't use it"),
        (["--parts", "A,Z"], "'Z' is no part; parts are A,B,C,D,E,F,G,H,I"),
    ],
)
def test_a_mistake_in_the_flags_is_explained(
    script: ModuleType, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        script.main(arguments)
    assert said in capsys.readouterr().err


def test_a_part_that_lacks_a_package_is_skipped_by_name(
    script: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gpu_parts.broken_device", None)
    assert script.main(["--device", "cpu", "--toy", "--parts", "F"]) == 1
    line, last = capsys.readouterr().out.splitlines()
    assert json.loads(line)["mark"] == "SKIPPED"
    assert "it needs transformers 5" in json.loads(line)["skipped"]
    assert last == "FAIL: no part could run; skipped: F"


def test_kernels_copies_and_waits_are_told_apart(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = parts("gpu_parts.device")

    def event(name: str, first_us: int, kind: DeviceType, **more: bool) -> FunctionEvent:
        return FunctionEvent(0, name, 0, first_us, first_us + 10, device_type=kind, **more)

    recorded = [
        event("aten::mm", 0, DeviceType.CPU),
        event("gemm_kernel", 0, DeviceType.CUDA),
        event("rms_norm_kernel", 20, DeviceType.CUDA),
        event("Memcpy HtoD (Pinned -> Device)", 40, DeviceType.CUDA),
        event("Memcpy DtoH (Device -> Pageable)", 50, DeviceType.CUDA),
        event("Memset (Device)", 60, DeviceType.CUDA),
        event("a range", 0, DeviceType.CUDA, is_user_annotation=True),
    ]

    class Profile(contextlib.nullcontext[Any]):
        def __init__(self, activities: list[Any]) -> None:
            super().__init__(self)

        def events(self) -> list[FunctionEvent]:
            return recorded

    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.profiler, "profile", Profile)

    def action() -> None:
        if modes[-1] == "warn":
            warnings.warn("called a synchronizing CUDA operation", UserWarning, stacklevel=1)
            warnings.warn("something else", UserWarning, stacklevel=1)

    work = device.work_of(action, "cuda")
    assert modes == ["warn", "default"]
    assert (work.launches, work.copies_in, work.syncs) == (2, 1, 1)
    assert work.kernels == ("gemm_kernel", "rms_norm_kernel")
    assert work.device_s == pytest.approx(20e-6)
    assert work.operations is None


class ShortMemory:
    """Calls of more than a few rows do not fit a device while torch may not take all of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, max_rows: int) -> None:
        self.fractions: list[float] = []
        self.num_failed = 0
        run = LayerRunner.run

        def limited(runner: LayerRunner, layer: int, hidden_ND: Any, *more: Any) -> Any:
            if self.fractions and self.fractions[-1] < 1.0 and len(hidden_ND) > max_rows:
                self.num_failed += 1
                raise torch.OutOfMemoryError("CUDA out of memory")
            return run(runner, layer, hidden_ND, *more)

        monkeypatch.setattr(LayerRunner, "run", limited)
        for name, value in {
            "empty_cache": lambda: None,
            "memory_allocated": lambda device: 100,
            "memory_stats": lambda device: {"num_ooms": self.num_failed},
            "get_device_properties": lambda device: SimpleNamespace(total_memory=1000),
            "set_per_process_memory_fraction": lambda share, device: self.fractions.append(share),
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)


@pytest.mark.parametrize(
    ("max_rows", "same", "back"), [(64, True, True), (10**6, None, None), (0, False, None)]
)
def test_running_out_of_memory_is_judged_where_it_ran_out(
    parts: Parts,
    monkeypatch: pytest.MonkeyPatch,
    max_rows: int,
    same: bool | None,
    back: bool | None,
) -> None:
    memory, toy = parts("gpu_parts.memory"), parts("gpu_parts.scale").TOY
    loaded = parts("gpu_parts.random_models").random_model(toy.shapes["3B"], device="cpu")
    # Memory is short on a GPU only, and this one is a CPU.
    monkeypatch.setattr(memory, "_allocated", lambda device: 100)
    task, pairs = parts("gpu_parts.random_models").WordTask(), memory._pairs(toy, loaded)
    expected = PathExecutor(loaded, task).evaluate(pairs)
    short = ShortMemory(monkeypatch, max_rows)
    report = parts("gpu_parts.sheet").Report(part="E", about="", limit_s=60)
    sheet = parts("gpu_parts.sheet").Sheet(60, report.take)
    memory._shortage(sheet, toy, loaded, pairs, expected, 400)
    assert short.fractions == [0.3, 1.0]
    assert [rule.holds for rule in report.rules] == [same, back]


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({}, [True, True, True, True]),
        ({"margin": 1.0}, [True, False, True, True]),
        ({"output": "w1 w2"}, [False, True, True, True]),
    ],
)
def test_a_verdict_that_depends_on_its_company_is_told(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], kept: list[bool]
) -> None:
    verdicts, toy = parts("gpu_parts.verdicts"), parts("gpu_parts.scale").TOY
    evaluate_alone = verdicts.evaluate_alone

    def other(*arguments: Any) -> Any:
        verdict = evaluate_alone(*arguments)
        return replace(verdict, **changed) if verdict.margin is not None else verdict

    monkeypatch.setattr(verdicts, "evaluate_alone", other)
    monkeypatch.setattr(verdicts, "DTYPES", ("float32",))
    report = parts("gpu_parts.sheet").Report(part="D", about="", limit_s=60)
    sheet = parts("gpu_parts.sheet").Sheet(60, report.take)
    verdicts.check(sheet, toy, "cpu", "none")
    assert [rule.rule for rule in report.rules] == [
        verdicts.ALONE,
        verdicts.BITS,
        verdicts.RECHECKS,
        parts("gpu_parts.engine").ANSWERED,
    ]
    assert [rule.holds for rule in report.rules] == kept


@pytest.mark.parametrize("ends", [True, False])
def test_a_worker_has_to_end_with_its_device(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    part = parts("gpu_parts.broken_device")
    evaluate = PathExecutor.evaluate

    def outcomes(worker: Any, requests: list[Any]) -> tuple[list[Any], float]:
        pairs = [(item.example, item.path) for item in requests]
        try:
            return evaluate(worker._executors[0], pairs), 0.0
        except part.ERROR as error:
            if ends:
                os._exit(70)
            return [error] * len(requests), 0.0

    monkeypatch.setattr(part.PathWorker, "_outcomes", outcomes)
    if not ends:  # it takes every error for the question's
        monkeypatch.setattr(part.PathWorker, "_require_sound", lambda *_: None)
        monkeypatch.setattr(
            "search_cluster.workers.path_worker.require_sound_device", lambda *_: None
        )
    report = parts("gpu_parts.sheet").Report(part="F", about="", limit_s=60)
    sheet = parts("gpu_parts.sheet").Sheet(60, report.take)
    part.check(sheet, parts("gpu_parts.scale").TOY, "cpu")
    assert [rule.holds for rule in report.rules] == [ends, ends]
    assert report.figures["outcomes_before"] == ["Verdict"] * 4
    assert report.figures["exit_code"] == (70 if ends else 0)


@pytest.mark.parametrize(("most", "fits"), [(2**20, True), (2**40, False)])
def test_more_memory_than_planned_is_told(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, most: int, fits: bool
) -> None:
    memory = parts("gpu_parts.memory")
    monkeypatch.setattr(memory, "_allocated", lambda device, peak=False: most if peak else 100)
    for part in ("_evictions", "_shortage"):
        monkeypatch.setattr(memory, part, lambda *arguments: None)
    report = parts("gpu_parts.sheet").Report(part="E", about="", limit_s=60)
    sheet = parts("gpu_parts.sheet").Sheet(60, report.take)
    memory.check(sheet, parts("gpu_parts.scale").TOY, "cpu")
    answered, within = report.rules
    assert (answered.rule, answered.holds) == (parts("gpu_parts.engine").ANSWERED, True)
    assert (within.rule, within.holds) == (memory.WITHIN_PLAN, fits)


@pytest.mark.slow
def test_parts_run_where_processes_can_t_be_forked() -> None:
    process = run_check("--parts", "F", GPU_CHECK_START="spawn")
    line = json.loads(process.stdout.splitlines()[0])
    assert line["figures"]["outcomes_before"] == ["Verdict"] * 4
    assert "error" not in line


class TestChild:
    def test_a_late_process_is_ended_and_leaves_what_it_said(self, parts: Parts) -> None:
        child = parts("gpu_parts.child")

        def slow(send: Callable[[str], None]) -> None:
            send("first")
            time.sleep(60)
            send("second")

        said: list[str] = []
        end = child.run_child(slow, limit_s=0.5, take=said.append)
        assert said == ["first"]
        assert end.is_late
        assert end.seconds < 20
        assert "when its time was up" in end.trouble

    def test_an_exit_code_is_told(self, parts: Parts) -> None:
        child = parts("gpu_parts.child")

        def ends(code: int, send: Callable[[str], None]) -> None:
            send("all")
            os._exit(code)

        said: list[str] = []
        ends_of = child.run_children(ends, [(0,), (3,)], limit_s=30, take=said.append)
        assert [end.exit_code for end in ends_of] == [0, 3]
        assert said == ["all", "all"]
        assert [end.trouble for end in ends_of] == ["", "it ended with exit code 3"]


class TestMarks:
    @pytest.mark.parametrize(
        ("rules", "error", "mark"),
        [
            ([True, None], "", "PASS"),
            ([True, False], "", "FAIL"),
            ([None], "", "MEASURED"),
            ([], "", "MEASURED"),
            ([True], "signal 9 ended it", "FAIL"),
        ],
    )
    def test_a_rule_that_was_not_judged_neither_passes_nor_fails(
        self,
        parts: Parts,
        rules: list[bool | None],
        error: str,
        mark: str,
    ) -> None:
        sheet = parts("gpu_parts.sheet")
        report = sheet.Report(part="A", about="", limit_s=1, error=error)
        report.rules = [sheet.Rule(rule="", holds=value) for value in rules]
        assert report.mark == mark


def cells_of(parts: Parts, **changed: Any) -> list[Any]:
    """Part B's cells of a card on which every rule holds, one figure of the last one changed."""
    module = parts("gpu_parts.layer_call")
    figures = {"launches": 40.0, "syncs": 0.0, "efficiency": 0.7}
    sizes = [(8192, 1), (8192, 256), (64, 1), (64, 8)]
    cells = [module.Cell(model="3B", rows=r, segments=s, figures=dict(figures)) for r, s in sizes]
    cells[1].figures.update(changed)
    return cells


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({}, None),
        ({"launches": 61.0}, "a call launches at most 60 kernels"),
        ({"launches": 43.0}, "launches differ by at most 2 between few and many segments"),
        ({"syncs": 1.0}, "no call waits for the device"),
        ({"efficiency": 0.49}, "calls of 8192 rows reach 50% of a plain product"),
        ({"efficiency": None}, "calls of 8192 rows reach 50% of a plain product"),
        ({"error": "out of memory"}, "every call fits the device"),
    ],
)
def test_layer_calls_of_a_gpu_are_judged(
    parts: Parts, changed: dict[str, Any], broken: str | None
) -> None:
    sheet_module, scale = parts("gpu_parts.sheet"), parts("gpu_parts.scale").CARD
    report = sheet_module.Report(part="B", about="", limit_s=1)
    sheet = sheet_module.Sheet(1, report.take)
    seen = parts("gpu_parts.device").Work(launches=2, syncs=1)
    parts("gpu_parts.layer_call")._judge(sheet, cells_of(parts, **changed), scale, seen)
    assert all(rule.holds is not None for rule in report.rules)
    assert broken is None or broken in [rule.rule for rule in report.rules if not rule.holds]
    assert report.mark == ("FAIL" if broken else "PASS")
