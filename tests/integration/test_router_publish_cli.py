"""``router-train bench`` and ``export`` on a tiny model, a user's task and trained routers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import tiny
from support.hub import MODELS, LocalHub, point_at
from support.other_transformers import environment, other_versions
from support.router_cli import call, json_of
from support.router_corpus import TASK_FILE, record, write_corpus
from transformers import AutoModelForCausalLM, AutoTokenizer

import router_train.auto
from router_train.inference.routed_model import RoutedModel
from router_train.routers.checkpoint import load_router
from search_cluster.errors import ConfigError, ModelError
from search_cluster.model.load.loading import load_model
from search_cluster.model.materialise import materialise
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.registry import get_task

REPOSITORY = Path(__file__).parents[2]
STATIC = (1, 0, 2, 1, 1, 0)
OTHER = (1, 1, 1, 0, 1, 1)
EVALUATION = {
    "router": "static", "task": "fruit_file", "split": "test", "threshold": 0.0, "n": 40,
    "accuracy_plain": 0.25, "accuracy_routed": 0.275, "p_value": 0.5, "layers_plain": 6.0,
    "layers_routed": 5.0, "helps": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with two routers and one evaluation, beside ``model`` and ``fruit.py``."""
    place = tmp_path_factory.mktemp("place")
    tiny.save_tiny_model(place / "model", chat=True)
    (place / "fruit.py").write_text(TASK_FILE)
    task = get_task(str(place / "fruit.py"))
    examples = task.load("train", None).examples
    write_corpus(
        place / "run",
        [
            record(example, OTHER if index % 3 == 0 else STATIC)
            for index, example in enumerate(examples)
        ],
        task=task,
        model_spec=str(place / "model"),
        fingerprint=load_model(str(place / "model")).fingerprint,
    )
    for name, more in (("static", ()), ("drllm", ("--epochs", 4, "--lr", 0.01, "--bottleneck", 8))):
        call(
            "fit", "--corpus", place / "run", "--out", place / "run" / "routers" / name, "--router",
            name, "--task", place / "fruit.py", *more,
        )  # fmt: skip
    (place / "run" / "evaluations").mkdir()
    (place / "run" / "evaluations" / "static.json").write_text(json.dumps(EVALUATION))
    return place / "run"


def prompt_ids(run: Path) -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(run.parent / "model")
    return torch.tensor([tokenizer("what is the capital city of the number").input_ids])


def greedy(model: torch.nn.Module, ids: torch.Tensor) -> list[int]:
    options = {
        "attention_mask": torch.ones_like(ids),
        "min_new_tokens": 8,
        "max_new_tokens": 8,
        "do_sample": False,
    }
    tokens: list[int] = model.generate(ids, **options)[0, ids.shape[1] :].tolist()  # type: ignore[operator]
    return tokens


def test_bench_measures_every_router_of_a_run(run: Path) -> None:
    result = json_of(
        "bench",
        run,
        "--task",
        run.parent / "fruit.py",
        "--batch-sizes",
        "1,3",
        "--rounds",
        2,
        "--new-tokens",
        3,
    )
    routers = result["routers"]
    assert isinstance(routers, dict)
    assert {value["router"] for value in routers.values()} == {"static", "drllm"}
    static = routers[str(run / "routers" / "static")]["batches"]
    assert set(static) == {"1", "3"}
    speed = static["3"]
    assert speed["layer_share"] == speed["layer_call_share"] == pytest.approx(5 / 6)
    assert 0 < speed["layer_time_share"] < 1
    allowed = 1 / (1 - speed["layer_time_share"] / 6)
    assert speed["allowed_speed_up"] == pytest.approx(allowed, rel=0.1)  # medians of two rounds
    assert speed["plain_tokens_per_s"] == pytest.approx(9 / speed["plain_s"])
    assert speed["routed_tokens_per_s"] == pytest.approx(9 / speed["routed_s"])
    assert speed["share_of_allowed"] == pytest.approx(
        (speed["speed_up"] - 1) / (speed["allowed_speed_up"] - 1)
    )


def test_a_routed_export_is_the_routed_model(run: Path, tmp_path: Path) -> None:
    router = run / "routers" / "drllm"
    result = json_of("export", router, "--out", tmp_path / "routed", "--threshold", 0.4)
    assert (result["router"], result["plain"], result["num_evaluations"]) == ("drllm", False, 0)
    assert result["num_bytes"] < 200_000  # type: ignore[operator]
    assert not (tmp_path / "routed" / "model.safetensors").exists()
    loaded = load_model(str(run.parent / "model"))
    weights = load_file(tmp_path / "routed" / "router.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == {
        name: tuple(tensor.shape)
        for name, tensor in load_router(router, loaded)[0].tensors().items()
    }
    expected = RoutedModel(loaded, load_router(router, loaded)[0], threshold=0.4).causal_lm
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "routed")
    assert type(exported) is type(expected)
    ids = prompt_ids(run)
    assert greedy(exported, ids) == greedy(expected, ids)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "routed")
    assert tokenizer("what is").input_ids == loaded.tokenizer("what is").input_ids
    card = (tmp_path / "routed" / "README.md").read_text()
    assert "library_name: transformers" in card
    assert "import router_train.auto" in card
    assert "no evaluation of this router is known" in card
    assert loaded.fingerprint in card


def test_an_export_with_its_base_moves_to_another_place(run: Path, tmp_path: Path) -> None:
    result = json_of(
        "export", run / "routers" / "static", "--out", tmp_path / "first", "--with-base"
    )
    assert (result["base_model"], result["num_evaluations"]) == ("base", 1)
    (tmp_path / "first").rename(tmp_path / "moved")
    code = (
        "import sys, torch, router_train.auto\n"
        "from transformers import AutoModelForCausalLM\n"
        "model = AutoModelForCausalLM.from_pretrained(sys.argv[1])\n"
        "ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11]])\n"
        "options = dict(attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)\n"
        "print(model.generate(ids, **options).tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "moved")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11]])
    view = materialise(
        load_model(str(run.parent / "model")).model, LayerPath.from_decisions(STATIC)
    )
    expected = view.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False
    )  # type: ignore[operator]
    assert json.loads(done.stdout) == expected.tolist()
    card = (tmp_path / "moved" / "README.md").read_text()
    assert "| fruit_file | test | 40 | 25.0% | 27.5% | +2.5 | 0.5 | 6.00 | 5.00 |" in card


def test_a_plain_export_needs_nothing_of_ours(run: Path, tmp_path: Path) -> None:
    result = json_of("export", run / "routers" / "static", "--out", tmp_path / "plain", "--plain")
    assert (result["plain"], result["base_model"]) == (True, None)
    code = (
        "import sys, torch\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "model = AutoModelForCausalLM.from_pretrained(sys.argv[1])\n"
        "AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11]])\n"
        "options = dict(attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)\n"
        "print(model.generate(ids, **options).tolist())\n"
        "ours = ('router_train', 'search_cluster')\n"
        "assert not any(name.startswith(ours) for name in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "plain")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11]])
    view = materialise(
        load_model(str(run.parent / "model")).model, LayerPath.from_decisions(STATIC)
    )
    expected = view.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False
    )  # type: ignore[operator]
    assert json.loads(done.stdout) == expected.tolist()
    assert json.loads((tmp_path / "plain" / "config.json").read_text())["num_hidden_layers"] == 5
    assert (
        json.loads((tmp_path / "plain" / "provenance.json").read_text())["inputs"]["config"][
            "router"
        ]
        == "static"
    )
    assert (
        "The layers 0,2,2-4 of a language model of 6 layers"
        in (tmp_path / "plain" / "README.md").read_text()
    )


def code_of(folder: Path) -> str:
    """The code block of a model card."""
    return (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]


GREEDY = """
import json, torch
ids = torch.tensor([tokenizer("what is the capital city of the number").input_ids])
options = dict(attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
print(json.dumps([str(model.dtype), ids.tolist(), model.generate(ids, **options).tolist()]))
"""


def run_card(folder: Path, other: Path | None = None) -> object:
    """What the code of a card gives where the folder lies, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code_of(folder) + GREEDY],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder.parent,
        env=environment(other),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def expected_of(run: Path, dtype: str = "float32") -> object:
    loaded = load_model(str(run.parent / "model"), dtype=dtype)
    view = materialise(loaded.model, LayerPath.from_decisions(STATIC))
    ids = prompt_ids(run)
    options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 8, "do_sample": False}
    made = view.generate(ids, **options)  # type: ignore[operator]
    return [f"torch.{dtype}", ids.tolist(), made.tolist()]


@pytest.mark.parametrize("version", ["installed", *other_versions()])
def test_leaving_the_code_of_a_plain_card_runs_in_every_version_that_it_names(
    run: Path, tmp_path: Path, version: str
) -> None:
    out = tmp_path / "my static path"
    json_of("export", run / "routers" / "static", "--out", out, "--plain")
    assert (
        "Tested with transformers 4.51.3, 4.57.6, 5.0.0 and 5.23.0"
        in (out / "README.md").read_text()
    )
    assert run_card(out, other_versions().get(version)) == expected_of(run)


def test_leaving_the_code_of_a_routed_card_runs(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "routed"
    json_of("export", run / "routers" / "static", "--out", out, "--with-base")
    done = run_card(out, REPOSITORY)
    assert done == expected_of(run)


def test_leaving_an_export_holds_nothing_of_this_machine(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []
    for offline in ("0", "1"):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline == "1")
        out = tmp_path / offline / "plain"
        json_of("export", run / "routers" / "static", "--out", out, "--plain")
        folders.append(out)
    for file in folders[0].iterdir():
        content = file.read_bytes()
        assert content == (folders[1] / file.name).read_bytes()
        assert str(run.parent).encode() not in content
        for trace in (b"local_files_only", b"is_local", b"_name_or_path"):
            assert trace not in content


def test_mistakes_are_one_line(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setattr("search_cluster.hub.push.get_token", lambda: None)
    static, drllm = run / "routers" / "static", run / "routers" / "drllm"
    out = ("--out", tmp_path / "out")
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**EVALUATION, "router": "drllm"}))
    for arguments, message in (
        (
            ("export", drllm, *out, "--plain"),
            "holds a drllm router, which chooses a path per prompt",
        ),
        (("export", static, *out, "--plain", "--with-base"), "leave out --with-base or --plain"),
        (("export", static, "--out", tmp_path), f"{tmp_path} exists; give a new folder"),
        (
            ("export", static, *out, "--push-to-hub", "a/b"),
            "pushing to a/b needs a token and there is none",
        ),
        (
            ("export", static, *out, "--evaluation", other),
            "evaluates a drllm router at threshold 0",
        ),
        (("export", static, *out, "--evaluation", tmp_path / "no"), "is no evaluation of a router"),
        (("bench", tmp_path), "holds neither router.json nor routers/*/router.json"),
        (
            ("bench", static, "--batch-sizes", "1;8"),
            "--batch-sizes has the part '1;8'; its parts are whole",
        ),
        (
            ("bench", static, "--batch-sizes", "0"),
            "--batch-sizes has the part '0'; its parts are whole numbers from 1",
        ),
        (
            ("bench", static),
            "the router was trained with task 'fruit_file', which is not built in; pass the .py",
        ),
        (
            ("bench", static, "--batch-sizes", "99", "--task", run.parent / "fruit.py"),
            "40 prompts do not fill a batch",
        ),
    ):
        done = call(*arguments, code=2)
        assert message in done.stderr
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    done = call("export", static, *out, "--threshold", 0.5)
    assert "not on the card" in done.stderr
    assert (
        "evaluates a static router at threshold 0; this export is a static router at 0.5"
        in done.stderr
    )


def test_pushing_uploads_what_others_can_load(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    static = run / "routers" / "static"
    hub = LocalHub(root=tmp_path / "served")
    with hub.running():
        point_at(hub, monkeypatch, tmp_path / "cache")
        done = call("export", static, "--out", tmp_path / "a", "--push-to-hub", "me/path", code=2)
        said = "is on this machine only, so nobody could load me/path; add --with-base"
        assert said in done.stderr
        result = json_of(
            "export", static, "--out", tmp_path / "a", "--push-to-hub", "me/path", "--with-base"
        )
        assert result["address"] == f"{hub.address}/me/path"
        assert hub.repositories[MODELS, "me/path"].private
        there = hub.head(MODELS, "me/path")
        assert {"README.md", "base", "config.json", "router.json", "router.safetensors"} <= {
            path.name for path in there.iterdir()
        }
        assert code_of(there).count('from_pretrained("me/path"') == 2
        routed = RoutedModel.from_pretrained("hub:me/path", device="cpu")
        assert routed.running.bare_spec.startswith(str(tmp_path / "cache")), "its own base model"
        json_of("export", static, "--out", tmp_path / "b", "--push-to-hub", "me/plain", "--plain")
        there = hub.head(MODELS, "me/plain")
        assert code_of(there).count('from_pretrained("me/plain"') == 2


def test_loading_says_what_it_can_not_do(run: Path, tmp_path: Path) -> None:
    json_of("export", run / "routers" / "static", "--out", tmp_path / "x")
    folder = tmp_path / "x"
    with pytest.raises(
        ConfigError, match="dtype is bfloat16; this router was trained for the model in float32"
    ):
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    with pytest.raises(ConfigError, match="can't be loaded with load_in_8bit"):
        AutoModelForCausalLM.from_pretrained(folder, load_in_8bit=True)
    with pytest.raises(
        ConfigError,
        match="device_map is 'balanced'; layer paths need the whole model on one device",
    ):
        AutoModelForCausalLM.from_pretrained(folder, device_map="balanced")
    tiny.save_tiny_model(tmp_path / "another", chat=True, seed=5)
    with pytest.raises(ModelError, match="was trained for model"):
        AutoModelForCausalLM.from_pretrained(folder, base_model=str(tmp_path / "another"))
    same = AutoModelForCausalLM.from_pretrained(
        folder, base_model=str(run.parent / "model"), device_map="cpu"
    )
    assert same.device == torch.device("cpu")
    weights = folder / "router.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(ConfigError, match=r"is missing or not the file that router\.json names"):
        AutoModelForCausalLM.from_pretrained(folder)


def test_the_model_type_is_registered_once() -> None:
    assert router_train.auto.RoutedConfig().model_type == "search_cluster_routed"
