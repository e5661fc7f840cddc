from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.router_corpus import fruit_example, fruit_task, record, tiny_loaded, write_corpus

from router_train.config import FitConfig
from router_train.data.labels import LabelSet
from router_train.data.operating_point import OperatingPoint
from router_train.routers.base import FitInputs
from router_train.routers.checkpoint import load_router
from router_train.routers.early_exit import training
from router_train.routers.early_exit.router import EarlyExitRouter, readings_of
from router_train.routers.early_exit.training import choose_exit, train_early_exit
from router_train.training.fit import fit
from search_cluster.corpus import task as corpus_task
from search_cluster.errors import ConfigError
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.selection import select_examples

NUM_LAYERS = 6
IDS = [5, 9, 12, 30, 7]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_loaded()


def planted(num_examples: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every question is decided at a depth of its own.

    From there on the readings are high and answers stay.
    """
    rng = np.random.default_rng(seed)
    decided = rng.integers(1, NUM_LAYERS, size=num_examples)
    late = np.arange(NUM_LAYERS) >= decided[:, None]
    readings = np.where(late, 0.8, 0.2)[..., None] + rng.normal(
        scale=0.1, size=(num_examples, NUM_LAYERS, 2)
    )
    final = rng.random(num_examples) < 0.7
    right = np.where(late, final[:, None], rng.random((num_examples, NUM_LAYERS)) < 0.1)
    return readings, right, np.arange(num_examples, dtype=np.uint64)


def test_a_planted_depth_is_found() -> None:
    readings, right, groups = planted(300, seed=1)
    router, point = train_early_exit(
        readings, right, groups, FitConfig(max_drop=1.0, floor_errors=0.0)
    )
    assert point.accuracy >= point.accuracy_plain - 0.01
    assert point.mean_layers < 5.0
    new_readings, new_right, _ = planted(500, seed=2)
    stops = []
    for row in torch.tensor(new_readings).float():
        sure = [
            layer for layer in range(5) if router.probability(layer, row[layer]) >= router.threshold
        ]
        stops.append(sure[0] if sure else 5)
    assert np.mean(stops) + 1 == pytest.approx(point.mean_layers, abs=0.3)
    assert new_right[np.arange(500), stops].mean() >= new_right[:, -1].mean() - 0.04


def test_readings_that_tell_nothing_never_break_the_floor() -> None:
    readings, right, groups = planted(300, seed=1)
    rng = np.random.default_rng(0)
    _, point = train_early_exit(rng.random(readings.shape), right, groups, FitConfig(max_drop=0.0))
    assert point.accuracy >= point.accuracy_plain
    assert point.mean_layers > 5.0


def test_the_first_sure_layer_stops() -> None:
    probability = np.array([[0.1, 0.9, 0.2, 0.0], [0.6, 0.1, 0.1, 0.0]])
    right = np.array([[0, 1, 0, 1], [1, 0, 0, 1]], dtype=bool)
    point = choose_exit(probability, right, FitConfig(max_drop=0.0, floor_errors=0.0))
    assert (point.accuracy, point.mean_layers) == (1.0, 1.5)
    assert choose_exit(probability, right, FitConfig(max_drop=-1.0)).mean_layers == 4.0


def test_readings_are_those_of_the_shortened_model(loaded: LoadedModel) -> None:
    readings = readings_of(loaded, IDS)
    for depth in range(NUM_LAYERS):
        view = materialise(loaded.model, LayerPath(tuple(range(depth + 1)), NUM_LAYERS))
        top = view(torch.tensor([IDS])).logits[0, -1].softmax(dim=-1).topk(2).values
        assert readings[depth].tolist() == pytest.approx(
            [float(top[0]), float(top[0] - top[1])], abs=1e-5
        )


@pytest.mark.parametrize(("stop", "num_layers_run"), [(0, 1), (3, 4), (5, 6)])
def test_the_path_ends_where_the_classifier_is_sure(
    loaded: LoadedModel, stop: int, num_layers_run: int
) -> None:
    bias = torch.full((NUM_LAYERS,), -5.0)
    bias[stop] = 5.0
    routed = EarlyExitRouter(torch.zeros(2), bias, 0.5).route(loaded, IDS, threshold=0.0)
    assert routed.path.layers == tuple(range(num_layers_run))
    assert routed.num_layer_tokens == 0  # its layers are those of the answer
    assert (
        EarlyExitRouter(torch.zeros(2), bias, 0.5)
        .route(loaded, IDS, threshold=1.0)
        .path.is_identity
    )


def test_no_fact_is_in_two_folds(
    tmp_path: Path, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = [replace(fruit_example(n), gold=f"fact {n // 2}") for n in range(60)]
    seen: list[np.ndarray] = []

    def train(
        readings_NL2: np.ndarray, right_NL: np.ndarray, groups_N: np.ndarray, config: FitConfig
    ) -> tuple[EarlyExitRouter, OperatingPoint]:
        seen.append(groups_N)
        return train_early_exit(readings_NL2, right_NL, groups_N, config)

    monkeypatch.setattr(training, "train_early_exit", train)
    inputs = FitInputs(
        labels=LabelSet(
            train=(), validation=(), num_layers=6, num_unsolved=0, num_unchanged=0,
            num_inexpressible=0, num_test=0,
        ),
        config=FitConfig(router="early-exit", train_limit=40),
        loaded=loaded,
        task=fruit_task(),
        curve_file=tmp_path / "curve.jsonl",
        examples=tuple(examples),
    )  # fmt: skip
    training.EarlyExitKind().fit(inputs)
    limited = select_examples(examples, 40, 0)
    (groups,) = seen
    facts = {example.gold: group for example, group in zip(limited, groups, strict=True)}
    assert len(set(facts.values())) == len(facts) < 40
    assert all(facts[item.gold] == group for item, group in zip(limited, groups, strict=True))


def test_a_saved_early_exit_chooses_as_before(
    tmp_path: Path, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_task, "get_task", lambda spec: fruit_task())
    records = [record(fruit_example(n), (1, 1, 1, 0, 0, 1)) for n in range(12)]
    corpus = write_corpus(tmp_path / "corpus", records, task=fruit_task())
    config = FitConfig(router="early-exit", max_drop=20.0)
    out = tmp_path / "routers" / "early-exit"
    meta = fit(corpus, out, config, lambda *_: loaded, task_spec=None, force=False).meta
    router, _ = load_router(out, loaded)
    assert isinstance(router, EarlyExitRouter)
    again = fit(
        corpus,
        tmp_path / "routers" / "again",
        config,
        lambda *_: loaded,
        task_spec=None,
        force=False,
    )
    assert again.meta.weights_sha256 == meta.weights_sha256
    path = router.route(loaded, IDS, threshold=0.0).path
    assert path.layers == tuple(range(len(path)))
    text = (out / "router.json").read_text()
    (out / "router.json").write_text(
        text.replace('"num_layers": 6,\n    "threshold"', '"num_layers": 7,\n    "threshold"')
    )
    with pytest.raises(ConfigError, match=r"weights .* do not fit its settings"):
        load_router(out, loaded)
