"""A scan as a user runs it: interrupted, killed, repeated, on many workers, misused."""

import json
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.command import run, run_json, run_json_apart, start
from support.own_task import write_own_task

from search_cluster.corpus.manifest import MANIFEST_NAME
from search_cluster.corpus.reader import read_corpus
from search_cluster.model.load.loading import load_model
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.codec import parse_path
from search_cluster.report.scan.tables import provenance_rows
from search_cluster.scan.questions import task_questions
from search_cluster.scan.result import SCAN_NAME
from search_cluster.scan.result_file import read_result
from search_cluster.scan.table import (
    SCAN_TABLE_NAME,
    UNFINISHED_SCAN_NAME,
    read_scan_table,
    write_scan_table,
)
from search_cluster.scan.uses import read_test_uses
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.verdict import Verdict

SLOW_TASK = str(Path(__file__).parent / "data" / "slow_task.py")
LONG_TASK = str(Path(__file__).parent / "data" / "long_task.py")
LOCAL = ("--ray", "none", "--redis-url", "none")
SMALL = ("--limit", "16", "--seed", "3", "--json")


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tiny-model")
    tiny.save_tiny_model(folder)
    return str(folder)


def scan(model: str, run_dir: Path, *more: str, task: str = "capitals") -> tuple[str, ...]:
    command = ("search-cluster", "scan", "--model", model, "--task", task, "--run", str(run_dir))
    return (*command, *more)


@pytest.fixture(scope="module")
def scanned(model_dir: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A finished scan of one task, and what it reported."""
    folder = tmp_path_factory.mktemp("scanned") / "run"
    return folder, run_json(*scan(model_dir, folder, *LOCAL, *SMALL))


def test_it_reports_what_it_wrote(scanned: tuple[Path, Any]) -> None:
    folder, said = scanned
    result = read_result(folder)
    assert (said["path"], said["sure"], said["digest"]) == (
        result.chosen, result.sure, result.digest,
    )  # fmt: skip
    assert said["num_candidates"] == len(result.candidates) >= 41
    assert said["layers"] == len(parse_path(said["path"], tiny.NUM_LAYERS))
    assert said["verdicts"] <= said["exhaustive_verdicts"]
    assert said["gain_low"] <= said["gain_test"] <= said["gain_high"]
    assert 0 < said["p_adjusted"] <= 1
    assert said["chance_best"] > 0
    assert (said["chance_paths"], said["chance_questions"]) == (result.rungs[1].num_paths, 16)
    assert said["test_uses"] == len(read_test_uses(folder)) == 1
    assert said["paths_evaluated"] == said["verdicts_all"]
    rows = read_scan_table(folder / SCAN_TABLE_NAME).rows.values()
    assert len(rows) == said["verdicts_all"]
    assert sum(row.split == "train" for row in rows) == said["verdicts"]
    tested = {str(row.path) for row in rows if row.split == "test"}
    finalists = [item for item in result.finalists if item.test is not None]
    assert {timing.batch for item in finalists for timing in item.timings} == {1, 8}
    assert tested == {"0-5", *(item.summary.path for item in finalists)}
    assert not (folder / UNFINISHED_SCAN_NAME).exists()


@pytest.mark.parametrize("reference", ["materialised", "engine"])
def test_verify_runs_its_verdicts_again(scanned: tuple[Path, Any], reference: str) -> None:
    folder, said = scanned
    again = run_json(
        "search-cluster", "verify", str(folder), "--sample", "40", "--reference", reference,
        "--json",
    )  # fmt: skip
    assert (again["verdicts"], again["verdict_flips"], again["ok"]) == (40, 0, True)
    assert again["corpus_digest"] == said["digest"]
    if reference == "engine":
        assert again["max_margin_difference"] == 0.0


def test_verify_finds_verdicts_that_are_not_the_models(
    scanned: tuple[Path, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "forged"
    shutil.copytree(scanned[0], folder)
    table = read_scan_table(folder / SCAN_TABLE_NAME)
    for key, row in table.rows.items():
        assert isinstance(row.outcome, Verdict)
        lie = replace(row.outcome, reward=1.0 - row.outcome.reward)
        table.rows[key] = replace(row, outcome=lie)
    write_scan_table(folder, table)
    out, _ = run(
        "search-cluster", "verify", str(folder), "--sample", "5", "--reference", "engine", "--json",
        expect=1,
    )  # fmt: skip
    assert json.loads(out.splitlines()[-1])["verdict_flips"] == 5


def test_its_verdicts_are_those_of_the_reference(scanned: tuple[Path, Any], model_dir: str) -> None:
    task = get_task("capitals")
    questions = task_questions(task, None, 3)
    known = {
        item.example_id: item
        for part in (questions.train, questions.validation, questions.test)
        for item in part
    }
    loaded = load_model(model_dir)
    rows = read_scan_table(scanned[0] / SCAN_TABLE_NAME).in_order()
    for row in rows[:: len(rows) // 60]:
        reference = evaluate_path(loaded, task, known[row.example_id], row.path)
        assert isinstance(row.outcome, Verdict)
        assert (row.outcome.reward, row.outcome.output) == (reference.reward, reference.output)


def test_again_it_asks_nothing_and_says_the_same(scanned: tuple[Path, Any], model_dir: str) -> None:
    folder, said = scanned
    again = run_json(*scan(model_dir, folder, *LOCAL, *SMALL))
    assert again["paths_evaluated"] == 0
    assert again["digest"] == said["digest"]
    assert again["test_uses"] == 1


def test_it_mends_what_was_cut_off(
    scanned: tuple[Path, Any], model_dir: str, tmp_path: Path
) -> None:
    folder, said = tmp_path / "run", scanned[1]
    shutil.copytree(scanned[0], folder)
    result = folder / SCAN_NAME
    result.write_bytes(result.read_bytes()[:1000])
    assert "run the same scan again" in run("search-cluster", "report", str(folder), expect=2)[1]
    again = run_json(*scan(model_dir, folder, *LOCAL, *SMALL))
    assert (again["digest"], again["paths_evaluated"]) == (said["digest"], 0)
    assert all(item.timings for item in read_result(folder).finalists if item.test is not None)


def test_another_choice_is_another_look_at_test(model_dir: str, tmp_path: Path) -> None:
    quick = (*LOCAL, *SMALL, "--grow", "1", "--max-block", "1")
    first = run_json(*scan(model_dir, tmp_path, *quick))
    assert (first["num_candidates"], first["test_uses"]) == (12, 1)
    skips = run_json(*scan(model_dir, tmp_path, *quick, "--seed", "4"))
    assert skips["test_uses"] == 2
    again = run_json(*scan(model_dir, tmp_path, *quick))
    assert (again["test_uses"], again["paths_evaluated"]) == (2, 0)
    assert again["digest"] == first["digest"]


SHORT = (*SMALL, "--max-block", "2", "--grow", "2", "--no-timings")


@pytest.fixture(scope="module")
def undisturbed(model_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a short scan reports that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return run_json(*scan(model_dir, folder, *LOCAL, *SHORT, task=SLOW_TASK))


@pytest.mark.parametrize(
    ("stop", "redis_url"),
    [(signal.SIGINT, "none"), (signal.SIGKILL, "none"), (signal.SIGKILL, "embedded")],
)
def test_an_interrupted_scan_goes_on_to_the_same_digest(
    model_dir: str, undisturbed: Any, tmp_path: Path, stop: signal.Signals, redis_url: str
) -> None:
    more = ("--ray", "none", "--redis-url", redis_url, *SHORT)
    command = scan(model_dir, tmp_path / "cut", *more, task=SLOW_TASK)
    process = start(*command, GRADE_PAUSE_S="0.002")
    unfinished = tmp_path / "cut" / UNFINISHED_SCAN_NAME
    give_up_at = time.monotonic() + 100
    while not unfinished.exists() and process.poll() is None and time.monotonic() < give_up_at:
        time.sleep(0.05)
    os.killpg(process.pid, stop)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (130 if stop is signal.SIGINT else -stop), said
    if stop is signal.SIGINT:
        assert "run the same command again to go on" in said
    assert not (tmp_path / "cut" / "scan.json").exists()
    resumed = run_json(*command)
    assert resumed["digest"] == undisturbed["digest"]
    assert 0 < resumed["paths_evaluated"] < undisturbed["paths_evaluated"]
    assert resumed["test_uses"] == 1


def test_questions_that_are_too_long_count_for_nobody_and_are_said(
    model_dir: str, tmp_path: Path
) -> None:
    quick = (*LOCAL, "--limit", "16", "--grow", "1", "--max-block", "1", "--no-timings")
    out, _ = run(*scan(model_dir, tmp_path, *quick, task=LONG_TASK))
    assert "The plain model could not answer " in out
    said = run_json(*scan(model_dir, tmp_path, *quick, "--json", task=LONG_TASK))
    result = read_result(tmp_path)
    assert {item["split"] for item in said["left_out"]} == {"train", "validation", "test"}
    for item in said["left_out"]:
        assert 0 < item["questions"] < item["asked"]
        assert item["cause"].startswith("PromptTooLongError: a prompt of ")
    num_left_out = {item.split: item.num_questions for item in result.left_out}
    rows = read_scan_table(tmp_path / SCAN_TABLE_NAME).rows.values()
    for split, number in num_left_out.items():
        plain = [row for row in rows if row.split == split and row.path.is_identity]
        assert number == sum(not isinstance(row.outcome, Verdict) for row in plain)
    first = result.finalists[0]
    assert first.validation is not None
    assert first.validation.num_questions == 16 - num_left_out["validation"]
    assert first.test is not None
    assert first.test.num_questions == 16 - num_left_out["test"]
    assert said["chance_questions"] == 16 - num_left_out["train"]
    assert "left out" not in dict(provenance_rows(result))


SEVERAL = ("--task", "elements", "--guard", "arithmetic", "--limit", "8", "--json")


@pytest.fixture(scope="module")
def several(model_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a scan of two tasks and a guard reports that one worker made."""
    folder = tmp_path_factory.mktemp("several") / "run"
    said = run_json(*scan(model_dir, folder, *LOCAL, *SEVERAL))
    result = read_result(folder)
    assert result.tasks == ("capitals", "elements")
    reported = [item for item in result.finalists if item.test is not None]
    for item in reported:
        assert set(item.test_by_task) == {"capitals", "elements"}
        assert {key: guard.num_questions for key, guard in item.guards.items()} == {"arithmetic": 8}
        assert item.test is not None
        assert item.test.num_questions == 16
        assert item.test.gain == pytest.approx(
            sum(of.gain for of in item.test_by_task.values()) / 2
        )
    rows = read_scan_table(folder / SCAN_TABLE_NAME).rows.values()
    assert {(row.split, row.task) for row in rows} == {
        *((split, task) for split in ("train", "validation", "test") for task in result.tasks),
        ("guard", "arithmetic"),
    }
    return said


def test_several_tasks_have_one_digest_on_two_workers_and_a_server(
    several: Any, model_dir: str, tmp_path: Path
) -> None:
    said = run_json(*scan(model_dir, tmp_path, "--ray", "none", "--workers", "2", *SEVERAL))
    assert said["digest"] == several["digest"]
    assert said["workers"] == 2


@pytest.mark.ray
def test_several_tasks_have_the_same_digest_on_ray(
    several: Any, model_dir: str, tmp_path: Path
) -> None:
    said = run_json_apart(*scan(model_dir, tmp_path, "--workers", "2", *SEVERAL))
    assert said["digest"] == several["digest"]
    assert said["workers"] == 2


def test_listed_paths_alone(model_dir: str, tmp_path: Path) -> None:
    listed = tmp_path / "paths.txt"
    listed.write_text("0-3,5\nlayers:5,0,1,2,3,4\n\n0-5\n")
    said = run_json(
        *scan(model_dir, tmp_path / "run", *LOCAL, *SMALL, "--families", "list"),
        "--paths", str(listed),
    )  # fmt: skip
    assert said["num_candidates"] == 2
    assert {item["path"] for item in said["finalists"]} <= {"0-3,5", "5,0-4"}


def test_without_json_the_first_line_says_what_is_sure(model_dir: str, tmp_path: Path) -> None:
    out, err = run(*scan(model_dir, tmp_path, *LOCAL, "--limit", "16"))
    assert out.startswith("plain model: nothing is sure")
    assert "by chance would show" in out
    assert "scanning capitals: " in err


def test_a_budget_holds_for_everything(model_dir: str, tmp_path: Path) -> None:
    said = run_json(*scan(model_dir, tmp_path, *LOCAL, "--budget", "1500", "--json"))
    assert said["verdicts"] < said["verdicts_all"] <= 1500


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (("--families", "skip,swap"), "families has 'swap'; families are skip, repeat, list"),
        (("--families", "list"), "no list is given; name a file with --paths"),
        (("--aim", "speed"), "aim is 'speed'; it is one of accuracy, layers, front"),
        (("--passes", "1"), "passes is 1; it is at least 2"),
        (("--minutes", "0"), "minutes is 0; it is above 0"),
        (("--guard", "capitals"), "task capitals is named twice"),
        (("--budget", "50"), "a budget of 50 verdicts does not pay"),
        (("--paths", "/nowhere.txt"), "/nowhere.txt"),
        (("--guard", SLOW_TASK), "gives questions of task capitals"),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(
    model_dir: str, tmp_path: Path, more: tuple[str, ...], complaint: str
) -> None:
    _, err = run(*scan(model_dir, tmp_path, *LOCAL, *more), expect=2)
    line = [text for text in err.splitlines() if text.startswith("error: ")]
    assert len(line) == 1
    assert complaint in line[0]


def test_no_task_is_refused(tmp_path: Path) -> None:
    _, err = run("search-cluster", "scan", "--run", str(tmp_path), expect=2)
    assert "no task is named; name one with --task" in err


def test_a_search_or_another_model_keep_their_folders(
    scanned: tuple[Path, Any], model_dir: str, tmp_path: Path
) -> None:
    (tmp_path / MANIFEST_NAME).write_text(json.dumps({}))
    _, err = run(*scan(model_dir, tmp_path, *LOCAL), expect=2)
    assert "holds a search; a scan has a folder of its own" in err
    folder = str(scanned[0])
    _, err = run("search-cluster", "search", "--model", model_dir, "--run", folder, expect=2)
    assert "holds a scan; a search has a folder of its own" in err
    other = tmp_path / "other"
    tiny.save_tiny_model(other, seed=1)
    _, err = run(*scan(str(other), scanned[0], *LOCAL), expect=2)
    assert "holds a scan of model" in err


def own_scan(model: str, run_dir: Path, task: Path) -> tuple[str, ...]:
    small = ("--max-block", "1", "--grow", "1", "--no-timings")
    return scan(model, run_dir, *LOCAL, *SMALL, *small, task=str(task))


def test_a_scan_whose_data_changed_is_not_resumed_and_is_no_study(
    model_dir: str, tmp_path: Path
) -> None:
    task, folder = write_own_task(tmp_path, num_questions=240), tmp_path / "run"
    said = run_json(*own_scan(model_dir, folder, task))
    rows = (tmp_path / "own.jsonl").read_text()
    (tmp_path / "own.jsonl").write_text(rows.replace("city", "town"))
    kept = {file.name: file.read_bytes() for file in (folder / "tasks" / "own").iterdir()}
    _, err = run(*own_scan(model_dir, folder, task), expect=2)
    assert "of task own, and" in err
    assert "it is not what was scanned; restore it, or choose another run folder" in err
    assert kept == {file.name: file.read_bytes() for file in (folder / "tasks" / "own").iterdir()}
    _, err = run(
        *search(model_dir, tmp_path / "searched", folder, "--task", str(task), "--budget", "8"),
        expect=2,
    )
    assert "not what was scanned; scan this task, or leave --study out" in err
    (tmp_path / "own.jsonl").write_text(rows)
    assert run_json(*own_scan(model_dir, folder, task))["digest"] == said["digest"]


def search(model: str, run_dir: Path, study: Path, *more: str) -> tuple[str, ...]:
    return (
        "search-cluster", "search", "--model", model, "--task", "capitals", "--limit", "6",
        "--study", str(study), "--run", str(run_dir), *LOCAL, *more,
    )  # fmt: skip


def test_a_scan_takes_the_place_of_a_searchs_study(
    scanned: tuple[Path, Any], model_dir: str, tmp_path: Path
) -> None:
    folder, _ = scanned
    said = run_json(*search(model_dir, tmp_path, folder, "--budget", "8", "--json"))
    assert said["preset"] == "credible"
    provenance = read_corpus(tmp_path).manifest.provenance
    assert provenance.study == read_result(folder).digest
    tried = {item.path for record in read_corpus(tmp_path).records for item in record.evaluated}
    raced = {row.path for row in read_scan_table(folder / SCAN_TABLE_NAME).rows.values()}
    assert tried <= raced
    _, err = run(
        "search-cluster", "search", "--model", model_dir, "--task", "capitals", "--limit", "6",
        "--budget", "8", "--preset", "credible", "--run", str(tmp_path), *LOCAL, expect=2,
    )  # fmt: skip
    assert "was started with study" in err


def test_a_scan_of_another_model_or_task_is_no_study(
    scanned: tuple[Path, Any], model_dir: str, tmp_path: Path
) -> None:
    folder, _ = scanned
    _, err = run(*search(model_dir, tmp_path / "a", folder, "--task", "elements"), expect=2)
    assert "scanned capitals, and this search is of elements" in err
    _, err = run(*search(model_dir, tmp_path / "b", folder, "--preset", "drllm"), expect=2)
    assert "preset drllm makes none; use --preset credible" in err
    _, err = run(*search(model_dir, tmp_path / "c", tmp_path), expect=2)
    assert "scan.json" in err
    other = tmp_path / "other"
    tiny.save_tiny_model(other, seed=1)
    _, err = run(*search(str(other), tmp_path / "d", folder), expect=2)
    assert "and this model has" in err
