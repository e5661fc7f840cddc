"""The fingerprint of a model: equal content, equal fingerprint, wherever the files lie."""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search_cluster.errors import ModelError
from search_cluster.model.load.user_cache import user_cache_dir

logger = logging.getLogger(__name__)

FINGERPRINT_HEX_DIGITS = 32
FINGERPRINT_VERSION = "1"
"""Changes whenever the same files would give another fingerprint."""
SINGLE_WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
CONFIG_FILES = ("config.json", "generation_config.json")
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
REMEMBERED_FROM_BYTES = 1 << 20
"""The size from which on a file's digest is remembered; digests of smaller files are computed each
time."""
_AGAIN = "download or save the model again"
_VOLATILE_SETTINGS = ("transformers_version", "_name_or_path", "_attn_implementation")
"""Settings of config files that say who wrote them, not what the model computes."""


def fingerprint_folder(folder: Path, dtype: str) -> str:
    """The fingerprint of a model folder loaded with a dtype, as 32 hexadecimal digits.

    It depends on weights, configs, tokenizer and code.

    Raises:
        ModelError: the folder holds no safetensors weights.
    """
    parts = [(path.name, file_digest(path)) for path in weight_files(folder)]
    for name in CONFIG_FILES:
        if (folder / name).is_file():
            parts.append((name, _settings_digest(folder / name)))
    code = sorted(path.name for path in folder.glob("*.py"))
    parts += [
        (name, file_digest(folder / name))
        for name in (*TOKENIZER_FILES, *code)
        if (folder / name).is_file()
    ]
    return _combine(parts, dtype)


def fingerprint_gguf(file: Path, dtype: str) -> str:
    """The fingerprint of a GGUF file loaded with a dtype.

    The file holds weights, config and tokenizer.
    """
    return _combine([("gguf", file_digest(file))], dtype)


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files that make up the model, sorted by name.

    Raises:
        ModelError: there are none (weights in pickle files are not loaded), or the index is damaged
            or names others.
    """
    if (folder / WEIGHTS_INDEX).is_file():
        index = _read_json(folder / WEIGHTS_INDEX).get("weight_map")
        if not isinstance(index, dict) or not all(isinstance(name, str) for name in index.values()):
            raise ModelError(
                f"{folder / WEIGHTS_INDEX} has no weight_map that names files; {_AGAIN}"
            )
        files = tuple(folder / name for name in sorted(set(index.values())))
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise ModelError(
                f"{folder} lacks {len(missing)} of its weight files, {missing[0]} first; {_AGAIN}"
            )
        return files
    if (folder / SINGLE_WEIGHTS).is_file():
        return (folder / SINGLE_WEIGHTS,)
    raise ModelError(
        f"{folder} holds neither {SINGLE_WEIGHTS} nor {WEIGHTS_INDEX}; weights must be "
        "safetensors: save the model once more with save_pretrained of a current transformers"
    )


def file_digest(path: Path) -> str:
    """The sha256 of a file; the digest of a large one is remembered in the user's cache.

    It is found again under real path, size and time of change. Where there is no cache folder to
    write to, a large file is read each time, and a warning says so.
    """
    real = path.resolve(strict=True)
    stat = real.stat()
    if stat.st_size < REMEMBERED_FROM_BYTES:
        return _digest(real)
    key = hashlib.sha256(f"{real}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()
    try:
        memo = user_cache_dir() / "digests" / key
    except ModelError as error:
        logger.warning("the digest of %s is not remembered: %s", real, error)
        return _digest(real)
    if memo.is_file():
        return memo.read_text(encoding="ascii")
    digest = _digest(real)
    memo.parent.mkdir(exist_ok=True)
    unfinished = memo.with_name(f"{key}.{os.getpid()}")
    unfinished.write_text(digest, encoding="ascii")
    unfinished.replace(memo)
    return digest


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _settings_digest(path: Path) -> str:
    settings = _read_json(path)
    kept = {name: value for name, value in settings.items() if name not in _VOLATILE_SETTINGS}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON ({error}); {_AGAIN}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path} holds no JSON object; {_AGAIN}")
    return values


def _combine(parts: Sequence[tuple[str, str]], dtype: str) -> str:
    content = json.dumps([FINGERPRINT_VERSION, dtype, sorted(parts)])
    return hashlib.sha256(content.encode()).hexdigest()[:FINGERPRINT_HEX_DIGITS]
