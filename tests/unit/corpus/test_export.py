"""The formats of other tools."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from search_cluster.corpus.export import export_decisions, export_parquet, export_polar
from search_cluster.corpus.manifest import Manifest
from search_cluster.corpus.reader import Corpus
from search_cluster.corpus.record import PathVerdict
from search_cluster.errors import CorpusError
from search_cluster.paths.layer_path import LayerPath


@pytest.fixture
def corpus(provenance, record) -> Corpus:
    def best(*paths: tuple[int, ...]) -> tuple[PathVerdict, ...]:
        verdict = record(0).best[0].verdict
        return tuple(PathVerdict(path=LayerPath(path, 6), verdict=verdict) for path in paths)

    records = (
        record(0),
        replace(record(1), best=()),
        replace(record(2), best=best((1, 0, 2), (0, 0, 0, 1), (0, 1, 2, 2, 5))),
        replace(record(3), identity=None, evaluated=(), best=(), stop_reason="failed"),
    )
    manifest = Manifest(
        provenance=provenance,
        num_examples=4,
        num_paths=9,
        corpus_digest="0" * 64,
        shards=(),
        summary={},
    )
    return Corpus(manifest=manifest, records=records)


def test_polar(corpus, tmp_path):
    out = tmp_path / "new folder" / "merged_mcts_samples.json"
    assert export_polar(corpus, out) == 4
    samples = json.loads(out.read_text())
    assert samples[0] == {
        "query_id": corpus.records[0].example.example_id,
        "question": "Capital of country 0?",
        "gt_ans": "Paris",
        "initial_score": 0.0,
        "final_valid_transitions": [[0, 1, 3, 4, 5]],
        "final_invalid_transitions": [[0, 1, 2, 2, 3, 4, 5]],
        "choices": ["Rome", "Paris", "Lyon"],
    }
    assert samples[3]["initial_score"] is None
    assert samples[3]["final_valid_transitions"] == samples[3]["final_invalid_transitions"] == []


def test_decisions_take_the_first_best_path_that_has_a_vector(corpus, tmp_path):
    out = tmp_path / "decisions.jsonl"
    assert export_decisions(corpus, out) == 2
    first, second = (json.loads(line) for line in out.read_text().splitlines())
    assert first["decisions"] == [1, 1, 0, 1, 1, 1]
    assert (first["question"], first["answer"]) == ("Capital of country 0?", "Paris")
    assert (first["identity_correct"], first["num_layers_run"], first["reward"]) == (False, 5, 1.0)
    assert second["decisions"] == [1, 1, 2, 0, 0, 1]


def test_parquet_has_a_row_per_path(corpus, tmp_path):
    out = tmp_path / "paths.parquet"
    assert export_parquet(corpus, out) == 9
    rows = pq.read_table(out).to_pylist()
    assert len(rows) == 9
    assert [row["is_identity"] for row in rows[:3]] == [True, False, False]
    assert rows[1] == {
        "example_id": corpus.records[0].example.example_id,
        "task": "capitals",
        "split": "train",
        "question": "Capital of country 0?",
        "gold": "Paris",
        "order_tried": 1,
        "path": [0, 1, 3, 4, 5],
        "num_layers_run": 5,
        "is_identity": False,
        "reward": 1.0,
        "margin": -0.5,
        "output": "Paris",
        "num_layer_tokens": 35,
        "best_rank": 0,
        "on_pareto_front": True,
        "credible": None,
    }


@pytest.fixture
def guarded(corpus, record, evidence) -> Corpus:
    """A corpus of one question: identity is wrong, and four other paths were tried.

    They are a credible one, a lucky one that was examined, a wrong one, and another lucky one.
    """
    first = record(0)
    paths = [item.path for item in first.evaluated]
    lucky, unexamined = (
        PathVerdict(path=LayerPath(layers, 6), verdict=first.best[0].verdict)
        for layers in ((0, 5), (5,))
    )
    found = replace(
        first,
        evaluated=(*first.evaluated[:2], lucky, *first.evaluated[2:], unexamined),
        evidence=(evidence(lucky.path, credible=False), evidence(paths[1], credible=True)),
        unguarded=(unexamined, lucky, *first.best),
    )
    provenance = replace(
        corpus.manifest.provenance,
        preset="credible",
        evidence="guide=3;verify=3;max_probe_drop=0.05",
    )
    return Corpus(manifest=replace(corpus.manifest, provenance=provenance), records=(found,))


def test_of_a_guarded_corpus_only_credible_paths_are_right_ones(guarded, tmp_path):
    export_polar(guarded, tmp_path / "polar.json")
    (sample,) = json.loads((tmp_path / "polar.json").read_text())
    assert sample["final_valid_transitions"] == [[0, 1, 3, 4, 5]]
    assert sample["final_invalid_transitions"] == [[0, 1, 2, 2, 3, 4, 5]]
    export_decisions(guarded, tmp_path / "decisions.jsonl")
    (line,) = (tmp_path / "decisions.jsonl").read_text().splitlines()
    assert json.loads(line)["decisions"] == [1, 1, 0, 1, 1, 1]


def test_the_flat_file_of_a_guarded_corpus_marks_credible_paths(guarded, tmp_path):
    export_parquet(guarded, tmp_path / "paths.parquet")
    marked = {
        tuple(row["path"]): row["credible"]
        for row in pq.read_table(tmp_path / "paths.parquet").to_pylist()
    }
    assert marked == {
        (0, 1, 2, 3, 4, 5): True,
        (0, 1, 3, 4, 5): True,
        (0, 5): False,
        (0, 1, 2, 2, 3, 4, 5): False,
        (5,): False,
    }


@pytest.mark.parametrize("export", [export_polar, export_decisions, export_parquet])
def test_an_export_that_cannot_be_written_leaves_nothing(corpus, tmp_path, export):
    out = tmp_path / "taken"
    out.mkdir()
    with pytest.raises(CorpusError, match=r"can't write .*taken: Is a directory"):
        export(corpus, out)
    assert list(tmp_path.iterdir()) == [Path(out)]
