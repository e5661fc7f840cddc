"""A depth study's layers as the prior of a scan and of a search."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.command import run, run_json
from support.depth_studies import INFLUENCE, made_up_study

from search_cluster.corpus.reader import read_corpus
from search_cluster.depth.result import write_depth_result
from search_cluster.model.load.loading import load_model
from search_cluster.scan.constants import RACE
from search_cluster.scan.racing import behind
from search_cluster.scan.racing.layer_prior import LayerPrior
from search_cluster.scan.result_file import read_result

DIGEST = LayerPrior(influence=INFLUENCE).digest
LOCAL = ("--ray", "none", "--redis-url", "none")


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.save_tiny_model(tmp_path_factory.mktemp("model") / "llama"))


@pytest.fixture(scope="module")
def study(model_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    fingerprint = load_model(model_dir).fingerprint
    write_depth_result(folder, made_up_study(fingerprint=fingerprint))
    return folder


def scan(model_dir: str, run_dir: Path, *more: str) -> Any:
    return run_json(
        *("search-cluster", "scan", "--model", model_dir, "--task", "capitals", *LOCAL),
        *("--limit", "16", "--grow", "1", "--no-timings", "--run", str(run_dir), "--json", *more),
    )


def test_a_scan_asks_less_and_says_what_it_knew(
    model_dir: str, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The layers of a model of random weights do too little for anybody to be surely behind.
    monkeypatch.setattr(behind, "RACE", replace(RACE, prior_errors=0.0))
    without = scan(model_dir, tmp_path / "without")
    found = scan(model_dir, tmp_path / "with", "--depth-prior", str(study))
    assert (without["depth_prior"], found["depth_prior"]) == ("", DIGEST)
    assert read_result(tmp_path / "with").depth_prior == DIGEST
    assert found["verdicts"] < without["verdicts"]
    assert found["digest"] != without["digest"]
    again = scan(model_dir, tmp_path / "with", "--depth-prior", str(study))
    assert (again["digest"], again["paths_evaluated"]) == (found["digest"], 0)


def search(model_dir: str, run_dir: Path, *more: str) -> tuple[str, ...]:
    return (
        *("search-cluster", "search", "--model", model_dir, "--task", "capitals", *LOCAL),
        *("--limit", "12", "--budget", "24", "--run", str(run_dir), *more),
    )


def test_a_search_s_study_knows_the_layers(model_dir: str, study: Path, tmp_path: Path) -> None:
    command = search(model_dir, tmp_path, "--preset", "credible", "--depth-prior", str(study))
    run_json(*command, "--json")
    assert read_corpus(tmp_path).manifest.provenance.depth_prior == DIGEST
    _, err = run(*search(model_dir, tmp_path, "--preset", "credible"), expect=2)
    assert "was started with depth_prior" in err


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (("--preset", "drllm"), "preset drllm makes no study that it could help"),
        (("--study", "{folder}"), "leave --depth-prior or --study out"),
    ],
)
def test_what_has_no_use_for_it_is_refused(
    model_dir: str, study: Path, tmp_path: Path, more: tuple[str, ...], complaint: str
) -> None:
    flags = [item.format(folder=tmp_path) for item in more]
    _, err = run(
        *search(model_dir, tmp_path / "run", "--depth-prior", str(study), *flags), expect=2
    )
    assert complaint in err


def test_a_study_of_another_model_or_none_is_no_prior(model_dir: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_depth_result(other, made_up_study(fingerprint="1"))
    for folder, complaint in ((other, "is a study of model tiny"), (tmp_path, "depth.json")):
        _, err = run(
            *("search-cluster", "scan", "--model", model_dir, "--task", "capitals", *LOCAL),
            *("--depth-prior", str(folder), "--run", str(tmp_path / "run")),
            expect=2,
        )
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1
        assert complaint in lines[0]
