"""The counts of the bench: an engine whose verdicts depend on their company is found out."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from support.model_doubles import CAPITAL, ChoiceTask, loaded_tiny

from search_cluster.bench import agreement
from search_cluster.bench.agreement import Agreement, Pair, compare_verdicts
from search_cluster.bench.config import EngineBenchConfig
from search_cluster.errors import NonFiniteLogitsError
from search_cluster.model.engine.executor import Outcome
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.verdict import Verdict

PATHS = [LayerPath((0, 1, 2, 3, 4, 5)[:length], 6) for length in range(1, 7)]
PAIRS: list[Pair] = [(CAPITAL, path) for path in PATHS]
NAN = LayerPath((5, 5), 6)


def verdict_of(path: LayerPath) -> Verdict:
    return Verdict(reward=1.0, margin=len(path) / 8, output="Paris", num_layer_tokens=len(path))


class Engine:
    """Says the same of a path in any company, unless ``spoil`` changes it."""

    num_tie_rechecks = 0
    recheck_seconds = 0.0
    batches: ClassVar[list[int]] = []

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def evaluate(self, pairs: Sequence[Pair]) -> list[Outcome]:
        Engine.batches.append(len(pairs))
        return [
            NonFiniteLogitsError("NaN") if path == NAN else self.spoil(verdict_of(path), place)
            for place, (_, path) in enumerate(pairs)
        ]

    @staticmethod
    def spoil(verdict: Verdict, place: int) -> Verdict:
        return verdict


@pytest.fixture(autouse=True)
def doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    Engine.batches = []
    monkeypatch.setattr(agreement, "PathExecutor", Engine)
    monkeypatch.setattr(agreement, "evaluate_alone", alone)
    monkeypatch.setattr(agreement, "evaluate_path", materialised)


def alone(loaded: object, task: object, example: object, path: LayerPath) -> Outcome:
    return NonFiniteLogitsError("NaN") if path == NAN else verdict_of(path)


def materialised(loaded: object, task: object, example: object, path: LayerPath) -> Verdict:
    if path == NAN:
        raise NonFiniteLogitsError("inf")
    changed: dict[str, Any] = {"margin": len(path) / 8 + 0.01 * len(path)}
    return replace(verdict_of(path), **changed)


def compared(pairs: Sequence[Pair] = PAIRS, **settings: int) -> Agreement:
    config = EngineBenchConfig(num_verdicts=1000, **settings)  # type: ignore[arg-type]
    return compare_verdicts(loaded_tiny(), ChoiceTask(), pairs, config, random.Random(0))


def test_an_engine_that_knows_no_company_flips_nothing() -> None:
    found = compared([*PAIRS, (CAPITAL, NAN)])
    assert (found.verdicts, found.verdict_flips, found.references) == (1000, 0, 7)
    assert found.materialised_agreement == 1.0
    assert found.max_margin_difference == pytest.approx(0.06)
    assert sum(Engine.batches) == 1000
    assert min(Engine.batches) < 8 < 64 < max(Engine.batches) <= 512


@pytest.mark.parametrize(
    "change",
    [{"margin": 0.5000000001}, {"reward": 0.0}, {"output": "Rome"}, {"num_layer_tokens": 9}],
)
def test_whatever_differs_in_company_is_a_flip(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Engine,
        "spoil",
        lambda self, verdict, place: replace(verdict, **change) if place else verdict,
    )
    found = compared()
    assert found.verdict_flips == 1000 - len(Engine.batches), "all but the first of each batch"
    assert found.materialised_agreement == 1.0


def test_no_more_references_are_asked_than_there_shall_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        agreement, "evaluate_path", lambda *args: replace(materialised(*args), output="Bonn")
    )
    found = compared(num_references=4)
    assert (found.references, found.materialised_agreement) == (4, 0.0)
    assert found.max_margin_difference == 0.0
