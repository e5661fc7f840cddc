"""Files of tokenizers; what other versions make of them is in ``test_other_versions.py``."""

import json
from pathlib import Path

import pytest
from support import tiny
from support.exports import TEXTS, tokenizers_by_name
from transformers import AutoTokenizer, ByT5Tokenizer, PreTrainedTokenizerBase

from search_cluster.model.portable.tokenizer import INCIDENTAL, PORTABLE_CLASS, save_tokenizer

TOKENIZERS = tokenizers_by_name()


def saved(tokenizer: PreTrainedTokenizerBase, folder: Path, family: str = "llama") -> Path:
    """The folder of a base model with this tokenizer."""
    tiny.tiny_config(family).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def exported(tokenizer: PreTrainedTokenizerBase, folder: Path, family: str = "llama") -> Path:
    tiny.tiny_config(family).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


def settings_of(folder: Path) -> dict[str, object]:
    settings: dict[str, object] = json.loads((folder / "tokenizer_config.json").read_text())
    return settings


@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_leaving_tokenizers_read_back_with_equal_tokens(
    name: str, family: str, tmp_path: Path
) -> None:
    loaded = AutoTokenizer.from_pretrained(saved(TOKENIZERS[name], tmp_path / "base", family))
    folder = exported(loaded, tmp_path / "out", family)
    read = AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        assert dict(read(text)) == dict(loaded(text))
        ids = loaded(text)["input_ids"]
        assert read.decode(ids) == loaded.decode(ids)
        assert read.decode(ids, skip_special_tokens=True) == loaded.decode(
            ids, skip_special_tokens=True
        )
    assert read.chat_template == loaded.chat_template
    assert read.special_tokens_map == loaded.special_tokens_map
    assert (read.padding_side, read.model_max_length, len(read)) == (
        loaded.padding_side, loaded.model_max_length, len(loaded),
    )  # fmt: skip
    settings = settings_of(folder)
    assert settings["tokenizer_class"] == PORTABLE_CLASS
    assert not set(settings) & set(INCIDENTAL)


def test_leaving_tokenizers_do_not_tell_how_they_were_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = saved(TOKENIZERS["chat"], tmp_path / "base")
    folders = []
    for offline in (True, False):
        loaded = AutoTokenizer.from_pretrained(base, local_files_only=offline)
        loaded(["a", "bbbb"], padding=True, truncation=True, max_length=2 + offline)
        folders.append(exported(loaded, tmp_path / str(offline)))
        assert (
            exported(AutoTokenizer.from_pretrained(folders[-1]), tmp_path / f"again {offline}")
            .joinpath("tokenizer_config.json")
            .read_bytes()
            == (folders[-1] / "tokenizer_config.json").read_bytes()
        )
    for file in folders[0].iterdir():
        assert file.read_bytes() == (folders[1] / file.name).read_bytes()
        assert str(tmp_path).encode() not in file.read_bytes()
    described = json.loads((folders[0] / "tokenizer.json").read_text())
    assert described["padding"] is described["truncation"] is None


def test_leaving_templates_stand_where_each_version_looks(tmp_path: Path) -> None:
    one = exported(TOKENIZERS["chat"], tmp_path / "one")
    assert (one / "chat_template.jinja").read_text() == tiny.CHAT_TEMPLATE
    assert settings_of(one)["chat_template"] == tiny.CHAT_TEMPLATE
    named = exported(TOKENIZERS["named-templates"], tmp_path / "named")
    assert not (named / "chat_template.jinja").exists()
    assert settings_of(named)["chat_template"] == [
        {"name": "default", "template": tiny.CHAT_TEMPLATE},
        {"name": "tool_use", "template": f"T{tiny.CHAT_TEMPLATE}"},
    ]


def test_leaving_special_tokens_have_the_names_of_both_versions(tmp_path: Path) -> None:
    settings = settings_of(exported(tiny.tiny_tokenizer(), tmp_path / "list"))
    assert settings["additional_special_tokens"] == [tiny.IM_START]
    assert "extra_special_tokens" not in settings  # a list there stops version 4
    added = settings["added_tokens_decoder"]
    assert isinstance(added, dict)
    assert added[str(tiny.EOS_ID)]["content"] == tiny.EOS
    assert added[str(tiny.EOS_ID)]["special"]
    named = settings_of(exported(TOKENIZERS["named-token"], tmp_path / "named"))
    assert named["extra_special_tokens"] == {"image_token": tiny.IM_START}


def test_leaving_clean_up_is_what_the_installed_version_does(tmp_path: Path) -> None:
    """Llama 3 asks for it; version 4 then eats spaces that version 5 leaves."""
    tokenizer = TOKENIZERS["named-token"]
    assert tokenizer.clean_up_tokenization_spaces
    assert tokenizer.decode(tokenizer("hi .")["input_ids"]) == "<bos>hi ."
    settings = settings_of(exported(tokenizer, tmp_path / "out"))
    assert settings["clean_up_tokenization_spaces"] is False


def test_leaving_a_prefix_space_is_a_setting_too(tmp_path: Path) -> None:
    """Version 4 goes by the setting, and takes a missing one for no."""
    settings = settings_of(exported(TOKENIZERS["prefix-space"], tmp_path / "yes"))
    assert settings["add_prefix_space"] is True
    assert settings_of(exported(TOKENIZERS["bytes"], tmp_path / "no"))["add_prefix_space"] is False


def test_leaving_tokenizers_in_python_are_saved_as_they_are(tmp_path: Path) -> None:
    tokenizer = ByT5Tokenizer()
    tokenizer.init_kwargs["local_files_only"] = True
    assert not save_tokenizer(tokenizer, tmp_path)
    assert not set(settings_of(tmp_path)) & set(INCIDENTAL)
    assert settings_of(tmp_path)["tokenizer_class"] == "ByT5Tokenizer"
