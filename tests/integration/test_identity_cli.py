"""One identity of the model, checked by every command that goes on with a run's verdicts."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import tiny
from support.command import run, run_json

from search_cluster.cache.keys import VerdictContext
from search_cluster.commands.provenance import FORMER_TIE_THRESHOLD
from search_cluster.corpus.manifest import Provenance
from search_cluster.corpus.reader import Corpus, provenance_so_far, read_corpus
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.driver.pools import former_contexts, verdict_context
from search_cluster.model.load.loading import load_model
from search_cluster.tasks.registry import get_task
from search_cluster.workers.messages import WorkerSpec
from search_cluster.workers.path_worker import PathWorker

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_tiny_model(tmp_path_factory.mktemp("identity") / "model", chat=True)


def search(model: Path, folder: Path, *more: str) -> list[str]:
    return [
        "search-cluster", "search", "--model", str(model), "--task", "capitals", "--limit", "6",
        "--budget", "12", "--preset", "drllm", "--ray", "none", "--redis-url", "none", "--run",
        str(folder), *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def found(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("found") / "run"
    run_json(*search(model_dir, folder))
    return folder


def changed(model_dir: Path, folder: Path, part: str) -> Path:
    """A copy of the model of which one part is another one."""
    copy = shutil.copytree(model_dir, folder)
    if part == "weights":
        weights = load_file(copy / WEIGHTS)
        weights["model.norm.weight"][0] += 1.0
        save_file(weights, copy / WEIGHTS, metadata={"format": "pt"})
    elif part == "chat template":
        text = (copy / "chat_template.jinja").read_text()
        (copy / "chat_template.jinja").write_text(text.replace("assistant", "helper"))
    else:
        settings = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps(settings | {"rms_norm_eps": 1e-3}))
    return copy


@pytest.mark.parametrize("part", ["weights", "chat template", "config"])
def test_identity_of_another_model_is_refused_by_every_command_with_what_differs(
    part: str, model_dir: Path, found: Path, tmp_path: Path
) -> None:
    other = changed(model_dir, tmp_path / "other", part)
    kept = shutil.copytree(found, tmp_path / "run")
    router = tmp_path / "router"
    run(
        "router-train", "fit", "--corpus", str(found), "--router", "drllm", "--epochs", "1",
        "--out", str(router),
    )  # fmt: skip
    for command in (
        search(other, kept),
        ["search-cluster", "verify", str(kept), "--model", str(other)],
        ["search-cluster", "crossexec", str(kept), "--model", str(other), "--menu", "2", "--ray",
         "none", "--redis-url", "none"],
        ["router-train", "fit", "--corpus", str(kept), "--model", str(other), "--out",
         str(tmp_path / "refused"), "--router", "drllm"],
        ["router-train", "evaluate", "--router", str(router), "--model", str(other), "--task",
         "capitals", "--limit", "2"],
        ["router-train", "export", str(router), "--model", str(other), "--out",
         str(tmp_path / "export")],
    ):  # fmt: skip
        if command[1] == "search":  # a folder's own name would differ first
            command[command.index("--model") + 1] = str(other)
            shutil.move(model_dir, tmp_path / "away")
            shutil.copytree(other, model_dir)
            command[command.index("--model") + 1] = str(model_dir)
        try:
            _, err = run(*command, expect=2)
        finally:
            if command[1] == "search":
                shutil.rmtree(model_dir)
                shutil.move(tmp_path / "away", model_dir)
        assert f"(what differs: {part})" in err, (command, err)
        assert "Traceback" not in err


def test_identity_of_a_run_that_a_former_version_began_goes_on_under_its_own_name(
    model_dir: Path, found: Path, tmp_path: Path
) -> None:
    corpus = read_corpus(found)
    context = former_context(model_dir)
    former = replace(
        corpus.manifest.provenance,
        chat="",
        model_parts={},
        tie_threshold=None,
        model_fingerprint=context.model_fingerprint,
        verdict_context=context.namespace,
    )
    begun = begun_by(former, corpus, tmp_path / "begun")
    result = run_json(*search(model_dir, begun))
    assert result["corpus_digest"] == corpus.manifest.corpus_digest
    assert provenance_so_far(begun) == former
    run("search-cluster", "verify", str(begun), "--sample", "3")
    table = run_json(
        "search-cluster", "crossexec", str(begun), "--menu", "2", "--ray", "none", "--redis-url",
        "none",
    )  # fmt: skip
    assert table["corpus_digest"] == corpus.manifest.corpus_digest


@pytest.mark.parametrize("rechecks", [FORMER_TIE_THRESHOLD, 1e9])
def test_identity_of_a_float32_run_of_the_last_version_goes_on_with_its_rechecks(
    model_dir: Path,
    found: Path,
    tmp_path: Path,
    rechecks: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    corpus = read_corpus(found)
    monkeypatch.setattr("search_cluster.commands.provenance.FORMER_TIE_THRESHOLD", rechecks)
    info = worker_with_rechecks(model_dir, rechecks).info
    context = verdict_context(get_task("capitals"), info).namespace
    former = replace(corpus.manifest.provenance, tie_threshold=None, verdict_context=context)
    begun = begun_by(former, corpus, tmp_path / "begun")
    for _ in range(2):  # finished the first time, its manifest read the second time
        result = run_json(*search(model_dir, begun))
        assert result["corpus_digest"] == corpus.manifest.corpus_digest
        if rechecks > 1:
            assert result["tie_rechecks"] == result["paths_evaluated"]
    assert read_corpus(begun).manifest.provenance.verdict_context == context


def test_identity_of_a_16_bit_run_of_a_former_version_is_refused_in_a_line(
    model_dir: Path, found: Path, tmp_path: Path
) -> None:
    corpus = read_corpus(found)
    former = replace(corpus.manifest.provenance, tie_threshold=None, dtype="bfloat16")
    begun = begun_by(former, corpus, tmp_path / "begun")
    shutil.copytree(model_dir, tmp_path / "model")
    (tmp_path / "model" / WEIGHTS).unlink()  # it is refused before a model is loaded
    _, err = run(*search(tmp_path / "model", begun, "--dtype", "bfloat16"), expect=2)
    assert err.count("\n") == 1
    assert "in bfloat16, in which this version computes otherwise" in err
    assert "search again in a new folder" in err


def begun_by(former: Provenance, corpus: Corpus, folder: Path) -> Path:
    """A run that wrote its first three examples."""
    writer = CorpusWriter(folder, former)
    for record in corpus.records[:3]:
        writer.add(record)
    writer.flush()
    writer.release()
    return folder


def former_context(model_dir: Path) -> VerdictContext:
    info = worker_with_rechecks(model_dir, FORMER_TIE_THRESHOLD).info
    return former_contexts(get_task("capitals"), info)[0]


def worker_with_rechecks(model_dir: Path, tie_threshold: float) -> PathWorker:
    return PathWorker(
        WorkerSpec(
            model=str(model_dir), dtype="auto", device="cpu", revision=None, chat="auto",
            trust_remote_code=False, task="capitals", num_threads=1,
            tie_threshold=tie_threshold,
        )
    )  # fmt: skip


def test_identity_chat_is_recorded_and_followed(model_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    run_json(*search(model_dir, folder, "--chat", "never"))
    provenance = read_corpus(folder).manifest.provenance
    assert provenance.chat == "never"
    plain = load_model(str(model_dir), device="cpu", chat="never")
    assert provenance.model_fingerprint == plain.fingerprint
    # A begun run goes on as it was begun; another way to ask is refused.
    assert run_json(*search(model_dir, folder))["paths_evaluated"] == 0
    _, err = run(*search(model_dir, folder, "--chat", "always"), expect=2)
    assert "was started with chat 'never', and this run has 'always'" in err
    assert run_json("search-cluster", "verify", str(folder))["verdict_flips"] == 0
    router = tmp_path / "router"
    run(
        "router-train", "fit", "--corpus", str(folder), "--router", "drllm", "--epochs", "1",
        "--out", str(router),
    )  # fmt: skip
    assert json.loads((router / "router.json").read_text())["chat"] == "never"
    run("router-train", "evaluate", "--router", str(router), "--task", "capitals", "--limit", "2")
    run("router-train", "generate", "--router", str(router), "--prompt", "hello")


def test_prompt_a_section_before_the_answer_ends_a_search_in_one_line(tmp_path: Path) -> None:
    model = tiny.save_tiny_model(tmp_path / "model", chat=True)
    with (model / "chat_template.jinja").open("a") as file:
        file.write("<think>\n")
    _, err = run(*search(model, tmp_path / "run"), expect=2)
    assert err.strip().splitlines()[-1].startswith("error: the chat template begins every answer")
    assert "Traceback" not in err
    _, err = run(
        *search(model, tmp_path / "sums", "--task", "arithmetic", "--limit", "2", "--budget", "2")
    )
    assert "the chat template begins every answer with <think>: of the" in err
    run_json(*search(model, tmp_path / "plain", "--chat", "never"))


@pytest.mark.ray
def test_loading_warnings_reach_the_terminal_through_ray(model_dir: Path, tmp_path: Path) -> None:
    model = shutil.copytree(model_dir, tmp_path / "model")
    weights = load_file(model / WEIGHTS)
    weights["v_head.weight"] = torch.ones(1)
    save_file(weights, model / WEIGHTS, metadata={"format": "pt"})
    command = search(model, tmp_path / "run", "--workers", "2")
    command[command.index("none")] = "local"
    _, err = run(*command)
    assert err.count("v_head.weight first; they are left out") == 1
