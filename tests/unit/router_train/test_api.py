"""The Python interface of routers, on a tiny model that was really searched."""

from pathlib import Path

import pytest
import torch
from support import tiny

from router_train import api
from router_train.inference.model_choice import ModelChoice
from search_cluster.api import scan, search
from search_cluster.errors import ConfigError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.facts import facts_of
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import select_examples

QUICK = {"ray": "none", "redis_url": "none", "workers": 1}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.save_tiny_model(tmp_path_factory.mktemp("model")))


def test_a_corpus_becomes_a_router_that_is_judged_and_generates(model: str, tmp_path: Path) -> None:
    search(
        "capitals", run=tmp_path / "run", model=model, limit=16, budget=6, preset="drllm", **QUICK
    )  # type: ignore[arg-type]
    trained = api.train(tmp_path / "run", tmp_path / "router", router="static")
    assert not trained.already_finished
    assert api.train(tmp_path / "run", tmp_path / "router", router="static").already_finished
    judged = api.evaluate(tmp_path / "router", limit=4)
    assert (judged["router"], judged["n"], judged["task"]) == ("static", 4, "capitals")
    # What is common, and names no fact, is seen in the whole split, not in few of its questions.
    split = get_task("capitals").load("test", None).examples
    few = select_examples(split, 24, 0)
    told, told_by_few = (facts_of(questions) for questions in (split, few))
    number, by_few = (len({of[item.example_id] for item in few}) for of in (told, told_by_few))
    assert api.evaluate(tmp_path / "router", limit=24)["num_facts"] == number != by_few
    routed = api.RoutedModel.from_pretrained(tmp_path / "router", device="cpu")
    path = routed.route([1, 2, 3]).path
    assert str(path) == trained.meta.settings["path"]
    (answer,) = routed.answer(["one two"], max_new_tokens=3)
    assert answer.routed.path == path


def test_a_scan_becomes_a_router(model: str, tmp_path: Path) -> None:
    scan(
        "capitals", run=tmp_path / "scan", model=model, limit=16, max_block=1, grow=1,
        timings=False, **QUICK,
    )  # type: ignore[arg-type] # fmt: skip
    path = LayerPath((0, 1, 3, 4, 5), 6)
    api.of_scan(tmp_path / "scan", tmp_path / "router", path=str(path))
    routed = api.RoutedModel.from_pretrained(tmp_path / "router", model=model)
    with torch.inference_mode():
        assert routed.route([5, 6]).path == path


def test_a_folder_without_a_router_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="router"):
        api.RoutedModel.from_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="router"):
        api.evaluate(tmp_path, model=ModelChoice(device="cpu"))
