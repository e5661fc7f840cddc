"""Which files of a folder are the model's weights: those that transformers reads, and no others."""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open

from search_cluster.errors import ModelError

SINGLE_WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_AGAIN = "download or save the model again"
_LFS_POINTER = b"version https://git-lfs"
"""How the text begins that Git leaves in the place of a large file it did not fetch."""


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files that make up the model, sorted by name.

    A single file comes before an index of several ones, as in transformers.

    Raises:
        ModelError: there are none (weights in pickle files are not loaded), there is an adapter, or
            the index is damaged or names others.
    """
    _refuse_adapters(folder)
    if (folder / SINGLE_WEIGHTS).is_file():
        return _downloaded(folder / SINGLE_WEIGHTS)
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
        return _downloaded(*files)
    raise ModelError(
        f"{folder} holds neither {SINGLE_WEIGHTS} nor {WEIGHTS_INDEX}; {_what_is_there(folder)}"
    )


def _downloaded(*files: Path) -> tuple[Path, ...]:
    """The files themselves, unless one is a note of Git LFS about a file that is elsewhere."""
    for file in files:
        with file.open("rb") as stream:
            if stream.read(len(_LFS_POINTER)) == _LFS_POINTER:
                raise ModelError(
                    f"{file} is a Git LFS pointer and not the weights themselves; run git lfs pull "
                    "in its folder, or download the model again (hf download)"
                )
    return files


def _what_is_there(folder: Path) -> str:
    """What a folder without weights holds in their place, and what to do."""
    places = [
        path.parent
        for name in (SINGLE_WEIGHTS, WEIGHTS_INDEX)
        for pattern in (f"*/{name}", f"snapshots/*/{name}")
        for path in folder.glob(pattern)
    ]
    if places:
        newest = max(places, key=lambda place: (place.stat().st_mtime, str(place)))
        return f"a model lies in a folder below it: give {newest}"
    others = sorted(path.name for path in folder.glob("*.safetensors"))
    if others:
        return (
            f"{others[0]} is there, and no index that names its parts: download the model again, "
            f"or save it with save_pretrained (a single file is named {SINGLE_WEIGHTS})"
        )
    return (
        "weights must be safetensors: save the model once more with save_pretrained of a current "
        "transformers"
    )


def require_floating_point(files: tuple[Path, ...]) -> None:
    """Pass if no weight of these files is a whole number.

    Whole numbers are quantised weights; without the scales and the settings that belong to them
    transformers takes them as they are.

    Raises:
        ModelError: one is.
    """
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no mapping
                if name.endswith((".weight", ".bias")):
                    dtype = str(tensors.get_slice(name).get_dtype())
                    if dtype.startswith(("I", "U", "BOOL")):
                        raise ModelError(
                            f"{file} holds quantised weights ({name} is {dtype}), and the config "
                            "does not say how to read them; take the model as it was before it "
                            "was quantised, or save it dequantised"
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
