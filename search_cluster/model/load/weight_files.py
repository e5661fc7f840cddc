"""Which files of a folder are the model's weights: those that transformers reads, and no others."""

import json
from pathlib import Path
from typing import Any

from search_cluster.errors import ModelError

SINGLE_WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_AGAIN = "download or save the model again"


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files that make up the model, sorted by name.

    A single file comes before an index of several ones, as in transformers.

    Raises:
        ModelError: there are none (weights in pickle files are not loaded), there is an adapter, or
            the index is damaged or names others.
    """
    _refuse_adapters(folder)
    if (folder / SINGLE_WEIGHTS).is_file():
        return (folder / SINGLE_WEIGHTS,)
    if (folder / WEIGHTS_INDEX).is_file():
        index = read_settings(folder / WEIGHTS_INDEX).get("weight_map")
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
    raise ModelError(
        f"{folder} holds neither {SINGLE_WEIGHTS} nor {WEIGHTS_INDEX}; weights must be "
        "safetensors: save the model once more with save_pretrained of a current transformers"
    )


def _refuse_adapters(folder: Path) -> None:
    """An adapter is no model: with ``peft`` transformers would merge it, and drop it without."""
    names = [name for name in (ADAPTER_CONFIG, *ADAPTER_WEIGHTS) if (folder / name).is_file()]
    if not names:
        return
    settings = read_settings(folder / ADAPTER_CONFIG) if names[0] == ADAPTER_CONFIG else {}
    kind = str(settings.get("peft_type") or "PEFT")
    base = settings.get("base_model_name_or_path")
    has_weights = any((folder / name).is_file() for name in (SINGLE_WEIGHTS, WEIGHTS_INDEX))
    raise ModelError(
        f"{folder} holds a {kind} adapter ({names[0]}"
        + (f", of base model {base!r}" if base else "")
        + (") beside weights" if has_weights else ") and no model")
        + "; layer paths need one model: merge it into its base model (peft: "
        "PeftModel.from_pretrained(base, folder).merge_and_unload().save_pretrained(out), and the "
        "tokenizer's save_pretrained(out))"
        + (
            ", or move the adapter's files away to search the weights without it"
            if has_weights
            else ""
        )
    )


def notes_on_weights(folder: Path) -> list[str]:
    """What a user should know of a folder that holds more than one set of weights."""
    if (folder / SINGLE_WEIGHTS).is_file() and (folder / WEIGHTS_INDEX).is_file():
        return [
            f"{folder} holds two sets of weights: {SINGLE_WEIGHTS} is read, the files that "
            f"{WEIGHTS_INDEX} names are not"
        ]
    return []


def read_settings(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a model.

    Raises:
        ModelError: the file holds no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON ({error}); {_AGAIN}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path} holds no JSON object; {_AGAIN}")
    return values
