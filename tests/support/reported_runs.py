"""Corpora and evaluations to report on."""

from collections.abc import Callable
from typing import Any

import pytest

from search_cluster.corpus.manifest import Manifest, Provenance
from search_cluster.corpus.reader import Corpus
from search_cluster.corpus.record import ExampleRecord, PathFailure, PathVerdict
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

NUM_LAYERS = 4


def _tried(layers: tuple[int, ...], reward: float, output: str) -> PathVerdict:
    verdict = Verdict(reward=reward, margin=None, output=output, num_layer_tokens=len(layers))
    return PathVerdict(path=LayerPath(layers, NUM_LAYERS), verdict=verdict)


def _record(
    question: str,
    *,
    identity: float | None,
    best: tuple[int, ...] | None,
    output: str = "no",
    stop_reason: str = "budget",
) -> ExampleRecord:
    """An example with the reward of identity (``None``: it failed) and a right best path."""
    evaluated = [] if identity is None else [_tried((0, 1, 2, 3), identity, output)]
    found = [] if best is None else [_tried(best, 1.0, "yes")]
    failure = PathFailure(
        path=LayerPath.identity(NUM_LAYERS), kind="NonFiniteLogitsError", message="NaN"
    )
    return ExampleRecord(
        example=Example(task="t", question=question, gold="yes", split="train", source="s"),
        identity=None if identity is None else evaluated[0].verdict,
        evaluated=(*evaluated, *(item for item in found if not item.path.is_identity)),
        failures=() if identity is not None else (failure,),
        best=tuple(found),
        pareto=tuple(found),
        stop_reason=stop_reason,
    )


@pytest.fixture
def record() -> Callable[..., ExampleRecord]:
    return _record


@pytest.fixture
def records() -> list[ExampleRecord]:
    """Identity right on 2 of 5, a right path for 3; lengths of right best paths 3, 3, 5."""
    return [
        _record("fixed by a skip", identity=0.0, best=(0, 1, 3), stop_reason="improved"),
        _record("shortened", identity=1.0, best=(0, 2, 3), stop_reason="improved"),
        _record("right, by a longer path", identity=1.0, best=(0, 1, 1, 2, 3)),
        _record("never right", identity=0.0, best=None),
        _record("failed", identity=None, best=None, stop_reason="failed"),
    ]


@pytest.fixture
def corpus_of() -> Callable[[list[ExampleRecord]], Corpus]:
    def build(records: list[ExampleRecord]) -> Corpus:
        provenance = Provenance(
            model_spec="tiny",
            model_fingerprint="f" * 16,
            num_layers=NUM_LAYERS,
            dtype="float32",
            task="t",
            task_version="1",
            split="train",
            preset="drllm",
            seed=0,
            budget=50,
            leaves_per_round=4,
            limit=None,
            versions={"torch": "2"},
            created_at="2026-01-01T00:00:00+00:00",
        )
        manifest = Manifest(
            provenance=provenance,
            num_examples=len(records),
            num_paths=0,
            corpus_digest="d" * 64,
            shards=(),
            summary={},
        )
        return Corpus(manifest=manifest, records=tuple(records))

    return build


@pytest.fixture
def evaluation() -> Callable[..., dict[str, Any]]:
    """The keys that an evaluation must have, as changed by keyword."""

    def build(**changes: Any) -> dict[str, Any]:
        base = {
            "router": "drllm",
            "task": "t",
            "split": "test",
            "n": 100,
            "accuracy_plain": 0.6,
            "accuracy_plain_low": 0.5,
            "accuracy_plain_high": 0.7,
            "accuracy_routed": 0.62,
            "accuracy_routed_low": 0.52,
            "accuracy_routed_high": 0.71,
            "p_value": 0.5,
            "layers_plain": 4.0,
            "layers_routed": 3.25,
        }
        return base | changes

    return build
