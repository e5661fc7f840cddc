"""Cross-execution as a user runs it: a tiny model; interrupted, killed, repeated, misused."""

import json
import os
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import datasets
import pytest
from support import tiny
from support.command import run, run_json, run_json_apart, start

from search_cluster.cache.cached_evaluator import CachedEvaluator
from search_cluster.commands.crossexec import cross_execute
from search_cluster.commands.search import run_search
from search_cluster.config import SearchConfig
from search_cluster.corpus.coverage import pick_menu
from search_cluster.corpus.path_table import PATH_TABLE_NAME, PathTable, read_path_table
from search_cluster.corpus.reader import read_corpus
from search_cluster.corpus.record import ExampleRecord, PathEvidence, PathVerdict
from search_cluster.corpus.unfinished_table import UNFINISHED_NAME, known_verdicts
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.errors import ConfigError, SearchClusterError, TaskError
from search_cluster.model.load.loading import load_model
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import EvaluationResult
from search_cluster.tasks.registry import get_task

LOCAL = ["--ray", "none", "--redis-url", "none"]
SLOW_TASK = str(Path(__file__).parent / "data" / "slow_task.py")
QUIET = SearchConfig(task="capitals", ray="none", redis_url="none")
"""In this process, nothing kept."""


@pytest.fixture(scope="module")
def searched(model_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search; tests work on copies."""
    run_dir = tmp_path_factory.mktemp("searched") / "run"
    run_search(replace(QUIET, model=model_dir, limit=12, budget=12, seed=3, run=run_dir))
    return run_dir


@pytest.fixture
def run_dir(searched: Path, tmp_path: Path) -> Path:
    shutil.copytree(searched, tmp_path / "run")
    return tmp_path / "run"


def without_margins(menu: PathTable) -> list[tuple[object, ...]]:
    return [
        (
            row.example_id,
            row.path_index,
            row.failure,
            row.verdict and (row.verdict.reward, row.verdict.output),
        )
        for row in menu.rows
    ]


def test_a_menu_is_run_on_every_example(run_dir: Path, model_dir: str, tmp_path: Path) -> None:
    result = run_json("search-cluster", "crossexec", str(run_dir), "--menu", "4", *LOCAL)
    corpus, menu = read_corpus(run_dir), read_path_table(run_dir)
    assert result["corpus_digest"] == menu.provenance.corpus_digest == corpus.manifest.corpus_digest
    assert menu.provenance.corpus == corpus.manifest.provenance
    assert len(menu.paths) == len(result["menu"]) == 4
    assert menu.paths[0].is_identity
    assert [str(path) for path in menu.paths] == [item["path"] for item in result["menu"]]
    assert list(menu.by_example()) == [record.example.example_id for record in corpus.records]
    assert result["verdicts"] == len(menu.rows) == 48
    assert result["failures"] == 0
    assert result["cache_hits"] + result["paths_evaluated"] == 48
    assert 12 <= result["cache_hits"] < 48  # identity and more were in the corpus

    loaded, task = load_model(model_dir, device="cpu"), get_task("capitals")
    examples = {record.example.example_id: record.example for record in corpus.records}
    for row in menu.rows:
        expected = evaluate_path(loaded, task, examples[row.example_id], menu.paths[row.path_index])
        assert row.verdict is not None
        assert (row.verdict.reward, row.verdict.output) == (expected.reward, expected.output)
        assert row.verdict.num_layer_tokens == expected.num_layer_tokens
        assert row.verdict.margin == pytest.approx(expected.margin, abs=1e-3)

    right = [[row.verdict.is_correct for row in rows] for rows in menu.by_example().values()]
    for index, item in enumerate(result["menu"]):
        assert item["accuracy"] == sum(flags[index] for flags in right) / 12
        assert item["any_right"] == sum(any(flags[: index + 1]) for flags in right) / 12
        assert item["accuracy_low"] <= item["accuracy"] <= item["accuracy_high"]
    assert result["menu"][0]["mean_layers"] == tiny.NUM_LAYERS
    lengths = [
        min(
            (len(path) for path, flag in zip(menu.paths, flags, strict=True) if flag),
            default=tiny.NUM_LAYERS,
        )
        for flags in right
    ]
    assert result["menu"][-1]["mean_layers"] == pytest.approx(sum(lengths) / 12)

    rows = datasets.load_dataset(str(run_dir), cache_dir=str(tmp_path / "hf"), split="train")
    assert len(rows) == 12  # the table beside the shards is not taken for one


def test_the_second_run_computes_nothing_and_larger_menus_reuse(run_dir: Path) -> None:
    config = replace(QUIET, run=run_dir)
    first = cross_execute(config, menu_size=3)
    written = (run_dir / PATH_TABLE_NAME).read_bytes()
    again = cross_execute(config, menu_size=3)
    assert (again["paths_evaluated"], again["cache_hits"]) == (0, again["verdicts"])
    assert (run_dir / PATH_TABLE_NAME).read_bytes() == written
    assert again["menu"] == first["menu"]
    larger = cross_execute(replace(config, workers=2), menu_size=4)
    assert larger["paths_evaluated"] <= 12
    assert larger["menu"][:3] == first["menu"]

    out, _ = run("search-cluster", "crossexec", str(run_dir), "--menu", "99", *LOCAL)
    assert "holds no further path that would add a right answer or save a layer" in out
    assert str(run_dir / PATH_TABLE_NAME) in out.replace("\n", "")


def examined(path: LayerPath, *, credible: bool) -> PathEvidence:
    return PathEvidence(
        path=path, guide_right=int(credible), guide_identity_right=1, num_guide=1,
        verify_right=int(credible), verify_identity_right=1, num_verify=1, probe_right=1,
        probe_identity_right=1, num_probes=1, credible=credible,
    )  # fmt: skip


def guarded(record: ExampleRecord, credible: LayerPath) -> ExampleRecord:
    """As if the search had found evidence for one path and none for the others."""
    others = [item for item in record.best if not item.path.is_identity]
    best = tuple(item for item in others if item.path == credible)
    if not best and record.identity and record.identity.is_correct:
        best = (PathVerdict(path=LayerPath.identity(tiny.NUM_LAYERS), verdict=record.identity),)
    evidence = tuple(examined(item.path, credible=item.path == credible) for item in others)
    return replace(record, best=best, unguarded=record.best, evidence=evidence)


def test_only_credible_paths_of_a_guarded_corpus_get_on_the_menu(
    searched: Path, tmp_path: Path
) -> None:
    corpus = read_corpus(searched)
    identity, luckiest, *_, credible = [
        item.path for item in pick_menu(corpus.records, num_layers=6, size=99)
    ]
    assert luckiest != credible
    provenance = replace(
        corpus.manifest.provenance, preset="credible", evidence="guide=1;verify=1;max_probe_drop=0"
    )
    run_dir = tmp_path / "run"
    with CorpusWriter(run_dir, provenance) as writer:
        for record in corpus.records:
            writer.add(guarded(record, credible))
        writer.close({})
    out, err = run("search-cluster", "crossexec", str(run_dir), "--menu", "99", "--json", *LOCAL)
    assert [item["path"] for item in json.loads(out)["menu"]] == [str(identity), str(credible)]
    assert json.loads(out)["credible"] is read_path_table(run_dir).provenance.credible is True
    assert "luck" not in err


def test_a_menu_without_evidence_says_that_it_may_be_luck(run_dir: Path) -> None:
    command = ["search-cluster", "crossexec", str(run_dir), "--json", *LOCAL]
    out, err = run(*command, "--menu", "2")
    assert json.loads(out)["credible"] is read_path_table(run_dir).provenance.credible is False
    assert "WARNING" in err
    assert (
        "with preset drllm, which asks for no evidence, so the menu's paths may be luck; "
        "search with" in err
    )
    _, err = run(*command, "--menu", "1")
    assert "luck" not in err


def test_paths_that_are_asked_for_run_after_the_menu(run_dir: Path) -> None:
    asked = ["--path", "0-1,3-5", "--path", "0-5", "--path", "0-1,3-5"]
    result = run_json("search-cluster", "crossexec", str(run_dir), "--menu", "2", *asked, *LOCAL)
    paths = [str(path) for path in read_path_table(run_dir).paths]
    assert paths == [item["path"] for item in result["menu"]]
    assert paths[0] == "0-5"  # identity, which is not run twice
    assert paths.count("0-1,3-5") == 1
    assert len(paths) <= 3
    assert result["verdicts"] == 12 * len(paths)
    _, error = run(
        "search-cluster",
        "crossexec",
        str(run_dir),
        "--menu",
        "2",
        "--path",
        "0-9",
        *LOCAL,
        expect=2,
    )
    assert "the model has layers 0..5" in error


def test_a_limit_takes_a_sample(run_dir: Path) -> None:
    assert cross_execute(replace(QUIET, run=run_dir, limit=5), menu_size=2)["examples"] == 5
    menu = read_path_table(run_dir)
    assert menu.provenance.limit == 5
    assert len(menu.by_example()) == 5


def kept_pairs(run_dir: Path) -> set[tuple[str, LayerPath]]:
    context = read_corpus(run_dir).manifest.provenance.verdict_context
    return {item[:2] for item in known_verdicts(run_dir, context)}


def interrupt(config: SearchConfig, *, menu_size: int, num_collects: int) -> None:
    """Cross-execute until so many times results were collected."""
    collect, left = CachedEvaluator.collect, [None] * num_collects

    def collect_or_stop(evaluator: CachedEvaluator) -> list[EvaluationResult]:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return collect(evaluator)

    with (
        mock.patch.object(CachedEvaluator, "collect", collect_or_stop),
        pytest.raises(KeyboardInterrupt),
    ):
        cross_execute(config, menu_size=menu_size)


def test_no_menu_loses_what_another_has_paid_for(run_dir: Path) -> None:
    config = replace(QUIET, run=run_dir)
    interrupt(config, menu_size=4, num_collects=2)
    first = kept_pairs(run_dir)
    assert len({path for _, path in first}) == 4
    interrupt(config, menu_size=2, num_collects=1)
    interrupt(config, menu_size=4, num_collects=0)
    assert kept_pairs(run_dir) >= first
    cross_execute(replace(config, limit=5), menu_size=2)
    assert kept_pairs(run_dir) >= first
    resumed = cross_execute(config, menu_size=4)
    assert resumed["paths_evaluated"] <= 48 - len(first)
    assert not (run_dir / UNFINISHED_NAME).exists()

    cross_execute(replace(config, limit=5), menu_size=2)
    assert len(read_path_table(run_dir).rows) == 10
    interrupt(config, menu_size=3, num_collects=0)
    again = cross_execute(config, menu_size=4)
    assert (again["paths_evaluated"], again["menu"]) == (0, resumed["menu"])
    assert not (run_dir / UNFINISHED_NAME).exists()


@pytest.mark.ray
@pytest.mark.server
def test_a_cluster_gives_the_same_table(
    run_dir: Path, searched: Path, tmp_path: Path, ray_address: str
) -> None:
    command = ["search-cluster", "crossexec", str(run_dir), "--menu", "4"]
    on_ray = run_json_apart(
        *command, "--ray", ray_address, "--workers", "2", "--redis-url", "embedded"
    )
    assert (on_ray["workers"], on_ray["failures"], on_ray["cache_errors"]) == (2, 0, 0)
    shutil.copytree(searched, tmp_path / "alone")
    alone = cross_execute(replace(QUIET, run=tmp_path / "alone"), menu_size=4)
    assert on_ray["menu"] == alone["menu"]
    assert without_margins(read_path_table(run_dir)) == without_margins(
        read_path_table(tmp_path / "alone")
    )


@pytest.fixture(scope="module")
def large(model_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search whose cross-execution takes long enough to be disturbed, if grades are slow."""
    run_dir = tmp_path_factory.mktemp("large") / "run"
    run_search(replace(QUIET, model=model_dir, task=SLOW_TASK, limit=60, budget=6, run=run_dir))
    return run_dir


def disturbed(
    large: Path, folder: Path, sent: signal.Signals, redis_url: str
) -> tuple[list[str], int, str]:
    """Start a slow cross-execution and disturb it; the command, its exit code and what it said."""
    shutil.copytree(large, folder / "run")
    command = [
        "search-cluster", "crossexec", str(folder / "run"), "--menu", "12", "--task", SLOW_TASK,
        "--ray", "none", "--redis-url", redis_url,
    ]  # fmt: skip
    process = start(*command, GRADE_PAUSE_S="0.03")
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith(
            "cross-executing"
        ):  # the first progress line comes after some seconds of work
            break
    os.kill(process.pid, sent)
    _, rest = process.communicate(timeout=60)
    return command, process.returncode, said + rest


@pytest.fixture(scope="module")
def undisturbed(
    large: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], PathTable]:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    shutil.copytree(large, folder)
    return cross_execute(replace(QUIET, run=folder), menu_size=12, task=SLOW_TASK), read_path_table(
        folder
    )


def require_resumed(
    command: list[str], run_dir: Path, undisturbed: tuple[dict[str, Any], PathTable]
) -> None:
    """Run again: most of it is not computed again, and the table is that of a quiet run."""
    assert not (run_dir / PATH_TABLE_NAME).exists()
    resumed, (quiet, menu) = run_json(*command), undisturbed
    assert resumed["cache_hits"] > quiet["cache_hits"] + 50
    assert (
        resumed["cache_hits"] + resumed["paths_evaluated"]
        == resumed["verdicts"]
        == quiet["verdicts"]
    )
    assert resumed["menu"] == quiet["menu"]
    assert without_margins(read_path_table(run_dir)) == without_margins(menu)
    assert not (run_dir / UNFINISHED_NAME).exists()


def test_an_interrupt_loses_nothing_even_without_a_server(
    large: Path, tmp_path: Path, undisturbed: tuple[dict[str, Any], PathTable]
) -> None:
    command, code, said = disturbed(large, tmp_path, signal.SIGINT, "none")
    assert code == 130, said
    assert "run the same command again" in said
    assert "Traceback" not in said
    require_resumed(command, tmp_path / "run", undisturbed)


@pytest.mark.server
def test_kill_9_loses_nothing_with_a_server(
    large: Path, tmp_path: Path, undisturbed: tuple[dict[str, Any], PathTable]
) -> None:
    command, code, said = disturbed(large, tmp_path, signal.SIGKILL, "embedded")
    assert code == -signal.SIGKILL, said
    require_resumed(command, tmp_path / "run", undisturbed)


def test_failures_are_recorded(model_dir: str, tmp_path: Path) -> None:
    questions = ["Which is it?", "Which one?", "What is right?", "word " * tiny.MAX_POSITIONS]
    rows = [
        {"question": text, "choices": ["this", "that"], "answer": 0, "split": "train"}
        for text in questions
    ]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "own.toml").write_text(
        'name = "own"\ndescription = "d"\nkind = "choice"\ndata = "own.jsonl"\n'
        '[prompt]\nchat = "{question}"\n'
    )
    task, config = str(tmp_path / "own.toml"), replace(QUIET, run=tmp_path / "run")
    run_search(replace(config, model=model_dir, task=task, budget=6))
    shutil.rmtree(config.run / "tasks")  # as in run folders of former versions
    with pytest.raises(
        TaskError, match=r"task 'own', which is not built in; pass the .py or .toml file"
    ):
        cross_execute(config, menu_size=2)
    result = cross_execute(config, menu_size=2, task=task)
    menu = read_path_table(config.run)
    failed = [row for row in menu.rows if row.verdict is None]
    assert len(failed) == result["failures"] == len(menu.paths)
    assert {row.failure.split(":")[0] for row in failed} == {"PromptTooLongError"}
    assert len({row.example_id for row in failed}) == 1
    assert result["verdicts"] == len(menu.rows) - len(failed)
    again = tmp_path / "again.toml"
    again.write_text(f"task = {json.dumps(task)}\nmodel = {json.dumps(model_dir)}\n")
    command = ("crossexec", str(config.run), "--config", str(again), "--menu", "2", *LOCAL)
    assert run_json("search-cluster", *command)["failures"] == result["failures"]


def test_mistakes_are_answered(run_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other-model"
    tiny.save_tiny_model(other, chat=True, seed=1)
    config = replace(QUIET, run=run_dir)
    for changed, where, message in (
        (
            config,
            {"model": str(other)},
            "has the fingerprint .*; pass --model with the same weights",
        ),
        (
            config,
            {"task": "elements"},
            "the corpus was searched with version .* of capitals; .* pass --task",
        ),
        (replace(config, run=tmp_path / "nowhere"), {}, "has no manifest.json"),
        (replace(config, redis_url="file://x"), {}, "redis url 'file://x' is unknown"),
    ):
        with pytest.raises(SearchClusterError, match=message):
            cross_execute(changed, menu_size=3, **where)
    manifest = run_dir / "manifest.json"
    manifest.write_text(
        re.sub('"verdict_context": "[0-9a-f]*"', '"verdict_context": "beef"', manifest.read_text())
    )
    with pytest.raises(
        ConfigError, match=r"have the context beef, this program's have .*; install the version"
    ):
        cross_execute(config, menu_size=3)
    assert not (run_dir / PATH_TABLE_NAME).exists()
    _, err = run("search-cluster", "crossexec", str(tmp_path), "--menu", "3", *LOCAL, expect=2)
    assert "has no manifest.json" in err
    assert "Traceback" not in err
