"""Former fingerprints: what search-cluster up to 0.2.0 called the same model.

Version 1 hashed files. It is kept so that corpora, routers and caches that were written under it go
on working: a model is known under its former fingerprints, too, and a run that was begun under one
of them goes on under that one. Of a folder of which version 1 hashed other files than were loaded
(two sets of weights, an adapter, a template for another use) there is no former fingerprint.

Version 1 also hashed two settings that save_pretrained of a tokenizer writes and nobody reads,
``local_files_only`` and ``is_local``: with them the demo model had one fingerprint if it was
converted with ``HF_HUB_OFFLINE`` set and another if not. All variants are known.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path

from search_cluster.model.load.digests import file_digest
from search_cluster.model.load.fingerprint import FINGERPRINT_HEX_DIGITS
from search_cluster.model.load.hub import TEMPLATES_FOLDER
from search_cluster.model.load.weight_files import (
    SINGLE_WEIGHTS,
    WEIGHTS_INDEX,
    read_settings,
    weight_files,
)

FORMER_VERSION = "1"
CONFIG_FILES = ("config.json", "generation_config.json")
TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    TOKENIZER_CONFIG,
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
_VOLATILE_SETTINGS = ("transformers_version", "_name_or_path", "_attn_implementation")
UNREAD_SETTINGS = ("local_files_only", "is_local")
"""What save_pretrained writes into a tokenizer's config and nobody reads."""


def former_fingerprints(source: Path, dtype: str) -> tuple[str, ...]:
    """The fingerprints that version 1 gave a folder or a GGUF file loaded with a dtype."""
    if source.is_file():
        return (_combine([("gguf", file_digest(source))], dtype),)
    weights = _only_weight_files(source)
    if weights is None or (source / TEMPLATES_FOLDER).exists():  # version 1 did not hash these
        return ()
    parts = [(path.name, file_digest(path)) for path in weights]
    for name in CONFIG_FILES:
        if (source / name).is_file():
            parts.append((name, _settings_digest(source / name)))
    code = sorted(path.name for path in source.glob("*.py"))
    parts += [
        (name, file_digest(source / name))
        for name in (*TOKENIZER_FILES, *code)
        if name != TOKENIZER_CONFIG and (source / name).is_file()
    ]
    if not (source / TOKENIZER_CONFIG).is_file():
        return (_combine(parts, dtype),)
    return tuple(
        _combine([*parts, (TOKENIZER_CONFIG, hashlib.sha256(text).hexdigest())], dtype)
        for text in _variants((source / TOKENIZER_CONFIG).read_bytes())
    )


def _variants(tokenizer_config: bytes) -> list[bytes]:
    """The bytes of a tokenizer's config as they are, then as other circumstances write them."""
    text = tokenizer_config.decode(errors="surrogateescape")
    texts = [text]
    if all(f'"{name}": ' in text for name in UNREAD_SETTINGS):
        for values in itertools.product(("false", "true"), repeat=len(UNREAD_SETTINGS)):
            variant = text
            for name, value in zip(UNREAD_SETTINGS, values, strict=True):
                variant = re.sub(rf'"{name}": (true|false)', f'"{name}": {value}', variant)
            texts.append(variant)
    return [item.encode(errors="surrogateescape") for item in dict.fromkeys(texts)]


def _only_weight_files(folder: Path) -> tuple[Path, ...] | None:
    """The files of the only set of weights in a folder; ``None`` if it is not the only one."""
    if (folder / WEIGHTS_INDEX).is_file() and (folder / SINGLE_WEIGHTS).is_file():
        return None
    return weight_files(folder)


def _settings_digest(path: Path) -> str:
    settings = read_settings(path)
    kept = {name: value for name, value in settings.items() if name not in _VOLATILE_SETTINGS}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _combine(parts: Sequence[tuple[str, str]], dtype: str) -> str:
    content = json.dumps([FORMER_VERSION, dtype, sorted(parts)])
    return hashlib.sha256(content.encode()).hexdigest()[:FINGERPRINT_HEX_DIGITS]
