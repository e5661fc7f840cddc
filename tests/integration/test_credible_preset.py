"""The preset `credible` and the benchmark of searches, as a user runs them on a tiny model."""

import json
from pathlib import Path

import pytest
from support.command import run, run_json

from search_cluster.bench.fresh_judge import fresh_questions
from search_cluster.corpus.reader import read_corpus
from search_cluster.model.load.loading import load_model
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import derive_seed

LOCAL = [
    "--task",
    "capitals",
    "--ray",
    "none",
    "--preset",
    "credible",
    "--limit",
    "80",
    "--budget",
    "20",
]


def test_a_run_keeps_its_budget_records_evidence_and_repeats_itself(
    model_dir: str, tmp_path: Path
) -> None:
    first = run_json(
        "search-cluster", "search", "--model", model_dir, *LOCAL, "--run", str(tmp_path / "a")
    )
    again = run_json(
        "search-cluster", "search", "--model", model_dir, *LOCAL, "--workers", "2", "--redis-url",
        "none", "--run", str(tmp_path / "b"),
    )  # fmt: skip
    assert first["paths_searched"] <= 80 * 20
    assert first["corpus_digest"] == again["corpus_digest"]
    corpus = read_corpus(tmp_path / "a")
    assert corpus.manifest.provenance.evidence == "guide=3;verify=3;max_probe_drop=0.04;min_right=1"
    examined = [item for record in corpus.records for item in record.evidence]
    assert examined
    for record in corpus.records:
        credible = {item.path for item in record.evidence if item.credible}
        assert {item.path for item in record.best if not item.path.is_identity} <= credible
        assert all(item.verdict.is_correct for item in record.best)


def test_bench_search_reports_what_it_promises(model_dir: str) -> None:
    result = run_json(
        "search-cluster", "bench", "search", "--model", model_dir, "--task", "capitals",
        "--num-examples", "12",
        "--budgets", "10,20", "--presets", "random,credible", "--num-fresh", "4",
        "--num-probes", "30",
        "--workers", "1",
    )  # fmt: skip
    assert set(result["results"]) == {"random", "credible"}
    assert result["core_ops_per_s"] > 0
    for cells in result["results"].values():
        assert set(cells) == {"10", "20"}
        for budget, cell in cells.items():
            assert 0 <= cell["verified_saved_layers"] <= cell["saved_layers"]
            assert cell["verified_saved_layers_low"] <= cell["verified_saved_layers"]
            assert 0 <= cell["verified_fixed"] <= cell["fixed"] <= 1
            assert cell["holds"] is None or 0 <= cell["holds"] <= 1
            assert cell["evaluations_per_example"] <= int(budget)
            assert cell["num_identity_right"] + cell["num_identity_wrong"] == 12
    # What the benchmark calls right is what the materialised model says.
    loaded, task = load_model(model_dir), get_task("capitals")
    identity = LayerPath.identity(loaded.num_layers)
    probes = fresh_questions(
        task,
        None,
        without=task.load("train", None).examples,
        count=30,
        seed=derive_seed(0, "fresh probes"),
    )
    assert {probe.split for probe in probes} == {"test", "validation"}
    num_right = sum(evaluate_path(loaded, task, probe, identity).is_correct for probe in probes)
    assert result["probe_accuracy_identity"] == num_right / 30


def test_a_comparison_that_is_run_again_evaluates_nothing_anew(
    model_dir: str, tmp_path: Path
) -> None:
    command = (
        "search-cluster", "bench", "search", "--model", model_dir, "--task", "capitals",
        "--num-examples", "6", "--budgets", "8", "--presets", "random", "--num-fresh", "2",
        "--num-probes", "10", "--run", str(tmp_path / "b"),
    )  # fmt: skip
    first, again = run_json(*command), run_json(*command)
    assert first["paths_evaluated"] > 0
    assert again["paths_evaluated"] == 0
    cells = [result["results"]["random"]["8"] for result in (first, again)]
    for cell in cells:
        del cell["core_ops_per_s"]
    assert cells[0] == cells[1]


@pytest.mark.parametrize("part", ["ten", "²", "0", ""])
def test_a_budget_that_is_no_number_is_said_so(part: str) -> None:
    _, err = run("search-cluster", "bench", "search", "--budgets", f"10,{part}", expect=2)
    assert f"--budgets has the part {part!r}; its parts are whole numbers from 1" in err


def test_too_few_questions_for_a_study_are_said_so(model_dir: str, tmp_path: Path) -> None:
    _, err = run(
        "search-cluster", "search", "--model", model_dir, "--task", "capitals",
        "--ray", "none", "--redis-url", "none", "--preset", "credible",
        "--limit", "3", "--budget", "10", "--run", str(tmp_path / "run"),
    )  # fmt: skip
    assert "the study of other questions found no path to try" in err
    out, _ = run("search-cluster", "report", str(tmp_path / "run"))
    words = "had 3 questions, a budget of 10, and a model that is right on"
    assert words in " ".join(err.split())
    assert words in " ".join(out.split())
    assert words in (tmp_path / "run" / "report.html").read_text()


SEARCH = ["--task", "capitals", "--ray", "none", "--redis-url", "none"]


def test_credible_is_what_runs_when_no_preset_is_named(model_dir: str, tmp_path: Path) -> None:
    command = [
        "search-cluster",
        "search",
        "--model",
        model_dir,
        *SEARCH,
        "--limit",
        "40",
        "--budget",
        "10",
    ]
    found = run_json(*command, "--run", str(tmp_path / "unnamed"))
    (tmp_path / "old.toml").write_text('preset = "default"\n')
    named = run_json(
        *command, "--config", str(tmp_path / "old.toml"), "--run", str(tmp_path / "named")
    )
    assert (found["preset"], named["preset"]) == ("credible", "credible")
    assert found["corpus_digest"] == named["corpus_digest"]
    assert read_corpus(tmp_path / "unnamed").manifest.provenance.preset == "credible"


def test_where_credible_cannot_study_drllm_searches_and_both_say_so(
    model_dir: str, tmp_path: Path
) -> None:
    command = [
        "search-cluster",
        "search",
        "--model",
        model_dir,
        *SEARCH,
        "--budget",
        "10",
        "--run",
        str(tmp_path),
    ]
    _, err = run(*command, "--limit", "3")
    (line,) = [line for line in err.splitlines() if "no preset is named" in line]
    assert "3 questions" in line
    assert "searching with preset drllm instead" in line
    assert read_corpus(tmp_path).manifest.provenance.preset == "drllm"
    _, again = run(*command, "--limit", "3")
    assert "no preset is named" not in again, "the run goes on with what it was begun with"


TASK = """
name = "copying"
description = "prompts that speak of themselves"
kind = "generate"
data = "copying.jsonl"

[prompt]
chat = "{question}"

[answer]
grader = "exact"
max_new_tokens = 2
"""


def test_claims_where_nothing_can_be_verified_one_line_says_so_and_no_path_is_credible(
    model_dir: str, tmp_path: Path
) -> None:
    rows = [
        json.dumps({"question": f"What is the first word of this message? {n}", "answer": "What"})
        for n in range(60)
    ]
    (tmp_path / "copying.jsonl").write_text("\n".join(rows) + "\n")
    (tmp_path / "copying.toml").write_text(TASK)
    command = (
        "search-cluster", "search", "--model", model_dir, "--task", str(tmp_path / "copying.toml"),
        "--ray", "none", "--redis-url", "none", "--limit", "40", "--budget", "10",
        "--run", str(tmp_path / "run"),
    )  # fmt: skip
    out, err = run(*command)
    (line,) = [line for line in err.splitlines() if "nothing can be verified here" in line]
    assert "no question of task copying can be put differently" in line
    assert "take --preset drllm, whose best paths prove nothing" in line
    # A random model hardly ever ends by itself within two tokens.
    assert "were cut by the task's max_new_tokens before they ended" in " ".join(err.split())
    assert "answers cut by max_new_tokens" in " ".join(out.split())
    corpus = read_corpus(tmp_path / "run")
    assert corpus.manifest.provenance.evidence.endswith(";frames=1")
    for record in corpus.records:
        assert not any(item.credible for item in record.evidence)
        assert all(item.path.is_identity for item in record.best)
    status = run_json("search-cluster", "status", str(tmp_path / "run"))
    assert 0 < status["cut_answers"] <= status["paths_evaluated"]
    assert status["chance"] is None
