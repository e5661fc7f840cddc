"""``bench scan table`` on a tiny model, and the replay of what it wrote."""

import threading
from pathlib import Path

import numpy as np
import pytest
from support import tiny
from support.command import run, run_json
from support.depth_studies import INFLUENCE, made_up_study

from search_cluster.bench.scan import fill
from search_cluster.bench.scan.config import ScanTableConfig
from search_cluster.bench.scan.fill import fill_table
from search_cluster.bench.scan.replayed_scan import Draw, replay_search
from search_cluster.bench.scan.score_table import read_facts, read_table
from search_cluster.bench.scan.stored_answers import StoredAnswers
from search_cluster.depth.result import write_depth_result
from search_cluster.errors import ConfigError
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.load.loading import load_model
from search_cluster.model.materialise import materialise
from search_cluster.model.prompting import encode_example
from search_cluster.model.scoring import evaluate_path, score_choices
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.rounds import Outcome
from search_cluster.scan.racing.layer_prior import LayerPrior
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.verdict import Verdict

NUM_PATHS = 1 + 20 + 21
"""The plain path, the skips but that of all six layers, and the repeats."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_tiny_model(tmp_path_factory.mktemp("model"))


def config(model: Path, out: Path, **changes: object) -> ScanTableConfig:
    values = {"model": str(model), "task": "capitals", "num_questions": 3, "block": 1, **changes}
    return ScanTableConfig(out=out, **values)  # type: ignore[arg-type]


def silent(_: str) -> None:
    pass


def test_a_table_has_what_the_materialised_model_scores_and_gives_its_verdicts(
    model: Path, tmp_path: Path
) -> None:
    out = str(tmp_path / "table")
    command = ("search-cluster", "bench", "scan", "table", "--model", str(model), "--out", out)
    asked = ("--task", "capitals", "--num-questions", "2", "--workers", "1")
    said = run_json(*command, *asked)
    assert (said["num_paths"], said["pairs"], said["failures"]) == (NUM_PATHS, 2 * NUM_PATHS, 0)
    assert said["other_verdicts"] == 0
    table = read_table(Path(out))
    loaded, task = load_model(str(model)), get_task("capitals")
    examples = select_examples(task.load("train", None).examples, 2, 0)
    answers = StoredAnswers(table)
    for row, example in enumerate(examples):
        assert table.questions[row].example_id == example.example_id
        encoded = encode_example(loaded, task, example)
        for place, path in enumerate(table.paths):
            scores = score_choices(materialise(loaded.model, path), encoded)
            assert table.scores_QPC[row, place] == pytest.approx(scores, abs=1e-4)
            stored = answers.outcome(answers.examples[row], path)
            reference = evaluate_path(loaded, task, example, path)
            assert stored.reward == reference.reward
            assert stored.margin == pytest.approx(reference.margin, abs=2e-4)
            assert example.choices[int(stored.output)] == reference.output


def test_a_table_goes_on_where_it_was_interrupted_and_grows(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = fill.write_block

    def write_one(folder: Path, rows: dict[int, object]) -> None:
        write(folder, rows)
        raise KeyboardInterrupt

    monkeypatch.setattr(fill, "write_block", write_one)
    with pytest.raises(KeyboardInterrupt):
        fill_table(config(model, tmp_path / "table", num_questions=2), silent)
    assert "scores" not in {thread.name for thread in threading.enumerate()}
    monkeypatch.undo()
    assert fill_table(config(model, tmp_path / "table", num_questions=2), silent)["pairs"] == (
        NUM_PATHS
    )
    grown = fill_table(config(model, tmp_path / "table", num_questions=3), silent)
    assert grown["pairs"] == NUM_PATHS
    assert fill_table(config(model, tmp_path / "table"), silent)["pairs_per_s"] is None
    fill_table(config(model, tmp_path / "at once", workers=1, block=3), silent)
    one, other = read_table(tmp_path / "table"), read_table(tmp_path / "at once")
    assert one.facts == other.facts
    assert one.scores_QPC.tobytes() == other.scores_QPC.tobytes()


def test_paths_that_do_badly_on_the_first_questions_are_not_asked_the_others(
    model: Path, tmp_path: Path
) -> None:
    few = {"num_full": 3, "keep": 5, "num_questions": 5}
    said = fill_table(config(model, tmp_path / "few", **few), silent)
    assert said["pairs"] == 3 * NUM_PATHS + 2 * (1 + 5)
    found = read_table(tmp_path / "few")
    assert found.full_questions.tolist() == [0, 1, 2]
    assert found.was_asked_QP.sum(axis=1).tolist() == [NUM_PATHS] * 3 + [6, 6]
    fill_table(config(model, tmp_path / "all", num_questions=5), silent)
    everything = read_table(tmp_path / "all")
    asked = found.was_asked_QP
    assert found.scores_QPC[asked].tobytes() == everything.scores_QPC[asked].tobytes()
    kept = found.of_complete_paths()
    assert kept.paths[0] == found.paths[0]
    gains = StoredAnswers(everything.of_questions([0, 1, 2])).differences_QP.mean(axis=0)
    assert found.paths[1 + int(gains.argmax())] in kept.paths
    with pytest.raises(ConfigError, match="name another folder"):
        fill_table(config(model, tmp_path / "few", num_questions=5), silent)


def test_a_fault_of_a_worker_ends_the_command(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(fill.ScoredEngine, "scores", fail)
    with pytest.raises(MemoryError, match="no room"):
        fill_table(config(model, tmp_path), silent)


def test_a_task_whose_answers_are_generated_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="answers of task arithmetic are generated; a table"):
        fill_table(config(model, tmp_path, task="arithmetic"), silent)


def test_a_replayed_race_is_the_race_that_the_engine_runs(model: Path, tmp_path: Path) -> None:
    fill_table(config(model, tmp_path, num_questions=24, block=12), silent)
    answers = StoredAnswers(read_table(tmp_path))
    rows = np.random.default_rng(0).permutation(24)
    draw = Draw(train=rows, validation=rows, test=rows, fresh=rows)
    replayed = replay_search(answers, draw)
    task = get_task("capitals")
    examples = select_examples(task.load("train", None).examples, 24, 0)
    pairs = [(example, path) for example in examples for path in answers.table.paths]
    outcomes = PathExecutor(load_model(str(model)), task).evaluate(pairs)
    real = {
        (stored.example_id, path): outcomes[row * len(answers.table.paths) + place]
        for row, stored in enumerate(answers.examples)
        for place, path in enumerate(answers.table.paths)
    }

    class Engine(StoredAnswers):
        def outcome(self, example: Example, path: LayerPath) -> Outcome:
            verdict = real[example.example_id, path]
            assert isinstance(verdict, Verdict)
            return verdict

    ran = replay_search(Engine(answers.table), draw)
    assert ran.rungs == replayed.rungs
    assert ran.finalists == replayed.finalists
    assert ran.num_verdicts == replayed.num_verdicts
    paths = ran.tables[0].by_path
    assert list(paths) == list(replayed.tables[0].by_path)
    for path, verdicts in paths.items():
        stored = replayed.tables[0].by_path[path]
        assert [item and item.margin for item in verdicts] == [
            item and item.margin for item in stored
        ]


def test_a_replay_prints_all_figures(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "table"
    fill_table(config(model, out, num_questions=72, max_block=1, block=24), silent)
    sizes = ("--num-train", "24", "--num-validation", "16", "--num-test", "16")
    times = ("--races", "2", "--nulls", "2", "--covers", "2", "--published", "2")
    fingerprint = read_facts(out).model_fingerprint
    write_depth_result(tmp_path, made_up_study(fingerprint=fingerprint))
    said = run_json(
        *("search-cluster", "bench", "scan", "replay", str(out), *sizes, *times),
        *("--depth-prior", str(tmp_path)),
    )
    assert said["prior"]["digest"] == LayerPrior(influence=INFLUENCE).digest
    assert said["prior"]["verdicts_with_prior"] <= said["prior"]["verdicts"]
    assert (said["num_paths"], said["num_questions"]) == (1 + 2 * 6, 72)
    assert said["race"]["num_fresh"] == 48
    assert said["null"]["scans"] == 2
    assert said["cover"]["again"]["train"]["paths"] > 0
    assert len(said["published"]) == 3
    assert np.isfinite(said["plain_accuracy"])
    out_text, _ = run("search-cluster", "bench", "scan", "replay", str(out), *sizes[:2], expect=2)
    assert out_text == ""
