"""A lens-exit router from the command line to a folder that transformers loads, on a tiny model."""

from pathlib import Path

import pytest
import torch
from support.router_cli import call, furnish, json_of
from transformers import AutoModelForCausalLM, AutoTokenizer

import router_train.auto  # noqa: F401 (registers the model type)
from router_train.inference.routed_model import RoutedModel
from router_train.routers.checkpoint import load_router
from router_train.routers.lens_exit.router import LensExitRouter
from search_cluster.model.load.loading import load_model
from search_cluster.model.materialise import materialise
from search_cluster.model.prompting import encode_prompt_text
from search_cluster.model.scoring import evaluate_path
from search_cluster.tasks.registry import get_task


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a task, a corpus, and a router that takes every exit that it can."""
    place = tmp_path_factory.mktemp("place")
    furnish(place)
    fitted = json_of(
        "fit", "--corpus", place / "corpus", "--router", "lens-exit", "--task", place / "fruit.py",
        "--max-drop", 100, "--floor-errors", 0, "--out", place / "router",
    )  # fmt: skip
    assert fitted["metrics_in_sample"] is True
    assert "out of fold" in str(fitted["metrics_judged_on"])
    return place


def test_evaluate_reads_through_the_lens(place: Path) -> None:
    options = ("--router", place / "router", "--task", place / "fruit.py", "--limit", 12)
    found = json_of("evaluate", *options)
    text = call("evaluate", *options).stdout
    assert "stand for what is read and crossed on the way (translators, " in text
    lengths = found["layers_per_question"]
    assert max(lengths) < 6  # type: ignore[call-overload]
    mean = sum(lengths) / 12  # type: ignore[call-overload]
    assert found["layers_reading"] > 0  # type: ignore[operator]
    assert found["layers_routed"] == pytest.approx(mean + found["layers_reading"])  # type: ignore[operator]
    loaded = load_model(str(place / "model"))
    router, _ = load_router(place / "router", loaded)
    assert isinstance(router, LensExitRouter)
    model, task = RoutedModel(loaded, router), get_task(str(place / "fruit.py"))
    right = []
    for example in task.load("test", None).examples:
        path = model.route_example(task, example).path
        verdict = evaluate_path(router.model_of(loaded), task, example, path)
        right.append(verdict.is_correct)
    everything = json_of("evaluate", *options[:4])
    assert everything["accuracy_routed"] == pytest.approx(sum(right) / len(right))


def test_an_export_answers_as_the_router_does(place: Path, tmp_path: Path) -> None:
    call("export", place / "router", "--out", tmp_path / "export")
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "export")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "export")
    ids = torch.tensor([tokenizer("what is the capital city of the number").input_ids])
    loaded = load_model(str(place / "model"))
    router, _ = load_router(place / "router", loaded)
    path = RoutedModel(loaded, router).route(ids[0].tolist()).path
    assert len(path) < 6
    assert isinstance(router, LensExitRouter)
    through = materialise(router.model_of(loaded).model, path)
    with torch.inference_mode():
        assert torch.allclose(exported(ids).logits, through(ids).logits, atol=1e-5)
    options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 8, "do_sample": False}
    assert torch.equal(exported.generate(ids, **options), through.generate(ids, **options))
    bare = materialise(loaded.model, path)
    assert not torch.equal(exported.generate(ids, **options), bare.generate(ids, **options))


def test_generate_answers_along_the_routers_path(place: Path) -> None:
    prompt = "Which fruit has number 1003?"
    found = json_of("generate", "--router", place / "router", "--prompt", prompt)
    loaded = load_model(str(place / "model"))
    router, _ = load_router(place / "router", loaded)
    path = RoutedModel(loaded, router).route(encode_prompt_text(loaded, prompt)).path
    assert found["path"] == list(path.layers)
    assert found["path"] == list(range(len(path)))


def test_tokens_that_stop_by_themselves_are_exported_and_shown(place: Path, tmp_path: Path) -> None:
    fitted = json_of(
        "fit", "--corpus", place / "corpus", "--router", "lens-exit", "--task", place / "fruit.py",
        "--max-drop", 100, "--floor-errors", 0, "--exit", "token", "--label", "final",
        "--path", "0-1,3-5", "--out", tmp_path / "router",
    )  # fmt: skip
    metrics = fitted["metrics"]
    assert metrics["tokens_mean_layers"] < 5  # type: ignore[index]
    prompt = "what is the capital city of the number"
    found = json_of(
        "generate", "--router", tmp_path / "router", "--prompt", prompt, "--max-new-tokens", 8
    )
    depths = found["token_depths"]
    assert set(depths) <= {3, 4, 5}  # type: ignore[call-overload]
    assert found["path"] == [0, 1, 3, 4, 5][: max(depths)]  # type: ignore[call-overload]
    call("export", tmp_path / "router", "--out", tmp_path / "export")
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "export")
    loaded = load_model(str(place / "model"))
    router, _ = load_router(tmp_path / "router", loaded)
    (answer,) = RoutedModel(loaded, router).answer([prompt], max_new_tokens=8)
    assert answer.text == found["text"]
    ids = torch.tensor([encode_prompt_text(loaded, prompt)])
    cache = RoutedModel(loaded, router).new_cache()
    done = exported.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False,
        past_key_values=cache,
    )  # fmt: skip
    assert tuple(done[0, ids.shape[1] :].tolist()) == answer.token_ids
    assert answer.work is not None
    assert tuple(stopped.depth for stopped in cache.exits[0]) == answer.work.depths
