"""A tokenizer in files that version 4 and version 5 of transformers read alike.

Version 5 names a class that version 4 does not know, lists special tokens where version 4 expects a
mapping, and keeps what it was loaded with: whether from this machine, whether without the hub.
"""

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

TOKENIZER_FILE, CONFIG_FILE = "tokenizer.json", "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"
PORTABLE_CLASS = "PreTrainedTokenizerFast"
"""The class of all versions that takes the tokenizer as its file describes it."""
INCIDENTAL = ("is_local", "local_files_only", "name_or_path", "_commit_hash", "backend", "token")
"""What ``save_pretrained`` of version 5 keeps of how a tokenizer was loaded."""
_NAMED_TOKENS = tuple(
    f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
)
_FACTS = (
    "model_input_names",
    "model_max_length",
    "padding_side",
    "split_special_tokens",
    "truncation_side",
)
_CLEAN_UP = "clean_up_tokenization_spaces"
_CLEAN_UP_ANYWAY = f"{_CLEAN_UP}_for_bpe_even_though_it_will_corrupt_output"
_OF_VERSION_5 = ("chat_control_tokens", "response_template")


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> bool:
    """Write a tokenizer into a folder that exists.

    Returns:
        Whether other versions read it as well. That is not known of a tokenizer which is not one
        of the library ``tokenizers``; it is saved as transformers does it.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        tokenizer.save_pretrained(folder)
        strip_incidental(folder)
        return False
    described = json.loads(backend.to_str())
    # Both are left over from the last call; each call sets them anew.
    described |= {"padding": None, "truncation": None}
    _write(folder / TOKENIZER_FILE, described)
    _write(folder / CONFIG_FILE, _settings(tokenizer, described))
    # A file goes before the settings. Version 4.51 knows no files for named templates, so that it
    # would take the default for all there is.
    if isinstance(tokenizer.chat_template, str):
        (folder / TEMPLATE_FILE).write_text(tokenizer.chat_template, encoding="utf-8")
    return True


def strip_incidental(folder: Path) -> None:
    """Remove from a saved tokenizer's settings how it was loaded."""
    file = folder / CONFIG_FILE
    settings = json.loads(file.read_text(encoding="utf-8"))
    _write(file, {name: value for name, value in settings.items() if name not in INCIDENTAL})


def _settings(tokenizer: PreTrainedTokenizerBase, described: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {"tokenizer_class": PORTABLE_CLASS}
    settings |= {name: getattr(tokenizer, name) for name in _FACTS}
    settings |= {
        name: value
        for name in _OF_VERSION_5
        if (value := getattr(tokenizer, name, None)) is not None
    }
    # Version 4 and the first of version 5 do it for BPE, too; a later one only if it is forced to.
    anyway = getattr(tokenizer, _CLEAN_UP_ANYWAY, False)
    if anyway:
        settings[_CLEAN_UP_ANYWAY] = True
    is_bpe = described["model"].get("type") == "BPE"
    settings[_CLEAN_UP] = tokenizer.clean_up_tokenization_spaces and (anyway or not is_bpe)
    # Version 4 goes by this and not by the file.
    pre_tokenizer = described.get("pre_tokenizer") or {}
    if "add_prefix_space" in pre_tokenizer:
        settings["add_prefix_space"] = pre_tokenizer["add_prefix_space"]
    named = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    settings |= {name: named.pop(name) for name in _NAMED_TOKENS if name in named}
    if named:
        settings["extra_special_tokens"] = named
    if tokenizer.extra_special_tokens:
        settings["additional_special_tokens"] = [str(t) for t in tokenizer.extra_special_tokens]
    settings["added_tokens_decoder"] = {
        str(token["id"]): {name: value for name, value in token.items() if name != "id"}
        for token in described["added_tokens"]
    }
    if isinstance(tokenizer.chat_template, dict):
        settings["chat_template"] = [
            {"name": name, "template": template}
            for name, template in tokenizer.chat_template.items()
        ]
    elif tokenizer.chat_template:
        settings["chat_template"] = tokenizer.chat_template
    return settings


def _write(file: Path, values: dict[str, Any]) -> None:
    text = json.dumps(values, indent=2, ensure_ascii=False)
    file.write_text(f"{text}\n", encoding="utf-8")
