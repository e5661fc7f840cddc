"""``scan export`` on tiny models: what leaves computes what the materialised path computes."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from support import tiny
from support.scanned import scan_result, write_scan
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner, Result

from search_cluster.commands.cli.scan_export import scan_export
from search_cluster.model.load.loading import load_model
from search_cluster.model.materialise import materialise
from search_cluster.options.commands import new_app
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.specs.reading import read_paths
from search_cluster.scan.specs.traps import SpecFormat

SKIP = LayerPath((0, 1, 2, 4, 5), tiny.NUM_LAYERS)
REPEAT = LayerPath((0, 1, 2, 1, 2, 3, 5), tiny.NUM_LAYERS)
TOLERANCE = 1e-5
"""Products of few rows depend on where weights lie in memory (tests/README.md)."""

app = new_app("")
app.add_typer(new_app("Scan.", scan_export), name="scan")


FAMILIES = ("llama", "qwen2", "gemma3_text")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("models")
    for family in FAMILIES:
        tiny.save_tiny_model(place / family, family, chat=True)
        (place / family / "LICENSE").write_text("Terms")
    return {family: place / family for family in FAMILIES}


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest, models: dict[str, Path]) -> Path:
    return models[request.param]


@pytest.fixture
def llama(models: dict[str, Path]) -> Path:
    return models["llama"]


def scan_of(
    folder: Path, model: Path, *paths: LayerPath, sure: bool = True, chat: str = ""
) -> Path:
    """A finished scan of a model that found these paths."""
    loaded = load_model(str(model), chat=chat or "auto")
    result = scan_result(
        paths, sure=sure, model=str(model), fingerprint=loaded.fingerprint, chat=chat
    )
    return write_scan(folder, result)


def export(*arguments: object, code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["scan", "export", *map(str, arguments)])
    assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
    return done


BARE = """
import sys


class NothingOfOurs:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("router_train", "search_cluster"):
            raise ImportError(name)


sys.meta_path.insert(0, NothingOfOurs())
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

for folder in sys.argv[1:]:
    model = AutoModelForCausalLM.from_pretrained(folder)
    ids = AutoTokenizer.from_pretrained(folder)("what is the capital", return_tensors="pt")
    with torch.inference_mode():
        torch.save([model(**ids).logits, len(model.model.layers)], folder + ".logits")
"""


@pytest.mark.slow
def test_checkpoints_open_in_bare_transformers_with_equal_logits(
    models: dict[str, Path], tmp_path: Path
) -> None:
    paths = {"skip": SKIP, "repeat": REPEAT}
    outs = {(family, name): tmp_path / f"{family}-{name}" for family in models for name in paths}
    for (family, name), out in outs.items():
        run = scan_of(tmp_path / f"run-{family}-{name}", models[family], paths[name])
        done = export(run, "--format", "hf", "--out", out)
        assert done.stdout.splitlines()[-1] == (
            f"as a router: router-train static {run} --out {run}/routers/static"
        )
    result = subprocess.run(
        [sys.executable, "-c", BARE, *map(str, outs.values())],
        env={**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    for (family, name), out in outs.items():
        logits, num_layers = torch.load(out.with_name(f"{out.name}.logits"))
        assert num_layers == len(paths[name])
        loaded = load_model(str(models[family]))
        ids = loaded.tokenizer("what is the capital", return_tensors="pt")
        expected = materialise(loaded.model, paths[name])(**ids).logits
        torch.testing.assert_close(logits, expected, atol=TOLERANCE, rtol=0)
        assert not torch.allclose(logits, loaded.model(**ids).logits, atol=100 * TOLERANCE)


def test_a_checkpoint_comes_with_licence_scan_and_card(model: Path, tmp_path: Path) -> None:
    run = scan_of(tmp_path / "run", model, SKIP, LayerPath((0, 1, 2, 1, 2, 3, 4, 5), 6))
    out = tmp_path / "short"
    export(run, "--format", "hf", "--out", out, "--path", "blocks:1,3")
    assert (out / "LICENSE").read_text() == "Terms"
    text = (out / "README.md").read_text()
    assert ModelCard(text).data.library_name == "transformers"
    for fact in (
        "The layers 0-2,1-5 of a language model of 6 layers",
        "| test | 2000 | 3 | 40.0% | 45.0% | +5.0 [+3.0, +7.0] | 0.01 |",
        "**not sure**",
        "- Mind: the 2 repeated runs are copies of weights",
        "- scan: digest `dddddddddddddddd`, seed 7, families skip, repeat, 929 paths",
        "searched with: search-cluster 0.2.0",
        "(`LICENSE`)",
    ):
        assert fact in text
    assert ("converted for llama.cpp" in text) == (model.name != "llama")
    said = json.loads((out / "scan.json").read_text())
    found = LayerPath((0, 1, 2, 1, 2, 3, 4, 5), tiny.NUM_LAYERS)
    assert said["exported"] == str(found)
    assert [item["path"] for item in said["candidates"]] == [str(found)]
    for file in out.iterdir():
        assert str(tmp_path).encode() not in file.read_bytes()
        assert str(model.parent).encode() not in file.read_bytes()


def test_the_chat_mode_of_the_scan_decides_which_model_it_was(tmp_path: Path, model: Path) -> None:
    run = scan_of(tmp_path / "run", model, SKIP, chat="never")
    export(run, "--format", "hf", "--out", tmp_path / "short")
    assert "asked as plain text" in (tmp_path / "short" / "README.md").read_text()


@pytest.mark.parametrize(
    "spec_format", [item.value for item in SpecFormat if item is not SpecFormat.HF]
)
@pytest.mark.parametrize("path", [SKIP, REPEAT])
def test_every_notation_reads_back_to_the_path(
    llama: Path, spec_format: str, path: LayerPath, tmp_path: Path
) -> None:
    run = scan_of(tmp_path / "run", llama, path)
    refused = spec_format == "prune-layers" and path is REPEAT
    out = tmp_path / "spec"
    done = export(run, "--format", spec_format, "--out", out, code=2 if refused else 0)
    if refused:
        assert done.stderr == (
            "error: path 0-2,1-3,5 runs layer 1 more than once, and --prune-layers can only leave "
            "layers out; take --format gguf-path, or convert --format hf\n"
        )
        return
    assert read_paths(out, tiny.NUM_LAYERS) == [path]
    assert f"{out} holds path {path}: {len(path)} layers; the plain model has 6" in done.stdout
    assert "mind: draft models" in done.stdout
    assert (
        "# One of 929 paths that were tried on arc_easy, elements, sure on test" in out.read_text()
    )
    shown = export(run, "--format", spec_format)
    assert shown.stderr.startswith("as a router: router-train static ")
    (tmp_path / "piped").write_text(shown.stdout)
    assert read_paths(tmp_path / "piped", tiny.NUM_LAYERS) == [path]
    value = json.loads(export(run, "--format", spec_format, "--json").stdout.splitlines()[-1])
    assert (value["format"], value["path"], value["layers"], value["sure"]) == (
        spec_format, str(path), len(path), True,
    )  # fmt: skip
    (tmp_path / "json").write_text(value["text"])
    assert read_paths(tmp_path / "json", tiny.NUM_LAYERS) == [path]


def test_a_merge_names_the_model_s_place_and_the_searched_dtype(
    model: Path, tmp_path: Path
) -> None:
    run = scan_of(tmp_path / "run", model, SKIP)
    text = export(run, "--format", "mergekit").stdout
    merge = yaml.safe_load(text)
    assert merge["dtype"] == "float32"
    assert {item["sources"][0]["model"] for item in merge["slices"]} == {str(model.resolve())}
    assert ("lists layer_types" in text) == (model.name != "llama")
    assert ("differ by position" in text) == (model.name == "gemma3_text")


def gguf_tensors(folder: Path) -> dict[str, "np.ndarray"]:
    """A tiny Llama's tensors as GGUF names and lays them out."""
    names = {
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }  # fmt: skip
    tensors = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        values = tensor.numpy()
        if not name.startswith("model.layers."):
            short = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
            tensors[short.get(name.removesuffix(".weight"), "output") + ".weight"] = values
            continue
        _, _, layer, part = name.removesuffix(".weight").split(".", 3)
        if part.endswith(("q_proj", "k_proj")):
            heads = 4 if part.endswith("q_proj") else 2
            halves = values.reshape(heads, 2, -1, values.shape[1])
            values = halves.swapaxes(1, 2).reshape(values.shape)
        tensors[f"blk.{layer}.{names[part]}.weight"] = values
    return tensors


def write_gguf(file: Path, tensors: dict[str, "np.ndarray"], num_layers: int) -> None:
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(num_layers)
    writer.add_context_length(tiny.MAX_POSITIONS)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_vocab_size(tiny.VOCAB_SIZE)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    for name, values in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def relayered(file: Path, layers: list[int], out: Path) -> None:
    """What tools do to a GGUF file that are given a list of its layers."""
    tensors = {tensor.name: tensor.data for tensor in gguf.GGUFReader(file).tensors}
    found = {name: data for name, data in tensors.items() if not name.startswith("blk.")}
    for position, layer in enumerate(layers):
        for name, data in tensors.items():
            if name.startswith(f"blk.{layer}."):
                found[f"blk.{position}.{name.split('.', 2)[2]}"] = data
    write_gguf(out, found, len(layers))


def expanded(argument: str) -> list[int]:
    """The layers of an explicit path, read as layer_path.py does."""
    layers: list[int] = []
    for part in argument.split(","):
        first, _, last = part.partition("..")
        layers += range(int(first), int(last or first) + 1)
    return layers


@pytest.mark.parametrize(
    ("spec_format", "path"),
    [("gguf-path", SKIP), ("gguf-path", REPEAT), ("prune-layers", SKIP)],
)
def test_a_gguf_file_with_the_path_s_layers_computes_the_path(
    llama: Path, spec_format: str, path: LayerPath, tmp_path: Path
) -> None:
    tensors = gguf_tensors(llama)
    write_gguf(tmp_path / "in.gguf", tensors, tiny.NUM_LAYERS)
    run = scan_of(tmp_path / "run", llama, path)
    value = json.loads(export(run, "--format", spec_format, "--json").stdout.splitlines()[-1])
    words = shlex.split(value["command"])
    if spec_format == "gguf-path":
        layers = expanded(words[words.index("-p") + 1])
    else:
        pruned = set(map(int, words[words.index("--prune-layers") + 1].split(",")))
        layers = [layer for layer in range(tiny.NUM_LAYERS) if layer not in pruned]
    relayered(tmp_path / "in.gguf", layers, tmp_path / "out.gguf")
    reader = gguf.GGUFReader(tmp_path / "out.gguf")
    assert reader.get_field("llama.block_count").contents() == len(path)  # type: ignore[union-attr]
    loaded = load_model(str(llama))
    ids = torch.arange(20, 34)[None]
    expected = materialise(loaded.model, path)(ids).logits
    model = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="out.gguf").eval()
    torch.testing.assert_close(model(ids).logits, expected, atol=TOLERANCE, rtol=1e-5)


def test_mistakes_are_one_line(llama: Path, tmp_path: Path) -> None:
    run = scan_of(tmp_path / "run", llama, SKIP, sure=False)
    deep = tiny.tiny_model("llama", num_hidden_layers=4)
    deep.save_pretrained(tmp_path / "deep")
    tiny.save_tiny_model(tmp_path / "other", seed=5)
    (tmp_path / "x.gguf").write_text("x")
    best = ("--best", "--format")
    for arguments, message in (
        ((run, "--format", "hf"), "is not sure that any of its 929 paths is better than the plain"),
        ((run, *best, "hf"), "--format hf writes a folder; name a new one with --out"),
        ((run, *best, "hf", "--out", run), f"{run} exists; give a new folder with --out"),
        (
            (run, *best, "hf", "--out", tmp_path / "new", "--model", tmp_path / "other"),
            "has fingerprint",
        ),
        ((run, *best, "rys", "--model", tmp_path / "deep"), "has 4 layers; the scan was of"),
        ((run, *best, "rys", "--model", tmp_path / "x.gguf"), "can't be read as a GGUF model"),
        ((run, "--format", "rys", "--path", "0-9"), "the model has layers 0..5"),
        ((run, "--format", "prune-layers", "--path", "0-5"), "there is no layer to leave out"),
        ((tmp_path, "--format", "rys"), "can't read"),
    ):
        done = export(*arguments, code=2)
        assert message in done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stdout == ""
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".new*"))


def test_a_model_that_is_elsewhere_is_named_as_the_scan_names_it(tmp_path: Path) -> None:
    run = write_scan(tmp_path / "run", scan_result([SKIP], model="nobody/nothing-here"))
    text = export(run, "--format", "mergekit").stdout
    assert "model: nobody/nothing-here" in text
    assert "the model's configuration is not at hand" in text
    value = json.loads(
        export(run, "--format", "rys", "--path", "(1, 3)", "--json").stdout.splitlines()[-1]
    )
    assert value["router_command"].endswith("/routers/static --path '(1, 3)'")
    assert value["sure"] is False
