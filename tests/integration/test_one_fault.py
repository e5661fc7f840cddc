"""Searches in which every example fails for one reason: they end early, with that reason."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.command import call, run, run_apart, run_json

from search_cluster.corpus.reader import read_shards
from search_cluster.faults import FIRST
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.workers.batch_size import BatchSize

TASK = """
from search_cluster.tasks.simple import {kind}_task
from search_cluster.tasks.user_rows import rows_source

def grade(example, output):
    {grade}

ROWS = [{{'question': f'{{n}} + 1?', **{answer}}} for n in range(2, 122)]
TASK = {kind}_task(name='everywhere', description='d', chat='{{question}}', {more}
    source=rows_source(ROWS))
"""
GENERATED = {
    "kind": "generate",
    "answer": "{'answer': str(n + 1)}",
    "more": "max_new_tokens=1, grader=grade, grader_version='1',",
}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_tiny_model(tmp_path_factory.mktemp("tiny-model"), chat=True)


def write_task(folder: Path, grade: str) -> Path:
    file = folder / "everywhere.py"
    file.write_text(TASK.format(**GENERATED, grade=grade))
    return file


def command_of(model: Path, task: object, run_dir: Path, *more: str) -> list[str]:
    return [
        "search-cluster", "search", "--model", str(model), "--task", str(task), "--budget", "4",
        "--preset", "drllm", "--redis-url", "none", "--run", str(run_dir), *more,
    ]  # fmt: skip


def ended_by(command: list[str], reason: str, **environment: str) -> str:
    """Run a search that ends by one fault; what it says."""
    done = call(*command, **environment)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    *_, line = done.stderr.splitlines()
    assert line.startswith(("error: the first ", "error: all ")), done.stderr
    assert f" examples failed for one reason: {reason}" in line
    assert done.stderr.count("Traceback") <= 1
    return done.stderr


@pytest.mark.parametrize(
    ("grade", "reason"),
    [
        ("raise ValueError(f'no answer in {output!r}')", "ValueError: no answer in "),
        ("return {}[example.question]", "KeyError: "),
        ("return json.loads(output)['grade']", "NameError: name 'json' is not defined"),
        ("return open('/no/judge/' + example.gold).read()", "FileNotFoundError: [Errno 2] "),
        ("assert False", "AssertionError"),
    ],
)
def test_one_fault_of_a_grader_ends_the_search(
    model_dir: Path, tmp_path: Path, grade: str, reason: str
) -> None:
    task, run_dir = write_task(tmp_path, grade), tmp_path / "run"
    ended_by(command_of(model_dir, task, run_dir, "--ray", "none"), reason)
    assert read_shards(run_dir) == ()
    write_task(tmp_path, "return float(output == example.gold)")
    result = run_json(*command_of(model_dir, task, run_dir, "--ray", "none"))
    assert (result["failures"], result["examples"]) == (0, len(read_shards(run_dir)))


def test_one_fault_of_the_device_ends_the_search_and_leaves_no_failure(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = tmp_path / "run"
    command = command_of(model_dir, "capitals", run_dir, "--ray", "none", "--limit", "24")
    step: Callable[..., Any] = PathExecutor.step
    num_good = 0

    def lost_later(self: PathExecutor) -> Any:
        nonlocal num_good
        num_good += 1
        if num_good > 1:
            raise RuntimeError(
                "CUDA error: device-side assert triggered\nCompile with TORCH_USE_..."
            )
        return step(self)

    monkeypatch.setattr(PathExecutor, "step", lost_later)
    done = call(*command)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        "error: device cpu is broken: CUDA error: device-side assert triggered Compile with "
        "TORCH_USE_...; nothing found is lost: run the same command again"
    )
    assert "Traceback" not in done.stderr
    assert all(record.identity is not None for record in read_shards(run_dir))
    monkeypatch.undo()
    assert run_json(*command)["failures"] == 0


def test_one_fault_during_a_search_keeps_what_was_found(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, run_dir = write_task(tmp_path, "return float(output == example.gold)"), tmp_path / "run"
    command = command_of(model_dir, task, run_dir, "--ray", "none")
    step: Callable[..., Any] = PathExecutor.step
    num_good = 0

    def lost_later(self: PathExecutor) -> Any:
        nonlocal num_good
        num_good += 1
        outcomes = step(self)
        if num_good > 5:
            lost = enumerate(outcomes)
            return {ticket: RuntimeError(f"device {number} is lost") for number, ticket in lost}
        return outcomes

    monkeypatch.setattr(PathExecutor, "step", lost_later)
    # With learnt sizes it depends on the machine how many examples have begun by then.
    monkeypatch.setattr(BatchSize, "value", 8)
    done = call(*command)
    assert done.returncode == 2
    assert "examples in a row failed for one reason: RuntimeError: device " in done.stderr
    records = read_shards(run_dir)
    assert records
    assert all(record.identity is not None for record in records)
    monkeypatch.undo()
    again = run_json(*command)
    assert len(records) < again["examples"] == len(read_shards(run_dir))
    assert again["cache_hits"] >= len(records)


def test_one_fault_is_none_where_some_examples_are_answered(
    model_dir: Path, tmp_path: Path
) -> None:
    task = write_task(tmp_path, "return 1 / (int(example.gold) % 2)")
    result = run_json(*command_of(model_dir, task, tmp_path / "run", "--ray", "none"))
    assert 0 < result["failures"] < result["examples"]
    assert result["examples"] == len(read_shards(tmp_path / "run"))


def test_one_fault_of_prompts_that_are_all_too_long_ends_the_search(tmp_path: Path) -> None:
    model = tiny.save_tiny_model(tmp_path / "model", chat=True)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4}))
    ended_by(
        command_of(model, "capitals", tmp_path / "run", "--ray", "none", "--limit", "9"),
        "PromptTooLongError: ",
    )


def test_one_fault_of_a_study_ends_the_search(model_dir: Path, tmp_path: Path) -> None:
    task = write_task(tmp_path, "raise ValueError(f'no answer in {output!r}')")
    command = command_of(model_dir, task, tmp_path / "run", "--ray", "none")
    command[command.index("drllm")] = "credible"
    command[command.index("4")] = "40"
    ended_by(command, "ValueError: no answer in ")


@pytest.mark.ray
def test_one_fault_ends_a_search_with_several_coordinators(
    model_dir: Path, tmp_path: Path, ray_address: str
) -> None:
    task, run_dir = write_task(tmp_path, "raise ValueError(f'no {output!r}')"), tmp_path / "run"
    flags = ["--ray", ray_address, "--workers", "2", "--coordinators", "2"]
    command = command_of(model_dir, task, run_dir, *flags)
    out, err = run_apart(*command, expect=2)
    assert out == ""
    line = err.splitlines()[-1]
    assert re.match(r"error: (the first|\d+) .* failed for one reason: ValueError: no ", line), err
    assert "Traceback" not in err
    assert read_shards(run_dir) == ()
    write_task(tmp_path, "return float(output == example.gold)")
    run_apart(*command)
    assert len(read_shards(run_dir)) > FIRST


def test_one_fault_of_a_grader_is_one_line_of_verify_and_evaluate(
    model_dir: Path, tmp_path: Path
) -> None:
    task, run_dir = write_task(tmp_path, "return 1.0"), tmp_path / "run"
    run(*command_of(model_dir, task, run_dir, "--ray", "none"))
    router = str(run_dir / "routers" / "identity")
    task_flag = ["--task", str(task)]
    fit = ["router-train", "fit", "--corpus", str(run_dir), "--router", "identity"]
    run(*fit, *task_flag, "--out", router)
    write_task(tmp_path, "raise ValueError(f'no answer in {output!r}')")
    for command in (
        ["search-cluster", "verify", str(run_dir), *task_flag],
        ["router-train", "evaluate", "--router", router, *task_flag, "--split", "test"],
    ):
        out, err = run(*command, expect=2)
        assert out == ""
        assert "Traceback" not in err
        line = err.splitlines()[-1]
        assert line.startswith("error: example ")
        assert " can't be evaluated along path 0-" in line
        assert ": ValueError: no answer in " in line


def test_one_fault_of_a_crossexec_ends_it(model_dir: Path, tmp_path: Path) -> None:
    task, run_dir = write_task(tmp_path, "return float(output == example.gold)"), tmp_path / "run"
    run(*command_of(model_dir, task, run_dir, "--ray", "none"))
    crossexec = [
        "search-cluster", "crossexec", str(run_dir), "--task", str(task), "--menu", "1",
        "--path", "0,2-5", "--ray", "none", "--redis-url", "none",
    ]  # fmt: skip
    write_task(tmp_path, "return 1 / 0")
    ended_by(crossexec, "ZeroDivisionError: division by zero")
    write_task(tmp_path, "return float(output == example.gold)")
    assert run_json(*crossexec)["failures"] == 0
