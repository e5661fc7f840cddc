from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from support.router_corpus import fruit_example, fruit_task, tiny_loaded, verdict

from router_train.evaluation.verdict_db import VerdictDb
from search_cluster.errors import NonFiniteLogitsError
from search_cluster.model.engine.executor import Outcome
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example

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


def test_each_pair_is_computed_once_and_failures_are_tried_again(tmp_path: Path) -> None:
    loaded, task, engine = tiny_loaded(), fruit_task(), Engine()
    first, second = fruit_example(0), fruit_example(1)
    requests = [(first, IDENTITY), (second, SHORT), (first, IDENTITY)]
    with VerdictDb(tmp_path / "deep" / "verdicts.sqlite", engine, loaded, task) as known:
        outcomes = known.evaluate(requests)
        assert outcomes[0] == outcomes[2] == verdict(True)
        assert isinstance(outcomes[1], NonFiniteLogitsError)
        assert engine.asked == requests[:2]
    with VerdictDb(tmp_path / "deep" / "verdicts.sqlite", engine, loaded, task) as known:
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
        with VerdictDb(tmp_path / "verdicts.sqlite", engine, model, asked_task) as known:
            known.evaluate([(fruit_example(0), IDENTITY)])
        assert len(engine.asked) == number
