import hashlib
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.router_corpus import fruit_example, fruit_task, tiny_loaded, verdict

from router_train.evaluation.verdict_db import VerdictDb
from search_cluster.errors import NonFiniteLogitsError
from search_cluster.model.engine.executor import Outcome
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import PROMPTING_VERSION
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task

IDENTITY, SHORT = LayerPath.identity(6), LayerPath((0, 1, 5), 6)


class Engine:
    """An engine that is right on identity, and gives no number on the short path the first time."""

    def __init__(self) -> None:
        self.asked: list[tuple[Example, LayerPath]] = []

    def evaluate(self, requests: Sequence[tuple[Example, LayerPath]]) -> list[Outcome]:
        failing = not self.asked
        self.asked += requests
        return [
            NonFiniteLogitsError("NaN") if failing and path == SHORT else verdict(path == IDENTITY)
            for _, path in requests
        ]


def opened(
    folder: Path, engine: Engine, loaded: LoadedModel, task: Task, tie_threshold: float = 0.0
) -> VerdictDb:
    file = folder / "deep" / "verdicts.sqlite"
    return VerdictDb(file, engine, loaded, task, tie_threshold=tie_threshold)


def test_each_pair_is_computed_once_and_failures_are_tried_again(tmp_path: Path) -> None:
    loaded, task, engine = tiny_loaded(), fruit_task(), Engine()
    first, second = fruit_example(0), fruit_example(1)
    requests = [(first, IDENTITY), (second, SHORT), (first, IDENTITY)]
    with opened(tmp_path, engine, loaded, task) as known:
        outcomes = known.evaluate(requests)
        assert outcomes[0] == outcomes[2] == verdict(True)
        assert isinstance(outcomes[1], NonFiniteLogitsError)
        assert engine.asked == requests[:2]
    with opened(tmp_path, engine, loaded, task) as known:
        assert known.evaluate(requests) == [verdict(True), verdict(False), verdict(True)]
        assert known.evaluate(requests)[1] == verdict(False)
    assert engine.asked == [*requests[:2], requests[1]]


def test_another_model_or_task_knows_nothing(tmp_path: Path) -> None:
    loaded, task, engine = tiny_loaded(), fruit_task(), Engine()
    contexts = [
        (loaded, task),
        (replace(loaded, fingerprint="0" * 32), task),
        (loaded, replace(task, version="2")),
    ]
    for number, (model, asked_task) in enumerate(contexts, start=1):
        with opened(tmp_path, engine, model, asked_task) as known:
            known.evaluate([(fruit_example(0), IDENTITY)])
        assert len(engine.asked) == number


def test_other_arithmetic_knows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, task, engine = tiny_loaded(), fruit_task(), Engine()
    narrow = replace(loaded, dtype="bfloat16")
    requests = [(fruit_example(0), IDENTITY)]

    def num_asked(model: LoadedModel, tie_threshold: float = 0.0) -> int:
        before = len(engine.asked)
        with opened(tmp_path, engine, model, task, tie_threshold) as known:
            known.evaluate(requests)
        return len(engine.asked) - before

    assert [num_asked(loaded, 5e-4), num_asked(loaded), num_asked(narrow)] == [1, 1, 1]
    assert [num_asked(loaded, 5e-4), num_asked(loaded), num_asked(narrow)] == [0, 0, 0]
    monkeypatch.setattr("torch.__version__", "99.0")
    assert [num_asked(loaded), num_asked(narrow)] == [0, 1]


def test_the_file_of_a_former_version_is_read_by_an_engine_that_rechecks_as_it_did(
    tmp_path: Path,
) -> None:
    loaded, task, engine = tiny_loaded(), fruit_task(), Engine()
    parts = [loaded.fingerprint, task.name, task.version, PROMPTING_VERSION, "1", 5e-4]
    context = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    with opened(tmp_path, engine, loaded, task, 5e-4) as known:
        known.evaluate([(fruit_example(0), IDENTITY)])
    with closing(sqlite3.connect(tmp_path / "deep" / "verdicts.sqlite")) as database:
        assert database.execute("SELECT context FROM verdicts").fetchall() == [(context,)]
