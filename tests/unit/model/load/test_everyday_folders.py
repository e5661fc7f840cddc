"""What is let in as a model: folders as people bring them every day. Names say the kind."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from support import tiny
from support.model_folders import VISION, WEIGHTS, edit_weights
from support.model_folders import edit_json as edit

from search_cluster.errors import ModelError, PromptError
from search_cluster.model.decoding import end_ids
from search_cluster.model.load import digests
from search_cluster.model.load.loading import load_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_example
from search_cluster.tasks.builtin.capitals import CAPITALS
from search_cluster.tasks.example import Example

INDEX = "model.safetensors.index.json"
LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 1034\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save_tiny_model(tmp_path / "model")


def load(folder: Path, **options: object) -> LoadedModel:
    return load_model(str(folder), device="cpu", **{"self_test": False, **options})


def ask(loaded: LoadedModel, question: str, *choices: str) -> None:
    example = Example(
        task="capitals",
        question=question,
        choices=choices,
        gold=choices[0],
        gold_index=0,
        split="test",
        source="here",
    )
    encode_example(loaded, CAPITALS, example)


# --- tokenizers ---


@pytest.mark.parametrize(
    "kind", ["LlamaTokenizer", "Qwen2Tokenizer", "GPT2Tokenizer", "GemmaTokenizer"]
)
def test_loading_a_tokenizer_without_its_vocabulary_is_refused(folder: Path, kind: str) -> None:
    (folder / "tokenizer.json").unlink()
    edit(folder / "tokenizer_config.json", tokenizer_class=kind)
    with pytest.raises(ModelError, match=r"has no vocabulary .* download or save the tokenizer"):
        load(folder)


def test_loading_no_tokenizer_file_at_all_is_refused(tmp_path: Path) -> None:
    folder = tiny.save_tiny_model(tmp_path / "model", "qwen2")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match="has no vocabulary"):
        load(folder)


def test_prompt_tokens_that_the_model_does_not_know_are_said_and_fail(folder: Path) -> None:
    tokenizer = tiny.tiny_tokenizer()
    tokenizer.add_tokens(["Paris", "London"])
    tokenizer.save_pretrained(folder)
    loaded = load(folder)
    (line,) = loaded.warnings
    assert "2 tokens of the tokenizer have no embedding in the model, 'Paris' (301)" in line
    ask(loaded, "Which one?", "Rome", "Bonn")
    with pytest.raises(PromptError, match=r"holds 'Paris', token 301 .* the model has 301"):
        ask(loaded, "Is it Paris?", "yes", "no")
    with pytest.raises(PromptError, match=r"holds 'London', token 302"):
        ask(loaded, "Which one?", "Rome", "London")


def test_loading_the_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    def cut(weights: dict[str, torch.Tensor]) -> None:
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            weights[name] = weights[name][:100].clone()

    edit_weights(folder, cut)
    edit(folder / "config.json", vocab_size=100)
    with pytest.raises(ModelError, match=r"is of another model: 201 of its 301 tokens"):
        load(folder)


@pytest.mark.parametrize("ids", ["1", ["1"], True, {"a": 1}])
def test_prompt_an_end_token_that_is_no_number_is_refused(folder: Path, ids: object) -> None:
    edit(folder / "generation_config.json", eos_token_id=ids)
    with pytest.raises(ModelError, match=r"eos_token_id is .*; it is a token's number"):
        load(folder)


@pytest.mark.parametrize("ids", [-1, 99999, [1, None], [], [1, -1], 1.0])
def test_identity_does_not_change_with_end_tokens_that_never_come(
    folder: Path, ids: object
) -> None:
    before = load(folder)
    edit(folder / "generation_config.json", eos_token_id=ids)
    after = load(folder)
    assert after.fingerprint == before.fingerprint
    assert end_ids(after.model, after.tokenizer) == {tiny.EOS_ID}


def test_identity_does_not_change_with_how_a_tokenizer_last_cut_and_padded(folder: Path) -> None:
    before = load(folder)
    truncation = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    padding = {
        "strategy": {"Fixed": 16},
        "direction": "Left",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "<pad>",
    }
    edit(folder / "tokenizer.json", truncation=truncation, padding=padding)
    assert load(folder).fingerprint == before.fingerprint


def test_identity_does_not_change_with_the_token_that_pads(folder: Path) -> None:
    before = load(folder)
    edit(folder / "tokenizer_config.json", pad_token=tiny.EOS)
    assert load(folder).fingerprint == before.fingerprint


# --- weights ---


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32])
def test_loading_quantised_weights_without_their_settings_is_refused(
    folder: Path, dtype: torch.dtype
) -> None:
    name = "model.layers.0.self_attn.q_proj.weight"
    edit_weights(folder, lambda weights: weights.update({name: (weights[name] * 99).to(dtype)}))
    with pytest.raises(ModelError, match=rf"holds quantised weights \({name} is [IU]\d+\)"):
        load(folder)


def test_loading_weights_that_git_lfs_did_not_fetch_says_how_to(folder: Path) -> None:
    (folder / WEIGHTS).write_text(LFS_POINTER)
    with pytest.raises(ModelError, match=r"is a Git LFS pointer .* git lfs pull"):
        load(folder)


def test_loading_a_folder_around_a_model_names_the_folder_to_give(
    folder: Path, tmp_path: Path
) -> None:
    hub = tmp_path / "models--acme--tiny"
    (hub / "snapshots").mkdir(parents=True)
    inner = folder.rename(hub / "snapshots" / "0123abc")
    for outer in (hub, hub / "snapshots"):
        with pytest.raises(ModelError, match=rf"folder below it: give {inner}$"):
            load(outer)


def test_loading_parts_without_their_index_says_what_is_missing(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "model-00001-of-00002.safetensors")
    with pytest.raises(ModelError, match=r"model-00001-of-00002\.safetensors is there, and no ind"):
        load(folder)


def test_identity_follows_weights_in_a_folder_below(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(digests, "REMEMBERED_FROM_BYTES", 0)
    monkeypatch.setenv("SEARCH_CLUSTER_CACHE", str(tmp_path / "cache"))
    (folder / "parts").mkdir()
    part = (folder / WEIGHTS).rename(folder / "parts" / WEIGHTS)
    weights = load_file(part)
    names = {name: f"parts/{WEIGHTS}" for name in weights}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": names}))
    before = load(folder)
    weights["model.norm.weight"] += 1
    save_file(weights, part, metadata={"format": "pt"})
    assert load(folder).fingerprint != before.fingerprint


def test_loading_errors_give_the_whole_reason_in_one_line(folder: Path) -> None:
    edit(folder / "config.json", rms_norm_eps="small")
    with pytest.raises(ModelError, match=r"rms_norm_eps.*'small'") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


# --- wrappers, under every name that their weights have had ---


@pytest.mark.parametrize(
    ("name", "renamed"),
    [
        ("as they are in memory", lambda name: name),
        ("on the hub", lambda name: name.replace("model.language_model.", "language_model.model.")),
        ("short", lambda name: name.replace("model.language_model.", "language_model.")),
        ("doubled", lambda name: name.replace("language_model.", "language_model.model.")),
        ("of the text model", lambda name: name.replace("model.language_model.", "model.")),
    ],
)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loading_a_wrapper_under_any_names_gives_its_text_model(
    tmp_path: Path, name: str, renamed: Callable[[str], str], tied: bool, dtype: torch.dtype
) -> None:
    config = transformers.Gemma3Config(
        text_config=tiny.tiny_config("gemma3_text", final_logit_softcapping=None).to_dict(),
        vision_config={**VISION, "model_type": "siglip_vision_model"},
        mm_tokens_per_image=4,
        tie_word_embeddings=tied,
    )
    torch.manual_seed(0)
    model = transformers.Gemma3ForConditionalGeneration(config).eval()
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype).float()
    model.save_pretrained(tmp_path)
    tiny.tiny_tokenizer().save_pretrained(tmp_path)
    weights = {renamed(key): tensor.to(dtype) for key, tensor in model.state_dict().items()}
    if tied:
        del weights["lm_head.weight"]
    weights = {name: tensor.clone() for name, tensor in weights.items()}
    save_file(weights, tmp_path / WEIGHTS, metadata={"format": "pt"})
    loaded = load(tmp_path, self_test=True)
    tokens_BT = torch.arange(3, 40)[None]
    with torch.no_grad():
        theirs, ours = model(tokens_BT).logits, loaded.model(tokens_BT).logits
    assert torch.allclose(ours, theirs, atol=1e-6), name
    assert "is a gemma3 model: its text model" in loaded.warnings[0]


def test_loading_a_wrapper_whose_text_model_has_more_layers_than_its_config_is_refused(
    tmp_path: Path,
) -> None:
    model = transformers.LlavaForConditionalGeneration(
        transformers.LlavaConfig(
            text_config=tiny.tiny_config("llama").to_dict(),
            vision_config={**VISION, "model_type": "clip_vision_model", "projection_dim": 16},
            image_token_index=5,
        )
    )
    model.save_pretrained(tmp_path)
    tiny.tiny_tokenizer().save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    settings["text_config"]["num_hidden_layers"] = 4
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=r"holds 18 weights that its config has no place for"):
        load(tmp_path)
