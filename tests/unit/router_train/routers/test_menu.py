from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit
from support.router_corpus import (
    fruit_example,
    fruit_task,
    record,
    tiny_loaded,
    write_corpus,
    write_table,
)

from router_train.config import FitConfig
from router_train.data.feature_store import stored_features
from router_train.data.path_table import VerdictTable, read_table
from router_train.data.prompt_states import prompt_features
from router_train.data.static_path import choose_static
from router_train.routers.checkpoint import load_router, read_meta
from router_train.routers.menu.router import MenuModel, MenuRouter, choose_path, confidences
from router_train.routers.menu.training import (
    choose_threshold,
    common_prefix,
    gain_targets,
    train_menu,
)
from router_train.training.fit import fit
from search_cluster.corpus import task as corpus_task
from search_cluster.corpus.reader import read_corpus
from search_cluster.errors import ConfigError, CorpusError
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.paths.layer_path import LayerPath

PATHS = (
    LayerPath.identity(6),
    LayerPath((0, 1, 2, 5), 6),
    LayerPath((0, 1, 3, 4, 5), 6),
)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_loaded()


def table(right_NK: np.ndarray, margin_NK: np.ndarray | None = None) -> VerdictTable:
    return VerdictTable(
        examples=tuple(fruit_example(n) for n in range(len(right_NK))),
        paths=PATHS,
        right_NK=right_NK.astype(bool),
        margin_NK=np.where(right_NK, 0.5, -0.5) if margin_NK is None else margin_NK,
    )


def planted(
    num_examples: int, seed: int, informative: bool = True
) -> tuple[np.ndarray, VerdictTable]:
    """Identity is right on 60 % of the questions.

    The larger the first entry, the likelier the short path is right.
    """
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(num_examples, 20))
    sign = features[:, 0] if informative else rng.normal(size=num_examples)
    identity = rng.random(num_examples) < 0.6
    short = np.where(
        rng.random(num_examples) < expit(3 * sign),
        True,
        identity & (rng.random(num_examples) < 0.2),
    )
    middle = rng.random(num_examples) < 0.3
    return features, table(np.stack([identity, short, middle], axis=1))


@pytest.mark.parametrize("loss", ["verdict", "margin"])
def test_a_planted_rule_is_learned_and_beats_every_single_path(loss: str) -> None:
    features, verdicts = planted(400, seed=1)
    config = FitConfig(loss=loss, aim="accuracy")
    model, point = train_menu(features, verdicts, config)
    best_static = verdicts.right_NK.mean(axis=0).max()
    assert point.accuracy > best_static + 0.05
    new_features, new = planted(2000, seed=2)
    router = MenuRouter(PATHS, model, 2, 1, point.threshold)
    choices = [
        router.choose(torch.from_numpy(row).float(), threshold=0.0).path for row in new_features
    ]
    right = [new.right_NK[row, PATHS.index(path)] for row, path in enumerate(choices)]
    assert np.mean(right) == pytest.approx(point.accuracy, abs=0.06)
    assert np.mean(right) > new.right_NK.mean(axis=0).max() + 0.05


def test_a_threshold_lets_its_own_step_pass_in_float32() -> None:
    right = np.zeros((20, 3))
    right[:, 1] = 1
    point = choose_threshold(
        np.tile([0.5, 0.7, 0.3], (20, 1)), table(right), FitConfig(aim="accuracy")
    )
    assert (point.accuracy, point.mean_layers) == (1.0, 4.0)
    rounded = float(np.float32(0.7))
    assert rounded < 0.7
    assert 0.69 < point.threshold < rounded


def test_confidence_is_calibrated_on_new_questions() -> None:
    features, verdicts = planted(600, seed=3)
    model, _ = train_menu(features, verdicts, FitConfig(loss="verdict"))
    new_features, new = planted(4000, seed=4)
    predicted = np.array([model.gains(row.astype(np.float32))[1:] for row in new_features])
    found = new.right_NK[:, 1:].astype(float) - new.right_NK[:, :1]
    for low, high in ((-1, -0.2), (-0.2, 0.2), (0.2, 1)):
        rows = (predicted >= low) & (predicted < high)
        assert rows.sum() > 100
        assert found[rows].mean() == pytest.approx(predicted[rows].mean(), abs=0.08)


def test_prompts_that_tell_nothing_keep_the_accuracy_floor() -> None:
    features, verdicts = planted(400, seed=5, informative=False)
    worse = table(verdicts.right_NK & np.array([True, False, True]))
    for floor in (0.5, -5.0):
        _, point = train_menu(features, worse, FitConfig(max_drop=floor, floor_errors=0.0))
        assert point.accuracy - point.accuracy_plain >= -floor / 100 or point.threshold == 1.0
        assert point.mean_layers > 5.5


def test_a_menu_that_knows_facts_by_heart_is_not_chosen() -> None:
    """Features tell the fact, and nothing of others; each fact is asked six times."""
    facts = np.arange(240) // 6
    rng = np.random.default_rng(0)
    lucky = rng.random(40) < 0.5
    right = np.stack([~lucky[facts], lucky[facts], np.zeros(240, dtype=bool)], axis=1)
    by_fact = replace(
        table(right),
        examples=tuple(
            replace(fruit_example(n), choices=(), gold=f"fact {n // 6}", gold_index=None)
            for n in range(240)
        ),
    )
    _, point = train_menu(10 * np.eye(40)[facts], by_fact, FitConfig(loss="verdict"))
    assert (point.mean_layers, point.accuracy) == (6.0, point.accuracy_plain)


def test_targets_by_hand() -> None:
    right = np.array([[1, 0, 1], [0, 1, 0]])
    margins = np.array([[0.4, -0.2, 0.8], [-0.4, 0.0, np.nan]])
    verdicts = table(right, margins)
    assert gain_targets(verdicts, "verdict").tolist() == [[0, -1, 0], [0, 1, 0]]
    soft = gain_targets(verdicts, "margin")
    assert soft[0] == pytest.approx([0, expit(-0.5) - expit(1), expit(2) - expit(1)])
    assert soft[1].tolist() == [0, 1, 0]  # a margin is missing: the verdicts count


def test_the_shortest_sure_path_is_chosen() -> None:
    lengths = np.array([6, 4, 5, 4])
    gains = np.array([0.0, -0.1, 0.2, 0.1])
    assert choose_path(confidences(gains), lengths, 0.0) == 3
    assert choose_path(confidences(gains), lengths, 0.58) == 2
    assert choose_path(confidences(gains), lengths, 0.7) == 0
    assert choose_path(confidences(np.array([0.0, 1.0, 1.0, 1.0])), lengths, 1.0) == 0


def test_common_prefix() -> None:
    assert common_prefix(PATHS) == 2
    assert common_prefix(PATHS[:1]) == 6
    assert common_prefix((PATHS[0], LayerPath((1, 2), 6))) == 0
    assert common_prefix((PATHS[0], LayerPath((0, 1, 2), 6))) == 3


def test_features_are_the_states_that_the_plain_model_has_there(loaded: LoadedModel) -> None:
    ids = [5, 9, 12, 30, 7]
    hidden = (
        materialise(loaded.model, LayerPath.identity(6))
        .model(torch.tensor([ids]), output_hidden_states=True)
        .hidden_states[2][0]
    )
    features = prompt_features(loaded, ids, 2, 1)
    torch.testing.assert_close(
        features, torch.cat([hidden.mean(dim=0), hidden[-1]]).detach(), atol=1e-5, rtol=1e-4
    )


def test_the_static_path_is_chosen_within_the_floor() -> None:
    right = np.zeros((100, 3))
    right[:50, 0] = right[:49, 1] = right[:55, 2] = 1
    verdicts = table(right)
    assert choose_static(verdicts, FitConfig(max_drop=1.0, floor_errors=0.0))[0] == PATHS[1]
    assert choose_static(verdicts, FitConfig(max_drop=0.5, floor_errors=0.0))[0] == PATHS[2]
    assert (
        choose_static(verdicts, FitConfig(max_drop=1.0, aim="accuracy", floor_errors=0.0))[0]
        == PATHS[2]
    )
    assert choose_static(verdicts, FitConfig(max_drop=-9.0, floor_errors=0.0))[0] == PATHS[0]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    records = [record(fruit_example(n), (1, 1, 1, 0, 0, 1)) for n in range(40)]
    folder = write_corpus(tmp_path / "corpus", records, task=fruit_task())
    rng = np.random.default_rng(0)
    write_table(folder, PATHS, rng.random((40, 3)) < np.array([0.5, 0.55, 0.4]))
    return folder


@pytest.fixture(autouse=True)
def _fruit_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_task, "get_task", lambda spec: fruit_task())


def test_a_saved_menu_router_chooses_as_before(
    corpus: Path, tmp_path: Path, loaded: LoadedModel
) -> None:
    config = FitConfig(router="menu", num_windows=2, max_drop=10.0)
    out = tmp_path / "routers" / "menu"
    outcome = fit(corpus, out, config, lambda *_: loaded, task_spec=None, force=False)
    router, meta = load_router(out, loaded)
    assert isinstance(router, MenuRouter)
    assert meta == outcome.meta
    assert meta.menu == tuple(map(str, PATHS))
    assert router.num_layers_read == 2
    assert router.settings()["threshold"] == meta.settings["threshold"]
    again = fit(
        corpus,
        tmp_path / "routers" / "again",
        config,
        lambda *_: loaded,
        task_spec=None,
        force=False,
    )
    assert again.meta.weights_sha256 == meta.weights_sha256
    assert len(list((tmp_path / "routers" / "features").iterdir())) == 1
    for ids in ([5, 6, 7], [9, 30, 31, 32]):
        routed = router.route(loaded, ids, threshold=0.0)
        gains = router.model.gains(prompt_features(loaded, ids, 2, 2).numpy())
        lengths = np.array([6, 4, 5])
        assert routed.path == PATHS[choose_path(confidences(gains), lengths, router.threshold)]
        is_prefix = routed.path.layers[:2] == (0, 1)
        assert routed.num_layer_tokens == (0 if is_prefix else 2 * len(ids))
        assert router.route(loaded, ids, threshold=1.0).path.is_identity


def test_a_damaged_menu_router_is_refused(
    corpus: Path, tmp_path: Path, loaded: LoadedModel
) -> None:
    out = tmp_path / "routers" / "menu"
    fit(corpus, out, FitConfig(router="menu"), lambda *_: loaded, task_spec=None, force=False)
    text = (out / "router.json").read_text()
    (out / "router.json").write_text(text.replace('"paths": "0-5;', '"paths": "0-5;0-4;'))
    with pytest.raises(ConfigError, match=r"weights .* do not fit its settings"):
        load_router(out, loaded)
    (out / "router.json").write_text(
        text.replace('"num_layers_read": 2', '"num_layers_read": "two"')
    )
    with pytest.raises(ConfigError, match="lack paths, sizes or the threshold"):
        load_router(out, loaded)


def test_static_and_menu_depend_on_the_table(
    corpus: Path, tmp_path: Path, loaded: LoadedModel
) -> None:
    out = tmp_path / "routers" / "static"
    config = FitConfig(router="static", aim="accuracy", floor_errors=0.0)
    first = fit(corpus, out, config, lambda *_: loaded, task_spec=None, force=False).meta
    verdicts = read_table(corpus, read_corpus(corpus))
    assert verdicts is not None
    assert first.settings["path"] == first.static_path == str(choose_static(verdicts, config)[0])
    assert first.metrics["validation_accuracy_routed"] == pytest.approx(
        verdicts.right_NK.mean(axis=0).max()
    )
    write_table(corpus, PATHS, np.ones((40, 3), dtype=bool))
    with pytest.raises(ConfigError, match="holds a router with table_digest"):
        fit(corpus, out, config, lambda *_: loaded, task_spec=None, force=False)
    (corpus / "menu.parquet").unlink()
    with pytest.raises(
        CorpusError, match="learns from the full path table, which the corpus lacks"
    ):
        fit(
            corpus,
            tmp_path / "m",
            FitConfig(router="menu"),
            lambda *_: loaded,
            task_spec=None,
            force=False,
        )
    common = fit(corpus, out, config, lambda *_: loaded, task_spec=None, force=True).meta
    assert (common.settings["path"], common.static_path, common.menu) == ("0-2,5", "", ())
    assert read_meta(out) == common


def test_a_table_of_another_corpus_or_of_few_questions_is_refused(
    corpus: Path, tmp_path: Path
) -> None:
    read = read_corpus(corpus)
    write_table(corpus, PATHS, np.ones((40, 3), dtype=bool), corpus_digest="0" * 64)
    with pytest.raises(CorpusError, match="belongs to a corpus with digest 0000"):
        read_table(corpus, read)
    write_table(corpus, PATHS, np.ones((9, 3), dtype=bool))
    with pytest.raises(
        CorpusError, match="has 9 questions that may teach; at least 10 different ones"
    ):
        read_table(corpus, read)


def test_a_menu_of_one_question_is_refused(
    corpus: Path, tmp_path: Path, loaded: LoadedModel
) -> None:
    config = FitConfig(router="menu", train_limit=1)
    with pytest.raises(CorpusError, match="1 questions of the path table can teach; a menu router"):
        fit(corpus, tmp_path / "menu", config, lambda *_: loaded, task_spec=None, force=False)


def test_a_limited_table_is_a_part_of_a_larger_one() -> None:
    _, verdicts = planted(60, seed=1)
    assert verdicts.limited(None, 0) is verdicts
    few, fewer = verdicts.limited(30, 0), verdicts.limited(12, 0)
    assert {e.example_id for e in fewer.examples} < {e.example_id for e in few.examples}
    places = [verdicts.examples.index(example) for example in few.examples]
    assert (few.right_NK == verdicts.right_NK[places]).all()
    assert few.digest != verdicts.digest


def test_features_are_computed_once_and_again_if_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def compute() -> dict[str, torch.Tensor]:
        calls.append(1)
        return {"x": torch.arange(6.0)}

    for key, expected in (({"a": 1}, 1), ({"a": 1}, 1), ({"a": 2}, 2)):
        assert stored_features(tmp_path, key, compute)["x"].tolist() == [0, 1, 2, 3, 4, 5]
        assert len(calls) == expected
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:20])
    stored_features(tmp_path, {"a": 1}, compute)
    assert len(calls) == 3
    assert "its features are computed again" in capsys.readouterr().err
    stored_features(None, {"a": 1}, compute)
    assert len(calls) == 4


def test_identity_has_no_gain() -> None:
    features, verdicts = planted(100, seed=1)
    model, _ = train_menu(features, verdicts, FitConfig())
    assert isinstance(model, MenuModel)
    assert all(model.gains(row.astype(np.float32))[0] == 0.0 for row in features[:5])
    only_identity = replace(
        verdicts,
        paths=PATHS[:1],
        right_NK=verdicts.right_NK[:, :1],
        margin_NK=verdicts.margin_NK[:, :1],
    )
    _, point = train_menu(features, only_identity, FitConfig())
    assert point.mean_layers == 6.0


def test_a_menu_router_chooses_alike_inside_the_prefill(loaded: LoadedModel) -> None:
    features, verdicts = planted(100, seed=1)
    model, _ = train_menu(np.tile(features[:, :16], 4), verdicts, FitConfig())
    router = MenuRouter(PATHS, model, 2, 1, 0.4)
    ids = [5, 9, 12, 30]
    routing = router.begin_routing(loaded, ids, threshold=0.0)
    assert next(routing) == (0, 1)
    states = (
        materialise(loaded.model, LayerPath.identity(6))
        .model(torch.tensor([ids]), output_hidden_states=True)
        .hidden_states[2][0]
    )
    with pytest.raises(StopIteration) as end:
        routing.send(states)
    routed = router.route(loaded, ids, threshold=0.0)
    assert end.value.value.path == routed.path
    assert end.value.value.confidence == pytest.approx(routed.confidence, abs=1e-5)
    assert (end.value.value.num_layer_tokens, routed.num_layer_tokens) == (0, 0)
