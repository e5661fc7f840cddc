"""A shortcut router from the command line to a folder that transformers loads, on a tiny model."""

import json
from pathlib import Path

import pytest
import torch
from support.router_cli import call, furnish, json_of
from transformers import AutoModelForCausalLM, AutoTokenizer

import router_train.auto  # noqa: F401 (registers the model type)
from router_train.routers.checkpoint import load_router
from router_train.routers.shortcut.router import ShortcutRouter
from search_cluster.model.load.loading import load_model
from search_cluster.model.materialise import materialise
from search_cluster.model.scoring import evaluate_path
from search_cluster.model.shortcut.shortcut import shortcut_cost
from search_cluster.tasks.registry import get_task

PATH = "0-1,3-5"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a task, a corpus, and a shortcut router of a path without one layer."""
    place = tmp_path_factory.mktemp("place")
    furnish(place)
    (place / "text.txt").write_text("what is the capital city of the number question? " * 60)
    fit(place, "router")
    return place


def fit(place: Path, name: str, *options: object) -> dict[str, object]:
    return json_of(
        "fit", "--corpus", place / "corpus", "--router", "shortcut", "--task", place / "fruit.py",
        "--path", PATH, "--sources", "1,3,4", "--text", place / "text.txt", "--lr", 0.01,
        "--epochs", 4, "--out", place / name, *options,
    )  # fmt: skip


def test_the_same_fit_gives_the_same_bytes(place: Path) -> None:
    fit(place, "again")
    for name in ("router.safetensors", "shortcut.json", "shortcut.html", "curve.jsonl"):
        assert (place / "again" / name).read_bytes() == (place / "router" / name).read_bytes()
    fit(place, "other", "--seed", 1)
    assert (place / "other" / "router.safetensors").read_bytes() != (
        place / "router" / "router.safetensors"
    ).read_bytes()


def test_a_fit_says_what_stands_beside_it(place: Path) -> None:
    found = json.loads((place / "router" / "shortcut.json").read_text())
    names = [row["name"] for row in found["readouts"]]
    assert names[:3] == ["path alone", "shortcut", "linear map"]
    assert names[3].endswith(" alone")
    assert names[4:] == ["constant mix", "ridge bridge", "full model"]
    by_name = dict(zip(names, found["readouts"], strict=True))
    assert by_name["full model"]["kl_to_full"] == pytest.approx(0, abs=1e-6)
    assert by_name["path alone"]["kl_to_full"] > 1e-4
    assert {row["n"] for row in found["readouts"]} == {by_name["shortcut"]["n"]}
    assert by_name["shortcut"]["minus_path_alone"]["accuracy"]["low"] < 1
    assert "shortcut_minus_it" in by_name["linear map"]
    assert by_name["shortcut"]["texts"]["n"] > 0
    groups = {row["by"] for row in found["attention"]["rows"]}
    assert groups == {"all", "token class", "place"}
    for row in found["attention"]["rows"]:
        assert sum(row["share"]) == pytest.approx(1, abs=1e-5)
    page = (place / "router" / "shortcut.html").read_text()
    assert "<svg" in page
    assert "constant mix" in page


def test_evaluate_runs_the_path_through_the_shortcut(place: Path) -> None:
    options = ("--router", place / "router", "--task", place / "fruit.py")
    found = json_of("evaluate", *options)
    loaded, task = load_model(str(place / "model")), get_task(str(place / "fruit.py"))
    router, _ = load_router(place / "router", loaded)
    assert isinstance(router, ShortcutRouter)
    assert not router.shortcut.is_off
    running = router.model_of(loaded)
    examples = task.load("test", None).examples
    identity = router.path.identity(6)
    routed = [evaluate_path(running, task, item, router.path).is_correct for item in examples]
    plain = [evaluate_path(loaded, task, item, identity).is_correct for item in examples]
    assert found["accuracy_routed"] == pytest.approx(sum(routed) / len(routed))
    assert found["accuracy_plain"] == pytest.approx(sum(plain) / len(plain))
    assert found["layers_reading"] == pytest.approx(
        shortcut_cost(running.model, router.path.layers), rel=1e-6
    )
    assert found["layers_routed"] == pytest.approx(5 + found["layers_reading"])  # type: ignore[operator]


def test_an_export_answers_as_the_router_does(place: Path, tmp_path: Path) -> None:
    call("export", place / "router", "--out", tmp_path / "export")
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "export")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "export")
    ids = torch.tensor([tokenizer("what is the capital city of the number").input_ids])
    loaded = load_model(str(place / "model"))
    router, _ = load_router(place / "router", loaded)
    assert isinstance(router, ShortcutRouter)
    through = materialise(router.model_of(loaded).model, router.path)
    bare = materialise(loaded.model, router.path)
    with torch.inference_mode():
        assert torch.allclose(exported(ids).logits, through(ids).logits, atol=1e-5)
        assert not torch.allclose(exported(ids).logits, bare(ids).logits, atol=1e-3)
    options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 8, "do_sample": False}
    assert torch.equal(exported.generate(ids, **options), through.generate(ids, **options))


def test_generate_answers_along_the_path(place: Path) -> None:
    prompt = "Which fruit has number 1003?"
    found = json_of("generate", "--router", place / "router", "--prompt", prompt)
    assert found["path"] == [0, 1, 3, 4, 5]


def test_what_does_not_fit_is_refused_in_one_line(place: Path) -> None:
    def refused(*options: object) -> str:
        done = call(
            "fit", "--corpus", place / "corpus", "--router", "shortcut", "--task",
            place / "fruit.py", "--out", place / "refused", *options, code=2,
        )  # fmt: skip
        assert not (place / "refused" / "router.json").exists()
        return str(done.stderr).splitlines()[-1]

    assert "name layer 2, which path 0-1,3-5 does not run" in refused(
        "--path", PATH, "--sources", "1,2"
    )
    assert "sources is 'x'; it must be layers" in refused("--path", PATH, "--sources", "x")
    assert "the path is the plain one, so there is nothing to learn" in refused(
        "--path", "0-5", "--learn", "full"
    )
    assert "learn is 'gold'; it must be one of answer, tokens, full" in refused("--learn", "gold")
