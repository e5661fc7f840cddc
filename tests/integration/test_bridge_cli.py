"""Bridges in the other commands: searched, verified, scanned and exported with, never mixed up."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import tiny
from support.bridges import random_bridges
from support.command import call, run_json
from support.scanned import scan_result, write_scan
from transformers import AutoModelForCausalLM

import router_train.auto  # noqa: F401 - registers routed models
from search_cluster.bridged_spec import spec_with_bridges
from search_cluster.corpus.reader import read_corpus
from search_cluster.model.bridge.folder import save_bridges
from search_cluster.model.load.loading import load_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.paths.layer_path import LayerPath

PATH = LayerPath((0, 1, 4), tiny.NUM_LAYERS)
SEARCH = (
    *("search-cluster", "search", "--task", "capitals", "--limit", "4", "--budget", "12"),
    *("--preset", "drllm", "--ray", "none"),
)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.save_tiny_model(tmp_path_factory.mktemp("model") / "llama"))


@pytest.fixture(scope="module")
def bridges(model_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bridges") / "b"
    save_bridges(folder, random_bridges(), load_model(model_dir, self_test=False))
    return folder


@pytest.fixture(scope="module")
def loaded(model_dir: str, bridges: Path) -> LoadedModel:
    return load_model(spec_with_bridges(model_dir, bridges), self_test=False)


def test_a_search_runs_bridged_paths_and_is_verified_with_them(
    model_dir: str, bridges: Path, loaded: LoadedModel, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    flags = (*SEARCH, "--model", model_dir, "--run", str(run))
    searched = run_json(*flags, "--bridges", str(bridges))
    assert searched["model"] == loaded.spec
    provenance = read_corpus(run).manifest.provenance
    assert provenance.model_fingerprint == loaded.fingerprint
    assert provenance.model_parts["bridges"] == loaded.parts["bridges"]
    bare = call(*flags)
    assert bare.returncode == 2, "a run of bridged paths went on without bridges"
    assert "model" in bare.stderr
    for reference in ("materialised", "engine"):
        verified = run_json(
            *("search-cluster", "verify", str(run), "--sample", "20", "--reference", reference)
        )
        assert verified["ok"]
        assert verified["agreements"] == verified["verdicts"] > 0
    moved = shutil.copytree(bridges, tmp_path / "moved")
    assert run_json("search-cluster", "verify", str(run), "--bridges", str(moved))["ok"]
    nowhere = call("search-cluster", "verify", str(run), "--bridges", str(tmp_path / "nowhere"))
    assert nowhere.returncode == 2
    assert "is no set of bridges" in nowhere.stderr
    menu = run_json(
        *("search-cluster", "crossexec", str(run), "--menu", "2", "--ray", "none"),
        *("--path", str(PATH)),
    )
    assert menu["model"] == loaded.spec


def test_a_cache_keeps_bridged_and_bare_verdicts_apart(
    model_dir: str, bridges: Path, tmp_path: Path
) -> None:
    """Two runs over one server's file find nothing of each other's."""
    bridged = run_json(
        *(*SEARCH, "--model", model_dir, "--bridges", str(bridges)),
        *("--run", str(tmp_path / "bridged")),
    )
    shutil.copytree(tmp_path / "bridged" / "cache", tmp_path / "bare" / "cache")
    bare = run_json(*SEARCH, "--model", model_dir, "--run", str(tmp_path / "bare"))
    assert bare["corpus_digest"] != bridged["corpus_digest"]
    fresh = run_json(*SEARCH, "--model", model_dir, "--run", str(tmp_path / "fresh"))
    assert bare["corpus_digest"] == fresh["corpus_digest"]


def test_a_router_of_a_bridged_path_is_exported_with_its_bridges(
    model_dir: str, loaded: LoadedModel, tmp_path: Path
) -> None:
    result = replace(
        scan_result([PATH], model=loaded.spec, fingerprint=loaded.fingerprint),
        tasks=("capitals",),
        guards=(),
        chat="never",
    )
    scan = write_scan(tmp_path / "scan", result)
    router, export = str(tmp_path / "router"), tmp_path / "export"
    run_json("router-train", "static", str(scan), "--out", router)
    plain = call("router-train", "export", router, "--out", str(export), "--plain")
    assert plain.returncode == 2
    assert "it crosses 2 bridges, which no plain model has" in plain.stderr
    assert not export.exists()
    for more in ((), ("--with-base",)):
        run_json("router-train", "export", router, "--out", str(export), *more)
        routed = AutoModelForCausalLM.from_pretrained(export)
        ids_BT = torch.arange(20, 34)[None]
        with torch.inference_mode():
            got = routed(ids_BT).logits
            expected = materialise(loaded.model, PATH)(ids_BT).logits
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
        shutil.rmtree(export)
    evaluated = run_json(
        *("router-train", "evaluate", "--router", router, "--task", "capitals"),
        *("--split", "validation", "--limit", "6"),
    )
    assert evaluated["model"] == loaded.spec
    without = call(
        *("router-train", "evaluate", "--router", router, "--task", "capitals"),
        *("--model", f"{model_dir}+bridges={tmp_path / 'nowhere'}"),
    )
    assert without.returncode == 2


def test_other_tools_get_no_bridged_path(loaded: LoadedModel, tmp_path: Path) -> None:
    result = scan_result([PATH], model=loaded.spec, fingerprint=loaded.fingerprint, chat="never")
    scan = write_scan(tmp_path / "scan", result)
    for format_ in ("layers", "mergekit"):
        done = call("search-cluster", "scan", "export", str(scan), "--format", format_)
        assert done.returncode == 2
        assert "was found with the bridges of" in done.stderr
    done = call(
        *("search-cluster", "scan", "export", str(scan), "--format", "hf"),
        *("--out", str(tmp_path / "hf")),
    )
    assert done.returncode == 2
    assert "it crosses 2 bridges, which no plain model has" in done.stderr
    assert not (tmp_path / "hf").exists()
