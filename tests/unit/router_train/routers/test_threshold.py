from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from support.router_corpus import fruit_example, fruit_task, record, tiny_loaded, write_corpus

from router_train.config import FitConfig
from router_train.data.labels import read_labels
from router_train.routers.base import FitInputs, RoutedPath
from router_train.routers.threshold import THRESHOLDS, tune_threshold, validation_examples
from search_cluster.corpus.reader import read_corpus
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath

EXAMPLES = [fruit_example(number) for number in range(24)]
IDENTITY = LayerPath.identity(6)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_loaded()


@dataclass(frozen=True)
class OneShortPath:
    """A router that is sure of one path up to a threshold, and takes the plain one otherwise."""

    path: LayerPath
    sure: float

    def route(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> RoutedPath:
        path = self.path if self.sure >= threshold else IDENTITY
        return RoutedPath(path=path, confidence=self.sure, num_fallbacks=0, num_layer_tokens=0)

    def settings(self) -> dict[str, int | float | str]:
        return {}

    def tensors(self) -> dict[str, torch.Tensor]:
        return {}


def accuracy(loaded: LoadedModel, path: LayerPath) -> float:
    return sum(
        evaluate_path(loaded, fruit_task(), example, path).is_correct for example in EXAMPLES
    ) / len(EXAMPLES)


def test_the_threshold_meets_the_floor(loaded: LoadedModel) -> None:
    paths = [
        LayerPath(tuple(layer for layer in range(6) if layer != skipped), 6) for skipped in range(6)
    ]
    plain = accuracy(loaded, IDENTITY)
    drops = {path: 100 * (plain - accuracy(loaded, path)) for path in paths}
    worst = max(paths, key=drops.__getitem__)
    assert drops[worst] > 0, (
        "a tiny random model that every path improves tests nothing: take another seed"
    )
    router = OneShortPath(worst, sure=0.8)
    for max_drop, expected in ((drops[worst] + 0.1, worst), (drops[worst] - 0.1, IDENTITY)):
        point = tune_threshold(
            router, loaded, fruit_task(), EXAMPLES, FitConfig(max_drop=max_drop, floor_errors=0.0)
        )
        assert router.route(loaded, [1], threshold=point.threshold).path == expected
        assert point.threshold in THRESHOLDS
        assert point.accuracy == pytest.approx(accuracy(loaded, expected))
        assert point.accuracy_plain == pytest.approx(plain)
        assert point.mean_layers == len(expected)


def test_unsolved_questions_validate_too(tmp_path: Path) -> None:
    solved = [record(fruit_example(n), (1, 0, 1, 1, 1, 1)) for n in range(40)]
    unsolved = [record(fruit_example(n)) for n in range(40, 80)]
    corpus = read_corpus(write_corpus(tmp_path, [*solved, *unsolved], task=fruit_task()))
    config = FitConfig(validation_share=0.3)
    labels = read_labels(corpus, config)
    inputs = FitInputs(
        labels=labels,
        config=config,
        loaded=None,
        task=fruit_task(),
        curve_file=tmp_path / "curve.jsonl",
        examples=tuple(item.example for item in corpus.records),
    )
    ids = {example.example_id for example in validation_examples(inputs)}
    assert ids >= {label.example.example_id for label in labels.validation}
    assert ids.isdisjoint(label.example.example_id for label in labels.train)
    assert len(ids & {item.example.example_id for item in unsolved}) > 4


def test_no_fact_that_teaches_chooses_the_threshold(tmp_path: Path) -> None:
    """Each of 40 facts is asked six times; of half of the questions no path is right."""
    examples = [
        replace(fruit_example(n), choices=(), gold=f"fact {n // 6}", gold_index=None)
        for n in range(240)
    ]
    records = [record(item, *([(1, 0, 1, 1, 1, 1)] * (n % 2))) for n, item in enumerate(examples)]
    corpus = read_corpus(write_corpus(tmp_path, records, task=fruit_task()))
    config = FitConfig(validation_share=0.3)
    inputs = FitInputs(
        labels=read_labels(corpus, config),
        config=config,
        loaded=None,
        task=fruit_task(),
        curve_file=tmp_path / "curve.jsonl",
        examples=tuple(examples),
    )
    chosen = validation_examples(inputs)
    taught = {label.example.gold for label in inputs.labels.train}
    assert taught.isdisjoint(example.gold for example in chosen)
    assert len(chosen) == 6 * (40 - len(taught)) > 0
