import dataclasses
import json
from pathlib import Path

import pytest
import torch
from support.router_corpus import fruit_example, fruit_task, record, tiny_loaded, write_corpus

from router_train.config import FitConfig
from router_train.inference.routed_model import RoutedModel
from router_train.routers.checkpoint import META_NAME, WEIGHTS_NAME, load_router, read_meta
from router_train.routers.drllm.router import DrLLMRouter
from router_train.training import fit as fit_module
from router_train.training.fit import FitOutcome, fit
from search_cluster.corpus import task as corpus_task
from search_cluster.errors import ConfigError, ModelError
from search_cluster.model.loaded import LoadedModel

CONFIG = FitConfig(epochs=3, bottleneck=8, num_windows=4)
ADDED_LATER = ("exit_by", "exit_path", "sources", "learn", "text", "text_tokens")
"""Settings that descriptions of former versions do not have."""
DECISIONS = ((1, 0, 1, 1, 1, 1), (1, 1, 2, 1, 0, 1), (1, 1, 1, 1, 1, 1))


@pytest.fixture(autouse=True)
def _fruit_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_task, "get_task", lambda spec: fruit_task())


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_loaded()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    records = [record(fruit_example(n), DECISIONS[n % 3]) for n in range(18)]
    return write_corpus(tmp_path / "corpus", records, task=fruit_task())


def train(
    corpus: Path,
    out: Path,
    loaded: LoadedModel | None,
    config: FitConfig = CONFIG,
    *,
    force: bool = False,
) -> FitOutcome:
    def load(spec: str, dtype: str, chat: str) -> LoadedModel:
        assert loaded is not None, "this run must not load a model"
        assert (spec, dtype, chat) == ("tiny", "float32", "auto")
        return loaded

    return fit(corpus, out, config, load, task_spec=None, force=force)


def test_a_saved_router_chooses_as_before(
    corpus: Path, tmp_path: Path, loaded: LoadedModel
) -> None:
    outcome = train(corpus, tmp_path / "router", loaded)
    assert not outcome.already_finished
    router, meta = load_router(tmp_path / "router", loaded)
    assert meta == outcome.meta
    assert isinstance(router, DrLLMRouter)
    sizes = {"num_layers": 6, "width": 32, "bottleneck": 8, "num_windows": 4}
    assert router.settings() == {**sizes, "threshold": router.threshold}
    assert router.threshold == meta.metrics["threshold"]
    again = train(corpus, tmp_path / "again", loaded)
    assert again.meta.weights_sha256 == meta.weights_sha256
    twin, _ = load_router(tmp_path / "again", loaded)
    examples = [fruit_example(n) for n in range(30, 40)]
    paths = [
        RoutedModel(loaded, model).route_example(fruit_task(), e)
        for model in (router, twin)
        for e in examples
    ]
    assert paths[:10] == paths[10:]
    assert all(
        bool((router.tensors()[name] == tensor).all()) for name, tensor in twin.tensors().items()
    )


def test_the_description_says_where_a_router_comes_from(
    corpus: Path, tmp_path: Path, loaded: LoadedModel
) -> None:
    meta = train(corpus, tmp_path / "router", loaded).meta
    manifest = json.loads((corpus / "manifest.json").read_text())
    assert meta.inputs.corpus_digest == manifest["corpus_digest"]
    assert meta.inputs.model_fingerprint == loaded.fingerprint
    assert (meta.inputs.task, meta.preset, meta.search_seed, meta.model_spec) == (
        "fruit",
        "drllm",
        0,
        "tiny",
    )
    assert meta.num_train + meta.num_validation == 18
    assert sum(meta.class_counts) == 6 * meta.num_train
    assert set(meta.versions) == {"search-cluster", "torch", "transformers", "python"}
    assert 0 <= meta.metrics["validation_accuracy"] <= 1


def test_finished_training_is_not_repeated(
    corpus: Path, tmp_path: Path, loaded: LoadedModel
) -> None:
    first = train(corpus, tmp_path / "router", loaded)
    again = train(corpus, tmp_path / "router", None)
    assert again == FitOutcome(meta=first.meta, already_finished=True)
    with pytest.raises(
        ConfigError, match="holds a router with epochs 3, and this run has 4; choose another --out"
    ):
        train(corpus, tmp_path / "router", None, dataclasses.replace(CONFIG, epochs=4))
    forced = train(
        corpus, tmp_path / "router", loaded, dataclasses.replace(CONFIG, seed=1), force=True
    )
    assert forced.meta.weights_sha256 != first.meta.weights_sha256


def test_interrupted_training_leaves_no_checkpoint(
    corpus: Path, tmp_path: Path, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(corpus, tmp_path / "router", loaded)

    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fit_module, "save_weights", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(corpus, tmp_path / "router", loaded, force=True)
    with pytest.raises(ConfigError, match=r"holds no router\.json; train a router first"):
        read_meta(tmp_path / "router")
    assert not train(corpus, tmp_path / "router", loaded).already_finished


def test_a_finished_router_without_its_weights_is_not_called_finished(
    corpus: Path, tmp_path: Path, loaded: LoadedModel
) -> None:
    train(corpus, tmp_path / "router", loaded)
    (tmp_path / "router" / "router.safetensors").write_bytes(b"half")
    with pytest.raises(
        ConfigError,
        match=r"not the file that router\.json names; fit the router again with --force",
    ):
        train(corpus, tmp_path / "router", loaded)
    assert not train(corpus, tmp_path / "router", loaded, force=True).already_finished


def test_another_model_is_refused(corpus: Path, tmp_path: Path, loaded: LoadedModel) -> None:
    other = tiny_loaded(fingerprint="0" * 32)
    with pytest.raises(
        ModelError, match=f"searched with model 'tiny' .*{'f' * 32}.*has fingerprint {'0' * 32}"
    ):
        train(corpus, tmp_path / "router", other)
    train(corpus, tmp_path / "router", loaded)
    with pytest.raises(
        ModelError, match=f"trained for model 'tiny' .*{'f' * 32}.*has fingerprint {'0' * 32}"
    ):
        load_router(tmp_path / "router", other)


def test_a_changed_task_is_refused(
    corpus: Path, tmp_path: Path, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        corpus_task, "get_task", lambda spec: dataclasses.replace(fruit_task(), version="2")
    )
    with pytest.raises(
        ConfigError, match="task fruit has version 2, the corpus was searched with version"
    ):
        train(corpus, tmp_path / "router", loaded)


def test_damage_is_found(corpus: Path, tmp_path: Path, loaded: LoadedModel) -> None:
    folder = tmp_path / "router"
    meta_file, weights_file = folder / META_NAME, folder / WEIGHTS_NAME
    train(corpus, folder, loaded)
    text, weights = meta_file.read_text(), weights_file.read_bytes()

    weights_file.write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(ConfigError, match=r"router\.safetensors is missing or not the file"):
        load_router(folder, loaded)
    weights_file.write_bytes(weights)
    for damaged, complaint in (
        (text[:-20], "the text"),
        (text.replace('"num_layers": 6,', '"num_layers": "six",', 1), "num_layers"),
        (text.replace('"schema": 1', '"schema": 2'), "has schema 2"),
    ):
        meta_file.write_text(damaged)
        with pytest.raises(ConfigError, match=complaint):
            load_router(folder, loaded)
    settings = text.replace('"width": 32', '"width": 16')
    meta_file.write_text(settings)
    with pytest.raises(ConfigError, match="the router's weights do not fit its settings"):
        load_router(folder, loaded)


def test_a_description_without_later_settings_is_that_of_their_defaults(
    corpus: Path, tmp_path: Path, loaded: LoadedModel
) -> None:
    folder = tmp_path / "router"
    meta = train(corpus, folder, loaded).meta
    description = json.loads((folder / META_NAME).read_text())
    for name in ADDED_LATER:
        del description["inputs"]["config"][name]
    (folder / META_NAME).write_text(json.dumps(description))
    assert load_router(folder, loaded)[1] == meta
    assert train(corpus, folder, None).already_finished


def test_kinds_without_weights_round_trip(
    corpus: Path, tmp_path: Path, loaded: LoadedModel
) -> None:
    for kind in ("identity", "static"):
        outcome = train(corpus, tmp_path / kind, None, FitConfig(router=kind))
        router, meta = load_router(tmp_path / kind, loaded)
        assert meta.kind == kind
        assert router.settings() == outcome.meta.settings
        assert router.tensors() == {}
    assert (
        load_router(tmp_path / "identity", loaded)[0]
        .route(loaded, [5], threshold=0.0)
        .path.is_identity
    )


def test_training_does_not_change_the_model(corpus: Path, tmp_path: Path) -> None:
    loaded = tiny_loaded()
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    train(corpus, tmp_path / "router", loaded)
    after = loaded.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())


@pytest.mark.parametrize("kind", ["identity", "static", "drllm"])
@pytest.mark.parametrize("finished", [False, True])
def test_identity_of_a_model_that_the_user_names_is_checked_by_every_router(
    corpus: Path, tmp_path: Path, loaded: LoadedModel, kind: str, finished: bool
) -> None:
    config = dataclasses.replace(CONFIG, router=kind)
    out = tmp_path / "router"
    if finished:
        train(corpus, out, loaded, config)
    other = dataclasses.replace(loaded, fingerprint="0" * 32)
    with pytest.raises(ModelError, match=r"searched with model 'tiny' .* fingerprint 0{32}"):
        fit(
            corpus,
            out,
            config,
            lambda spec, dtype, chat: other,
            task_spec=None,
            force=False,
            check_model=True,
        )
