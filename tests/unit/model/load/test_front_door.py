"""What is let in as a model: identity, loading reports, the self-test. Names say the kind."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from support import tiny
from support.model_folders import VISION, WEIGHTS, edit_weights
from support.model_folders import edit_json as edit
from transformers import AutoConfig, AutoModelForCausalLM

from search_cluster.errors import ModelError, UnsupportedFamilyError
from search_cluster.model import anatomy
from search_cluster.model.decoding import end_ids
from search_cluster.model.load.loading import load_model
from search_cluster.model.load.selftest import check_model
from search_cluster.model.loaded import LoadedModel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save_tiny_model(tmp_path / "model", chat=True)


def load(folder: Path, **options: object) -> LoadedModel:
    return load_model(str(folder), device="cpu", **{"self_test": False, **options})


# --- identity: a fingerprint changes exactly when verdicts could ---


def shard(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    names = sorted(weights)
    files = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, held in files.items():
        save_file({name: weights[name] for name in held}, folder / file, metadata={"format": "pt"})
    index = {
        "metadata": {},
        "weight_map": {name: file for file, held in files.items() for name in held},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / WEIGHTS).unlink()


def in_another_dtype(folder: Path) -> None:
    edit_weights(
        folder, lambda weights: weights.update({k: v.double() for k, v in weights.items()})
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: edit(folder / "tokenizer_config.json", local_files_only=True),
        lambda folder: edit(folder / "tokenizer_config.json", is_local=False, name_or_path="/x"),
        lambda folder: edit(folder / "tokenizer_config.json", model_max_length=7),
        lambda folder: edit(folder / "config.json", use_cache=False, my_note="fine-tuned by me"),
        lambda folder: edit(folder / "config.json", architectures=["LlamaForCausalLM"]),
        lambda folder: edit(folder / "config.json", torch_dtype="bfloat16"),
        lambda folder: edit(folder / "config.json", attention_dropout=0.1, id2label={"0": "x"}),
        lambda folder: edit(folder / "generation_config.json", temperature=0.6, top_p=0.9),
        lambda folder: (folder / "tokenizer.json").write_text(
            json.dumps(json.loads((folder / "tokenizer.json").read_text()), indent=1)
        ),
        lambda folder: (folder / "training_args.bin").write_bytes(b"x"),
        shard,
        in_another_dtype,
    ],
)
def test_identity_does_not_change_with_what_no_verdict_depends_on(folder: Path, change) -> None:
    before = load(folder)
    change(folder)
    after = load(folder)
    assert after.parts == before.parts
    assert after.fingerprint == before.fingerprint


def last_weight(weights: dict[str, torch.Tensor]) -> None:
    weights["model.layers.5.mlp.down_proj.weight"][-1, -1] += 1e-3


def other_weights_under_the_old_name(folder: Path) -> None:
    """An index of shards beside a single file: transformers reads the single file."""
    shutil.copy(folder / WEIGHTS, folder / "keep")
    shard(folder)
    (folder / "keep").rename(folder / WEIGHTS)
    edit_weights(folder, last_weight)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda folder: edit_weights(folder, last_weight), "weights"),
        (other_weights_under_the_old_name, "weights"),
        (lambda folder: edit(folder / "config.json", rms_norm_eps=1e-4), "config"),
        (
            lambda folder: edit(
                folder / "config.json",
                rope_parameters={"rope_type": "default", "rope_theta": 5000.0},
            ),
            "config",
        ),
        (
            lambda folder: edit(folder / "config.json", max_position_embeddings=99),
            "config",
        ),
        (
            lambda folder: edit(folder / "generation_config.json", eos_token_id=[1, 7]),
            "end tokens",
        ),
        (
            lambda folder: edit(folder / "tokenizer_config.json", bos_token="<pad>"),
            "tokenizer",
        ),
        (
            lambda folder: (folder / "tokenizer.json").write_text(
                (folder / "tokenizer.json").read_text().replace('"<start>"', '"<begin>"')
            ),
            "tokenizer",
        ),
        (
            lambda folder: (folder / "chat_template.jinja").write_text(
                tiny.CHAT_TEMPLATE.replace("assistant", "helper")
            ),
            "chat template",
        ),
    ],
)
def test_identity_changes_with_what_verdicts_depend_on_and_names_it(
    folder: Path, change, part: str
) -> None:
    before = load(folder)
    change(folder)
    after = load(folder)
    assert after.fingerprint != before.fingerprint
    assert part in after.identity.differences(before.parts)


def test_identity_in_plain_text_does_not_depend_on_the_template(
    folder: Path, tmp_path: Path
) -> None:
    plain = load(folder, chat="never")
    assert not plain.chat
    assert plain.identity.differences(load(folder).parts) == " (what differs: chat template)"
    (folder / "chat_template.jinja").write_text("{{ raise_exception('no') }}")
    assert load(folder, chat="never").fingerprint == plain.fingerprint
    assert plain.fingerprint == load(tiny.save_tiny_model(tmp_path / "base")).fingerprint


def test_identity_is_known_under_the_fingerprints_of_former_versions(folder: Path) -> None:
    offline = shutil.copytree(folder, folder.with_name("offline"))
    text = (folder / "tokenizer_config.json").read_text()
    text = text.replace("{", '{"is_local": true, "local_files_only": false,', 1)
    (folder / "tokenizer_config.json").write_text(text)
    (offline / "tokenizer_config.json").write_text(
        text.replace('"local_files_only": false', '"local_files_only": true')
    )
    one, other = load(folder), load(offline)
    assert one.fingerprint == other.fingerprint
    assert set(one.former_fingerprints) == set(other.former_fingerprints)
    assert one.former_fingerprints[0] != other.former_fingerprints[0]
    assert one.identity.is_known_as(other.former_fingerprints[0])
    assert not one.identity.is_known_as("0" * 32)
    # Version 1 always asked in the template that there was.
    assert load(folder, chat="never").former_fingerprints == ()


def test_identity_of_a_large_model_is_remembered_until_a_file_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search_cluster.model.load.digests.REMEMBERED_FROM_BYTES", 1)
    before = load(folder)
    with monkeypatch.context() as patched:
        patched.setattr(
            "search_cluster.model.load.fingerprint._weights_digest", lambda _: pytest.fail("again")
        )
        assert load(folder).fingerprint == before.fingerprint
    stat = (folder / WEIGHTS).stat()
    edit_weights(folder, last_weight)
    import os

    os.utime(folder / WEIGHTS, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as rsync -t leaves it
    assert load(folder).fingerprint != before.fingerprint


def test_identity_of_a_folder_with_named_templates_is_that_of_the_default_one(
    folder: Path,
) -> None:
    before = load(folder)
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("{{ 'tools' }}")
    assert load(folder).fingerprint == before.fingerprint
    (folder / "chat_template.jinja").rename(folder / "additional_chat_templates" / "rag.jinja")
    with pytest.raises(ModelError, match=r"templates named rag, tool_use and none named default"):
        load(folder)


# --- loading: what transformers says is read ---


def test_loading_a_config_with_fewer_layers_than_the_weights_is_refused(folder: Path) -> None:
    edit(folder / "config.json", num_hidden_layers=4)
    with pytest.raises(ModelError, match=r"18 weights that its config has no place for, model\.la"):
        load(folder)


def test_loading_a_config_with_more_layers_than_the_weights_is_refused(folder: Path) -> None:
    edit(folder / "config.json", num_hidden_layers=7)
    with pytest.raises(ModelError, match=r"lacks 9 weights, model\.layers\.6\..* would be random"):
        load(folder)


def test_loading_weights_of_another_shape_is_refused_with_both_shapes(folder: Path) -> None:
    edit(folder / "config.json", intermediate_size=48)
    with pytest.raises(ModelError, match=r"another shape .*64.* in the file, .*48.* by the con"):
        load(folder)


def test_loading_an_embedding_for_another_vocabulary_is_refused(folder: Path) -> None:
    edit(folder / "config.json", vocab_size=tiny.VOCAB_SIZE + 3)
    with pytest.raises(ModelError, match="another shape"):
        load(folder)


def test_loading_biases_that_the_config_switches_off_is_refused(folder: Path) -> None:
    edit_weights(
        folder,
        lambda weights: weights.update({"model.layers.0.self_attn.q_proj.bias": torch.zeros(32)}),
    )
    with pytest.raises(ModelError, match=r"1 weight that its config has no place for"):
        load(folder)


def test_loading_weights_with_unmerged_adapters_in_them_names_them(folder: Path) -> None:
    edit_weights(
        folder,
        lambda weights: weights.update(
            {"model.layers.0.self_attn.q_proj.lora_A.weight": torch.zeros(4, 32)}
        ),
    )
    with pytest.raises(ModelError, match=r"weights of a LoRA adapter, .*lora_A.weight first"):
        load(folder)


def test_loading_a_head_of_another_use_is_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = load(folder)
    edit_weights(folder, lambda weights: weights.update({"v_head.summary.weight": torch.ones(1)}))
    after = load(folder)
    assert after.fingerprint == before.fingerprint
    (line,) = after.warnings
    assert "1 weight that a language model does not use, v_head.summary.weight first" in line
    assert line in caplog.text


def test_loading_says_in_one_line_which_of_two_sets_of_weights_is_read(folder: Path) -> None:
    other_weights_under_the_old_name(folder)
    (line,) = load(folder).warnings
    assert "two sets of weights: model.safetensors is read" in line


def test_loading_an_incomplete_shard_is_refused(folder: Path) -> None:
    shard(folder)
    weights = load_file(folder / "a.safetensors")
    weights.pop(sorted(weights)[0])
    save_file(weights, folder / "a.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weight, .* would be random"):
        load(folder)


@pytest.mark.parametrize("beside_weights", [True, False])
@pytest.mark.parametrize("installed", [True, False])
def test_loading_an_adapter_is_refused_by_name(
    folder: Path, beside_weights: bool, installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.utils.is_peft_available", lambda: installed)
    monkeypatch.setattr("transformers.integrations.peft.is_peft_available", lambda: installed)
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": "acme/base", "r": 4})
    )
    save_file({"x": torch.zeros(1)}, folder / "adapter_model.safetensors")
    if not beside_weights:
        (folder / WEIGHTS).unlink()
    where = "beside weights" if beside_weights else "and no model"
    text = rf"holds a LORA adapter .*of base model 'acme/base'\) {where}.*merge_and_unload"
    with pytest.raises(ModelError, match=text):
        load(folder)


def test_loading_an_adapter_without_its_config_is_refused_too(folder: Path) -> None:
    save_file({"x": torch.zeros(1)}, folder / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"adapter \(adapter_model.safetensors\) beside weights"):
        load(folder)


def test_loading_warnings_of_transformers_reach_the_user(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from transformers.utils import logging

    before = AutoModelForCausalLM.from_pretrained

    def talkative(*args: object, **kwargs: object) -> object:
        logging.get_logger("transformers.x").warning("the regex\nof this tokenizer is wrong")
        return before(*args, **kwargs)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", talkative)
    assert load(folder).warnings == ("the regex of this tokenizer is wrong",)
    assert "the regex of this tokenizer is wrong" in caplog.text


@pytest.mark.parametrize(
    ("file", "setting", "text"),
    [
        ("tokenizer_config.json", {"model_max_length": "much"}, "fails on a text"),
        ("generation_config.json", {"eos_token_id": 0.5}, "eos_token_id is 0.5|not.* a token"),
        ("generation_config.json", {"eos_token_id": "</s>"}, "eos_token_id|not.* a token"),
        ("config.json", {"hidden_act": "no-such"}, "describes no model"),
        ("config.json", {"num_attention_heads": 5}, "another shape|can't be loaded"),
        ("config.json", {"rope_parameters": {"rope_type": "spiral"}}, "describes no model"),
    ],
)
def test_loading_settings_of_a_wrong_kind_is_one_line(
    folder: Path, file: str, setting: dict[str, object], text: str
) -> None:
    edit(folder / file, **setting)
    with pytest.raises(ModelError, match=text):
        load(folder)


def test_loading_an_end_token_that_is_no_token_ends_nothing(folder: Path) -> None:
    before = load(folder)
    edit(folder / "tokenizer_config.json", eos_token="")
    assert end_ids(before.model, before.tokenizer) == {tiny.EOS_ID}
    loaded = load(folder)
    assert end_ids(loaded.model, loaded.tokenizer) == {tiny.EOS_ID}  # the config and the template


# --- wrappers ---


def text_settings(family: str, **settings: object) -> dict[str, object]:
    return {**tiny.tiny_config(family).to_dict(), **settings}


def wrapper(kind: str) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    if kind == "gemma3":
        config = transformers.Gemma3Config(
            text_config=text_settings("gemma3_text", final_logit_softcapping=None),
            vision_config={**VISION, "model_type": "siglip_vision_model"},
            mm_tokens_per_image=4,
        )
        return transformers.Gemma3ForConditionalGeneration(config).eval()
    if kind == "mistral3":
        config = transformers.Mistral3Config(
            text_config=text_settings("mistral"),
            vision_config={**VISION, "model_type": "pixtral", "head_dim": 16},
        )
        return transformers.Mistral3ForConditionalGeneration(config).eval()
    config = transformers.LlavaConfig(
        text_config=text_settings("llama" if kind == "llava" else kind),
        vision_config={**VISION, "model_type": "clip_vision_model", "projection_dim": 16},
        image_token_index=5,
    )
    return transformers.LlavaForConditionalGeneration(config).eval()


@pytest.mark.parametrize("kind", ["gemma3", "mistral3", "llava"])
def test_loading_a_wrapper_gives_the_text_model_that_says_what_the_wrapper_says(
    kind: str, tmp_path: Path
) -> None:
    model = wrapper(kind)
    model.save_pretrained(tmp_path)
    tiny.tiny_tokenizer().save_pretrained(tmp_path)
    loaded = load(tmp_path, self_test=True)
    tokens_BT = torch.arange(3, 40)[None]
    with torch.no_grad():
        theirs, ours = model(tokens_BT).logits, loaded.model(tokens_BT).logits
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert f"is a {kind} model: its text model" in loaded.warnings[0]


def test_loading_a_wrapper_whose_text_model_is_not_supported_says_what_it_is(
    tmp_path: Path,
) -> None:
    config = transformers.AutoConfig.for_model(
        "internvl", text_config=text_settings("qwen2"), vision_config=VISION
    )
    config.save_pretrained(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / WEIGHTS)
    with pytest.raises(UnsupportedFamilyError, match=r"is a internvl model around a text model of"):
        load(tmp_path)


def test_loading_a_gemma3_wrapper_that_caps_logits_only_inside_is_refused(tmp_path: Path) -> None:
    model = wrapper("gemma3")
    model.config.text_config.final_logit_softcapping = 5.0
    model.save_pretrained(tmp_path)
    with pytest.raises(UnsupportedFamilyError, match="caps its logits"):
        load(tmp_path)


# --- self-test: engine against the untouched model ---

ODD = {
    "granite": {"embedding_multiplier": 1.02, "logits_scaling": 1.0},
    "granite, logits": {"logits_scaling": 0.5, "embedding_multiplier": 1.0},
    "cohere": {"logit_scale": 0.0625},
    "cohere2": {"logit_scale": 0.25, "head_dim": 8},
    "ministral": {"sliding_window": 4, "head_dim": 8},
    "starcoder2": {"sliding_window": 5000},
    "exaone4": {"sliding_window": 5000},
    "minimax": {},
    "deepseek_v3": {},
    "jetmoe": {},
    "doge": {},
    "persimmon": {},
}
"""Families that a one-line entry gets wrong: factors, windows, other inputs, other anatomies."""
PLAIN = ("olmo", "glm", "helium", "arcee", "stablelm", "nemotron")
"""Families that a one-line entry gets right."""


def random_model(family: str, dtype: torch.dtype, **settings: object) -> torch.nn.Module:
    config = AutoConfig.for_model(
        family,
        **{
            "vocab_size": 99,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
            "pad_token_id": 0,
            "head_dim": 8,
            **settings,
        },
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return model.eval().to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ODD)
def test_selftest_refuses_by_name_what_an_anatomy_entry_misses(
    family: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = family.partition(",")[0]
    monkeypatch.setitem(anatomy.ANATOMIES, name, anatomy.Anatomy())
    with pytest.raises(UnsupportedFamilyError, match=rf"self-test: .* this {name} model"):
        check_model(random_model(name, dtype, **ODD[family]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", PLAIN)
def test_selftest_passes_families_that_an_entry_describes(
    family: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(anatomy.ANATOMIES, family, anatomy.Anatomy())
    check_model(random_model(family, dtype))


@pytest.mark.parametrize("rule", list(anatomy.MaskRule))
@pytest.mark.parametrize("family", ["mistral", "qwen2"])
def test_selftest_finds_a_wrong_rule_for_windows_wider_than_its_prompt(
    family: str, rule: anatomy.MaskRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = anatomy.ANATOMIES[family].masks
    monkeypatch.setitem(anatomy.ANATOMIES, family, anatomy.Anatomy(masks=rule))
    model = tiny.tiny_model(family, sliding_window=4096)
    if rule is right:
        check_model(model)
    else:
        with pytest.raises(UnsupportedFamilyError, match="self-test: "):
            check_model(model)


def test_selftest_finds_a_cap_in_a_config_whose_model_has_none() -> None:
    model = tiny.tiny_model("llama")
    model.config.final_logit_softcapping = 2.0
    with pytest.raises(UnsupportedFamilyError, match=r"the engine's logits .* this llama model"):
        check_model(model)
