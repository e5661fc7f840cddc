import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import tiny
from support.exports import BASE
from transformers import (
    AutoModelForCausalLM,
    ByT5Tokenizer,
    GenerationConfig,
    PreTrainedModel,
)

from search_cluster.errors import ModelError
from search_cluster.model.path_checkpoint import path_checkpoint
from search_cluster.model.portable import checkpoint
from search_cluster.model.portable.checkpoint import write_checkpoint
from search_cluster.model.portable.settings import PortableSettings
from search_cluster.paths.layer_path import LayerPath

PATH = LayerPath((0, 2, 3, 3, 5), tiny.NUM_LAYERS)


def model_of(family: str = "llama", **settings: object) -> PreTrainedModel:
    return path_checkpoint(tiny.tiny_model(family, **settings), PATH)


def json_of(file: Path) -> dict[str, object]:
    values: dict[str, object] = json.loads(file.read_text())
    return values


def test_leaving_sampling_options_beside_greedy_decoding_are_written(tmp_path: Path) -> None:
    """Llama 2 has them, and transformers refuses to save them."""
    model = model_of()
    model.generation_config = GenerationConfig(
        temperature=0.6, top_p=0.9, eos_token_id=[1, 3], pad_token_id=0
    )
    write_checkpoint(model, tiny.tiny_tokenizer(), tmp_path)
    written = json_of(tmp_path / "generation_config.json")
    assert (written["temperature"], written["top_p"], written["eos_token_id"]) == (0.6, 0.9, [1, 3])
    assert "do_sample" not in written
    assert model.generation_config.eos_token_id == [1, 3]
    read = AutoModelForCausalLM.from_pretrained(tmp_path).generation_config
    assert read.eos_token_id == [1, 3]
    assert read.temperature == 0.6


def test_leaving_weights_are_read_by_whoever_reads_the_settings(tmp_path: Path) -> None:
    write_checkpoint(model_of(), tiny.tiny_tokenizer(), tmp_path)
    assert len({file.stat().st_mode for file in tmp_path.iterdir()}) == 1


def test_leaving_settings_of_the_original_stay_behind(tmp_path: Path) -> None:
    model = model_of()
    model.config.auto_map = {"AutoModelForCausalLM": "somebody/model--modeling.Model"}
    model.config.quantization_config = {"quant_method": "gptq", "bits": 4}
    model.config._name_or_path = "/home/somebody/model"
    write_checkpoint(model, tiny.tiny_tokenizer(), tmp_path)
    text = (tmp_path / "config.json").read_text()
    for trace in ("auto_map", "gptq", "/home/somebody"):
        assert trace not in text
    assert AutoModelForCausalLM.from_pretrained(tmp_path).config.num_hidden_layers == len(PATH)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_leaving_weights_are_in_the_dtype_that_is_named(dtype: torch.dtype, tmp_path: Path) -> None:
    base = tiny.tiny_model("llama").to(dtype)
    written = write_checkpoint(path_checkpoint(base, PATH), tiny.tiny_tokenizer(), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {dtype}
    assert written.dtype == json_of(tmp_path / "config.json")["dtype"] == str(dtype)[6:]
    assert ("4.51.3" in written.versions) == (dtype is torch.float32)
    for position, layer in enumerate(PATH.layers):
        assert torch.equal(
            weights[f"model.layers.{position}.mlp.up_proj.weight"],
            base.state_dict()[f"model.layers.{layer}.mlp.up_proj.weight"],
        )


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", ["llama", "smollm3", "gemma2", "qwen2"])
def test_leaving_embeddings_are_tied_as_they_were(family: str, tied: bool, tmp_path: Path) -> None:
    """The families have other defaults in other versions, so it is always said."""
    base = tiny.tiny_model(family, tie_word_embeddings=tied)
    folder = tiny.save_tiny_model(tmp_path / "base", family)
    tokenizer = checkpoint.AutoTokenizer.from_pretrained(folder)
    write_checkpoint(path_checkpoint(base, PATH), tokenizer, tmp_path / "out")
    assert json_of(tmp_path / "out" / "config.json")["tie_word_embeddings"] is tied
    assert ("lm_head.weight" in load_file(tmp_path / "out" / "model.safetensors")) is not tied


def test_leaving_a_configuration_that_reads_back_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = PortableSettings(
        settings={"rope_theta": BASE, "rope_scaling": {"rope_type": "default"}}, versions=("5",)
    )
    monkeypatch.setattr(checkpoint, "portable_settings", lambda config, dtype: wrong)
    with pytest.raises(ModelError, match="this llama model reads back as another one"):
        write_checkpoint(model_of(), tiny.tiny_tokenizer(), tmp_path)


def test_leaving_tokens_that_read_back_otherwise_are_refused(tmp_path: Path) -> None:
    """Version 5 takes every tokenizer beside a Qwen 2 for one of its own class."""
    with pytest.raises(
        ModelError,
        match="the tokenizer of a qwen2 folder as a Qwen2Tokenizer, whose tokens of 'Größe",
    ):
        write_checkpoint(model_of("qwen2"), tiny.tiny_tokenizer(), tmp_path)


def test_leaving_a_tokenizer_in_python_is_promised_to_no_other_version(tmp_path: Path) -> None:
    written = write_checkpoint(model_of(), ByT5Tokenizer(), tmp_path)
    assert written.versions == ("5.23.0",)


def test_leaving_one_layer_has_one_layer_type(tmp_path: Path) -> None:
    model = path_checkpoint(tiny.tiny_model("gemma3_text"), LayerPath((4,), tiny.NUM_LAYERS))
    folder = tiny.save_tiny_model(tmp_path / "base", "gemma3_text")
    tokenizer = checkpoint.AutoTokenizer.from_pretrained(folder)
    write_checkpoint(model, tokenizer, tmp_path / "out")
    settings = json_of(tmp_path / "out" / "config.json")
    assert (settings["num_hidden_layers"], settings["layer_types"]) == (1, ["sliding_attention"])
