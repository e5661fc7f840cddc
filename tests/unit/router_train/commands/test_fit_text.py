"""What `router-train fit` says of a router: no accuracy is promised for unseen questions."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support.router_corpus import (
    fruit_example,
    fruit_task,
    record,
    tiny_loaded,
    write_corpus,
    write_table,
)

from router_train.commands.fit import _fit_text, _is_in_sample
from router_train.config import FitConfig
from router_train.routers.checkpoint import RouterMeta
from router_train.training.fit import fit
from search_cluster.corpus import task as corpus_task
from search_cluster.paths.layer_path import LayerPath

PATHS = [
    LayerPath.identity(6),
    LayerPath.from_decisions((1, 1, 0, 1, 1, 1)),
    LayerPath.from_decisions((1, 1, 1, 0, 1, 1)),
]


@pytest.fixture(autouse=True)
def _fruit_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_task, "get_task", lambda spec: fruit_task())


def fitted(tmp_path: Path, kind: str, *, with_table: bool) -> RouterMeta:
    """A router that was fitted to a corpus on which no path is better than another."""
    records = [record(fruit_example(n), (1, 1, 0, 1, 1, 1)) for n in range(40)]
    corpus = write_corpus(tmp_path / "corpus", records, task=fruit_task())
    if with_table:
        write_table(corpus, PATHS, np.random.default_rng(0).random((40, 3)) < 0.5)
    config = FitConfig(router=kind, epochs=1, bottleneck=4, num_windows=2, floor_errors=0.0)
    out = tmp_path / "routers" / kind
    return fit(corpus, out, config, lambda *_: tiny_loaded(), task_spec=None, force=False).meta


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("static", "on the questions that chose this path and whose corpus made the menu"),
        ("menu", "on the questions that chose the threshold and whose corpus made the menu"),
        ("early-exit", "on the questions that chose the threshold (probabilities"),
        ("drllm", "on the validation questions, which chose the epoch and the threshold"),
        ("polar", "on the validation questions, which chose the epoch and the threshold"),
    ],
)
def test_claims_what_fit_prints_is_called_in_sample(tmp_path: Path, kind: str, words: str) -> None:
    meta = fitted(tmp_path, kind, with_table=True)
    text = _fit_text(meta, tmp_path / "routers" / kind, "fruit")
    assert _is_in_sample(meta)
    for line in text.splitlines():
        if "accuracy" in line and "routed" in line:
            assert line.startswith("in-sample, ")
            assert f"{meta.metrics['validation_num_questions']:.0f} questions: " in line
    assert f"in-sample: {words}" in text
    assert "expect less on other questions, evaluate says how much" in text
    assert "next: router-train evaluate" in text


def test_claims_shares_of_labels_are_not_called_accuracies_of_answers(tmp_path: Path) -> None:
    meta = fitted(tmp_path, "static", with_table=False)
    text = _fit_text(meta, tmp_path / "routers" / "static", "fruit")
    assert not _is_in_sample(meta)
    assert "these are figures on labels, not answers" in text
    assert "routed" not in text


def test_claims_the_plain_model_as_a_router_promises_nothing(tmp_path: Path) -> None:
    meta = fitted(tmp_path, "identity", with_table=True)
    text = _fit_text(meta, tmp_path / "routers" / "identity", "fruit")
    assert "in-sample" not in text
    assert "accuracy" not in text


def test_claims_a_checkpoint_of_before_is_called_in_sample_too(tmp_path: Path) -> None:
    meta = fitted(tmp_path, "static", with_table=True)
    metrics = {
        name: value for name, value in meta.metrics.items() if not name.endswith("num_questions")
    }
    old = dataclasses.replace(meta, judged_on="", metrics=metrics)
    text = _fit_text(old, tmp_path / "routers" / "static", "fruit")
    assert "in-sample, accuracy " in text
    assert "in-sample: on questions that chose it; expect less on other questions" in text
