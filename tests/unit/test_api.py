"""The Python interface: real searches and scans of a tiny model, and tables of what they found."""

from dataclasses import replace
from pathlib import Path

import pytest
from support import tiny

from search_cluster import api
from search_cluster.corpus.manifest import MANIFEST_NAME
from search_cluster.errors import ConfigError, CorpusError
from search_cluster.tree.presets.credible import CREDIBLE
from search_cluster.tree.presets.registry import PRESETS

QUICK = {"ray": "none", "redis_url": "none", "workers": 1}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.save_tiny_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def found(model: str, tmp_path_factory: pytest.TempPathFactory) -> api.SearchedCorpus:
    return api.search(
        "capitals", run=tmp_path_factory.mktemp("a") / "run", model=model, limit=3, budget=4,
        preset="drllm", **QUICK,
    )  # fmt: skip


@pytest.fixture(scope="module")
def scanned(model: str, tmp_path_factory: pytest.TempPathFactory) -> api.FinishedScan:
    return api.scan(
        "capitals", run=tmp_path_factory.mktemp("b") / "run", model=model, limit=16, max_block=1,
        grow=1, timings=False, **QUICK,
    )  # fmt: skip


def test_a_corpus_has_a_row_for_each_path_that_ran(found: api.SearchedCorpus) -> None:
    paths = found.paths()
    assert len(paths) == sum(len(record.evaluated) for record in found.corpus.records)
    assert paths["is_identity"].sum() == 3
    assert set(paths[paths["is_identity"]]["layers"]) == {6}
    assert paths["is_correct"].mean() == pytest.approx(paths["reward"].mean())
    assert found.summary["examples"] == 3


def test_a_corpus_is_a_data_set(found: api.SearchedCorpus) -> None:
    rows = found.dataset()
    assert rows.num_rows == 3
    assert set(rows["example_id"]) == set(found.paths()["example_id"])


def test_a_finished_corpus_is_opened_and_reported(found: api.SearchedCorpus) -> None:
    again = api.open_corpus(found.folder)
    assert again.corpus == found.corpus
    assert again.report().is_file()


def test_a_scan_has_tables_and_a_map(scanned: api.FinishedScan) -> None:
    candidates = scanned.candidates()
    assert len(candidates) == scanned.result.num_candidates
    assert set(candidates["layers"]) == {5, 7}
    finalists = scanned.finalists()
    assert {"train", "validation", "test"} >= set(finalists["split"])
    assert scanned.answers().num_rows >= 16 * len(candidates)
    assert scanned.plot().data
    assert scanned.path == scanned.result.chosen
    assert scanned.sentence
    assert api.open_scan(scanned.folder) == scanned


def test_an_unknown_setting_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no setting 'limits'; .*; did you mean limit\?"):
        api.search("capitals", run=tmp_path, limits=3)
    with pytest.raises(ConfigError, match=r"no setting 'budgett'"):
        api.scan("capitals", run=tmp_path, budgett=3)


def test_a_folder_without_a_corpus_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"has no manifest\.json"):
        api.open_corpus(tmp_path)
    with pytest.raises(CorpusError, match="scan"):
        api.open_scan(tmp_path)


def test_a_run_of_a_former_rule_goes_on_with_it(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version whose `credible` allowed paths to be 5 points rarer right began it."""
    assert CREDIBLE.evidence is not None
    former = replace(CREDIBLE, evidence=replace(CREDIBLE.evidence, max_probe_drop=0.05))
    asked = {"model": model, "preset": "credible", "limit": 8, "budget": 40, **QUICK}
    with monkeypatch.context() as patched:
        patched.setitem(PRESETS, "credible", former)
        begun = api.search("capitals", run=tmp_path / "run", **asked)  # type: ignore[arg-type]
    (tmp_path / "run" / MANIFEST_NAME).unlink()  # as an interrupt before the end leaves it
    again = api.search("capitals", run=tmp_path / "run", **asked)  # type: ignore[arg-type]
    assert again.corpus.manifest.corpus_digest == begun.corpus.manifest.corpus_digest
    assert "max_probe_drop=0.05" in again.corpus.manifest.provenance.evidence
    new = api.search("capitals", run=tmp_path / "new", **asked)  # type: ignore[arg-type]
    assert "max_probe_drop=0.04" in new.corpus.manifest.provenance.evidence
