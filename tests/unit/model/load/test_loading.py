import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import tiny
from support.model_doubles import CAPITAL, ChoiceTask, GenerateTask
from support.model_folders import edit_json

from search_cluster.errors import ModelError, UnsupportedFamilyError
from search_cluster.model.load.fingerprint import file_digest
from search_cluster.model.load.loading import load_model
from search_cluster.model.load.selftest import check_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath


@pytest.fixture(autouse=True)
def _private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_CLUSTER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save_tiny_model(tmp_path / "model", chat=True)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_folder_of_every_family_loads_frozen_and_answers(tmp_path: Path, family: str) -> None:
    loaded = load_model(str(tiny.save_tiny_model(tmp_path / "m", family, chat=True)))
    assert (loaded.num_layers, loaded.chat, loaded.dtype, loaded.device) == (
        6,
        True,
        "float32",
        "cpu",
    )
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert loaded.model.dtype == torch.float32
    kernel = "eager" if family == "gemma2" else "sdpa"
    assert loaded.model.config._attn_implementation == kernel
    path = LayerPath((0, 1, 1, 4, 5), 6)
    for task in (ChoiceTask(), GenerateTask()):
        assert evaluate_path(loaded, task, CAPITAL, path).num_layer_tokens > 0


def test_what_is_loaded_is_what_was_saved(folder: Path) -> None:
    loaded, original = load_model(str(folder)), tiny.tiny_model()
    ids = torch.arange(20, 34)[None]
    assert torch.equal(loaded.model(ids).logits, original(ids).logits)
    assert loaded.spec == str(folder)


def test_other_dtypes_load_and_pass_the_self_test(folder: Path) -> None:
    for dtype in ("bfloat16", "float16"):
        assert load_model(str(folder), dtype=dtype).model.dtype == getattr(torch, dtype)


def test_a_folder_without_chat_template_is_a_base_model(tmp_path: Path) -> None:
    assert not load_model(str(tiny.save_tiny_model(tmp_path / "base"))).chat


# --- fingerprint ---


def fingerprint(folder: Path, dtype: str = "auto") -> str:
    return load_model(str(folder), dtype=dtype, self_test=False).fingerprint


def test_equal_content_has_an_equal_fingerprint_wherever_it_lies(
    folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "renamed")
    (copy / "README.md").write_text("a model card is not part of the model")
    edit_json(copy / "config.json", transformers_version="9.9.9", _name_or_path="x")
    assert fingerprint(copy) == fingerprint(folder)
    assert len(fingerprint(folder)) == 32
    assert int(fingerprint(folder), 16) >= 0


def change_one_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] += 1e-3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    "change",
    [
        change_one_weight,
        lambda folder: edit_json(folder / "config.json", rms_norm_eps=1e-5),
        lambda folder: edit_json(folder / "generation_config.json", eos_token_id=[1, 5]),
        lambda folder: edit_json(folder / "tokenizer_config.json", eos_token="<pad>"),
        lambda folder: (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}"),
    ],
)
def test_other_content_has_another_fingerprint(folder: Path, change) -> None:
    before = fingerprint(folder)
    change(folder)
    assert fingerprint(folder) != before


def test_another_dtype_has_another_fingerprint(folder: Path) -> None:
    assert fingerprint(folder, "bfloat16") != fingerprint(folder, "float32")


def test_digests_of_large_files_are_remembered_until_the_file_changes(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(b"a" * (1 << 20))
    first = file_digest(big)
    memo = next((tmp_path / "cache" / "digests").iterdir())
    memo.write_text("remembered")
    assert file_digest(big) == "remembered"
    os.utime(big, ns=(1, 1))
    assert file_digest(big) == first


def test_without_a_cache_folder_digests_are_computed_each_time(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    big = tmp_path / "big"
    big.write_bytes(b"a" * (1 << 20))
    remembered = file_digest(big)
    monkeypatch.setenv("SEARCH_CLUSTER_CACHE", "/dev/null/nowhere")
    assert load_model(str(folder)).num_layers == 6
    assert not caplog.records
    assert file_digest(big) == remembered
    assert "set SEARCH_CLUSTER_CACHE to a folder of your own" in caplog.text


# --- errors ---


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("/nowhere/model", r"model '/nowhere/model': there is no such folder; give a folder"),
        ("./nowhere", r"there is no such folder"),
        ("/nowhere/x.gguf", r"there is no such GGUF file"),
        (
            "acme/no-such-model",
            r"'acme/no-such-model' is not in the local hub cache and the hub can't be reached",
        ),
        ("two words", r"'two words' is neither a folder nor a hub id"),
        ("", r"model is ''; give a folder, a .gguf file, a hub id or 'demo'"),
        (__file__, r"test_loading.py' is a file; give the folder around it"),
    ],
)
def test_unknown_models_are_refused_with_a_next_step(spec: str, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        load_model(spec)


@pytest.mark.parametrize("text", ["{", "", "[1]", "\udcff"])
def test_a_config_that_is_no_json_object_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, errors="surrogateescape")
    with pytest.raises(
        ModelError, match=r"config.json (is not JSON|holds no JSON object).*; download"
    ):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("{}", "has no weight_map that names files"),
        ('{"weight_map": {"a": 1}}', "has no weight_map that names files"),
        (
            '{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}',
            "lacks 2 of its weight files, one.safe",
        ),
    ],
)
def test_a_damaged_index_of_weights_is_refused(folder: Path, text: str, message: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        load_model(str(folder))


def test_an_unknown_dtype_or_device_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="dtype is 'int3'; it is auto or one of float32"):
        load_model(str(folder), dtype="int3")
    with pytest.raises(ModelError, match=r"device 'cuda:99' can't take the model"):
        load_model(str(folder), device="cuda:99")


def test_a_folder_without_tokenizer_is_refused(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(ModelError, match=r"the tokenizer of .* can't be loaded"):
        load_model(str(folder))


def test_a_folder_without_safetensors_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(
        ModelError, match=r"holds neither model.safetensors nor .*; weights must be safetensors"
    ):
        load_model(str(folder))


def test_a_folder_that_lacks_a_weight_is_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.2.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"lacks 1 weight, model.layers.2.mlp.up_proj.weight first"
    ):
        load_model(str(folder))


def test_damaged_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ModelError, match=r"the weights of .* can't be loaded"):
        load_model(str(folder))


def test_a_folder_without_config_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"the config of .* can't be loaded"):
        load_model(str(folder))


def test_a_gguf_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"no gguf")
    with pytest.raises(ModelError, match=r"x.gguf can't be read as a GGUF model"):
        load_model(str(tmp_path / "x.gguf"))


def test_an_unsupported_family_is_refused_by_name(folder: Path) -> None:
    edit_json(folder / "config.json", model_type="gpt_neox", architectures=["GPTNeoXForCausalLM"])
    with pytest.raises(UnsupportedFamilyError, match="'gpt_neox' has no anatomy entry"):
        load_model(str(folder))


def test_code_of_the_models_authors_is_never_run_unasked(folder: Path) -> None:
    ran = folder / "ran"
    (folder / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass C: pass\nclass M: pass\n")
    edit_json(
        folder / "config.json",
        model_type="my_own",
        auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"},
    )
    with pytest.raises(
        ModelError, match=r"needs Python code from the model's authors.*--trust-remote-code"
    ):
        load_model(str(folder))
    assert not ran.exists()


# --- self-test ---


def loaded_broken(monkeypatch: pytest.MonkeyPatch, folder: Path, broken) -> LoadedModel:
    monkeypatch.setattr("search_cluster.model.load.selftest.materialise", broken)
    return load_model(str(folder))


def test_the_self_test_catches_shared_cache_slots(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search_cluster.model.materialise import materialise

    def without_slots(model, path):
        view = materialise(model, path)
        for position, layer in enumerate(path.layers):
            view.model.layers[position].self_attn.layer_idx = layer
        return view

    with pytest.raises(
        ModelError,
        match=r"self-test: with layer 3 repeated, this llama model's logits with KV cache",
    ):
        loaded_broken(monkeypatch, folder, without_slots)


def test_the_self_test_catches_an_identity_that_is_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search_cluster.model.materialise import materialise

    def shifted(model, path):
        return materialise(model, LayerPath((*path.layers[1:], 0), path.num_layers))

    with pytest.raises(
        ModelError, match="self-test: the identity path of this llama model differs"
    ):
        loaded_broken(monkeypatch, folder, shifted)


def test_the_self_test_catches_broken_numbers() -> None:
    model = tiny.tiny_model()
    model.model.norm.weight[0] = float("nan")
    with pytest.raises(
        ModelError, match=r"self-test: the logits of this llama model are NaN or infinite in"
    ):
        check_model(model)
