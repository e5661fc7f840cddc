"""A lens on disk: the folder format of tuned-lens, with what we know besides in a file of our own.

``config.json`` and ``params.pt`` are what ``tuned_lens.TunedLens`` saves and loads (version 0.2):
translator i, ``"{i}.weight"`` and ``"{i}.bias"``, reads ``hidden_states[i]``, the state before
layer i, which is depth i here. ``params.safetensors`` may stand in the place of ``params.pt``.
``lens.json``, which is written last, names the model by its fingerprint; published folders have
none.
"""

import hashlib
import io
import json
import logging
import pickle
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from search_cluster.errors import ConfigError, ModelError, in_one_line
from search_cluster.files import replaced_whole, write_text_whole
from search_cluster.hub.folders import local_folder
from search_cluster.hub_spec import FolderKind
from search_cluster.model.fitted import require_same_model
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.model.lens.record import RECORD_NAME, LensRecord, read_record
from search_cluster.model.loaded import LoadedModel

CONFIG_NAME = "config.json"
PARAMS_NAME, SAFE_PARAMS_NAME = "params.pt", "params.safetensors"
WRITTEN_NAMES = (CONFIG_NAME, PARAMS_NAME, SAFE_PARAMS_NAME)
"""What a lens may be written to, besides its record."""
LENS_TYPE = "linear_tuned_lens"
"""What tuned-lens calls translators of this form."""
_logger = logging.getLogger(__name__)


class LensFormat(StrEnum):
    """How the translators are written."""

    TUNED_LENS = "tuned-lens"
    """As ``params.pt``, which tuned-lens reads."""
    SAFETENSORS = "safetensors"
    """As ``params.safetensors``, with the same keys."""

    @property
    def file_name(self) -> str:
        """The name of the file of translators."""
        return SAFE_PARAMS_NAME if self is LensFormat.SAFETENSORS else PARAMS_NAME


class _PublishedConfig(BaseModel):
    """What ``config.json`` says; tuned-lens drops other keys, and so do we."""

    model_config = ConfigDict(extra="ignore")

    base_model_name_or_path: str
    d_model: int
    num_hidden_layers: int
    bias: bool = True
    base_model_revision: str | None = None
    unembed_hash: str | None = None
    lens_type: str = LENS_TYPE


def lens_digest(lens: Lens) -> str:
    """16 hex digits that are equal for lenses of equal translators."""
    sha = hashlib.sha256(lens.kind.encode())
    for tensor in (lens.weight_LDD, lens.bias_LD):
        sha.update(tensor.float().cpu().contiguous().numpy().data)
    return sha.hexdigest()[:16]


def save_lens(
    folder: Path,
    lens: Lens,
    loaded: LoadedModel,
    *,
    format_: LensFormat = LensFormat.TUNED_LENS,
    revision: str | None = None,
    found: Mapping[str, Any] | None = None,
) -> None:
    """Write a lens; equal lenses give equal bytes.

    Args:
        folder: where to; a lens that is there is replaced.
        lens: what to write.
        loaded: the model that it was fitted to.
        format_: how to write the translators.
        revision: the branch, tag or commit of the model, if it is known.
        found: how it was fitted, for `LensRecord`; values are ready for JSON.

    Raises:
        CorpusError: the operating system refused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD_NAME).unlink(missing_ok=True)  # while it is missing, none can be mistaken
    translators: dict[str, Tensor] = {}
    for depth in range(lens.num_layers):
        # Views would be saved with all that they are views of.
        translators[f"{depth}.weight"] = lens.weight_LDD[depth].float().cpu().clone()
        translators[f"{depth}.bias"] = lens.bias_LD[depth].float().cpu().clone()
    if format_ is LensFormat.SAFETENSORS:
        content = save(translators)
    else:
        # Saved to a stream, because a file's name would become part of its bytes.
        stream = io.BytesIO()
        torch.save(translators, stream)
        content = stream.getvalue()
    with replaced_whole(folder / format_.file_name) as temporary:
        temporary.write_bytes(content)
    for other in LensFormat:
        if other is not format_:
            (folder / other.file_name).unlink(missing_ok=True)
    config = _PublishedConfig(
        base_model_name_or_path=loaded.spec,
        d_model=lens.bias_LD.shape[1],
        num_hidden_layers=lens.num_layers,
        base_model_revision=revision,
    )
    write_text_whole(folder / CONFIG_NAME, json.dumps(config.model_dump(), indent=2) + "\n")
    record = LensRecord(
        kind=lens.kind,
        digest=lens_digest(lens),
        model_fingerprint=loaded.fingerprint,
        model_spec=loaded.spec,
        model_dtype=loaded.dtype,
        model_parts=dict(loaded.parts),
        found=dict(found or {}),
    )
    text = json.dumps(asdict(record), indent=2)
    write_text_whole(folder / RECORD_NAME, text + "\n")


def load_lens(folder: Path, loaded: LoadedModel) -> Lens:
    """The lens of a folder, ours or a published one, on the model's device.

    Args:
        folder: on this machine, or as ``hub:`` names it.
        loaded: the model.

    Raises:
        ConfigError: there is no lens, or its files are damaged.
        HubError: there is none on the hub, or it can't be reached.
        ModelError: it belongs to another model.
    """
    folder = local_folder(folder, FolderKind.LENS)
    config = _read_config(folder)
    record = read_record(folder)
    _require_same_model(folder, config, record, loaded)
    translators = _read_translators(folder)
    width, num_layers = config.d_model, config.num_hidden_layers
    shapes: dict[str, tuple[int, ...]] = {
        f"{depth}.weight": (width, width) for depth in range(num_layers)
    }
    if config.bias:
        shapes |= {f"{depth}.bias": (width,) for depth in range(num_layers)}
    found = {name: tuple(tensor.shape) for name, tensor in translators.items()}
    if found != shapes:
        wrong = sorted(name for name in {*shapes, *found} if shapes.get(name) != found.get(name))
        raise ConfigError(
            f"lens {folder}: {wrong[0]} is {found.get(wrong[0], 'missing')}, by {CONFIG_NAME} it "
            f"is {shapes.get(wrong[0], 'not there')}; copy the folder again, or fit a lens with "
            "search-cluster lens fit"
        )
    for name, tensor in translators.items():
        if not bool(tensor.isfinite().all()):
            raise ConfigError(f"lens {folder}: {name} is not finite; fit the lens again")
    device = loaded.model.device
    bias_LD = torch.zeros(num_layers, width)
    if config.bias:
        bias_LD = torch.stack([translators[f"{i}.bias"].float() for i in range(num_layers)])
    weights = [translators[f"{i}.weight"].float() for i in range(num_layers)]
    lens = Lens(
        # Published lenses were found by descent on the divergence, unless somebody asked otherwise.
        kind=LensKind.KL if record is None else record.kind,
        weight_LDD=torch.stack(weights).to(device),
        bias_LD=bias_LD.to(device),
    )
    if record is not None and (digest := lens_digest(lens)) != record.digest:
        raise ConfigError(
            f"lens {folder} holds other translators than {RECORD_NAME} says (digest {digest}, not "
            f"{record.digest}); copy the folder again, or fit a lens with search-cluster lens fit"
        )
    return lens


def safe_params(folder: Path) -> bytes:
    """What ``params.safetensors`` of a folder holds, or would hold.

    Raises:
        ConfigError: there are no translators, or their file is damaged.
    """
    safe = folder / SAFE_PARAMS_NAME
    if safe.is_file():
        return safe.read_bytes()
    translators = _read_translators(folder)
    content: bytes = save({name: tensor.contiguous() for name, tensor in translators.items()})
    return content


def _read_config(folder: Path) -> _PublishedConfig:
    path = folder / CONFIG_NAME
    if not path.is_file():
        raise ConfigError(
            f"{folder} holds no {CONFIG_NAME}, so it is no lens; name a folder of search-cluster "
            "lens fit or of tuned-lens"
        )
    try:
        config = _PublishedConfig.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the text"
        raise ConfigError(
            f"{path} is no lens' description: {place}: {first['msg']}; copy the folder again"
        ) from error
    if config.lens_type != LENS_TYPE:
        raise ConfigError(
            f"{path} says lens_type {config.lens_type!r}; this version reads {LENS_TYPE!r}"
        )
    return config


def _read_translators(folder: Path) -> dict[str, Tensor]:
    safe, plain = folder / SAFE_PARAMS_NAME, folder / PARAMS_NAME
    path = safe if safe.is_file() else plain
    if not path.is_file():
        raise ConfigError(
            f"lens {folder} has neither {PARAMS_NAME} nor {SAFE_PARAMS_NAME}; copy the folder "
            "again, or fit a lens with search-cluster lens fit"
        )
    try:
        translators = (
            load_file(path)
            if path == safe
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ConfigError(
            f"{path} holds no plain tensors ({in_one_line(error)[:120]}); copy the folder "
            "again, or fit the lens again"
        ) from error
    if not isinstance(translators, dict) or not all(
        isinstance(value, Tensor) for value in translators.values()
    ):
        raise ConfigError(f"{path} is no table of tensors by name; copy the folder again")
    return dict(translators)


def _require_same_model(
    folder: Path, config: _PublishedConfig, record: LensRecord | None, loaded: LoadedModel
) -> None:
    """Pass if the lens is one of the loaded model, and say what can't be known."""
    model = loaded.model
    shape, wanted = (
        (int(model.config.hidden_size), loaded.num_layers),
        (config.d_model, config.num_hidden_layers),
    )
    if shape != wanted:
        raise ModelError(
            f"lens {folder} is for {config.base_model_name_or_path!r} (width {wanted[0]}, "
            f"{wanted[1]} layers); the loaded model {loaded.spec!r} has width {shape[0]} and "
            f"{shape[1]} layers: load the lens' own model, or fit a lens for this one"
        )
    if record is None:
        if config.base_model_name_or_path != loaded.spec:
            _logger.warning(
                "lens %s was written by another tool for %r and is used with %r: width and depth "
                "are the same, more can't be checked",
                *(folder, config.base_model_name_or_path, loaded.spec),
            )
        return
    require_same_model(
        record,
        loaded,
        what=f"lens {folder}",
        was="was",
        again="the lens' own model, or fit a lens for this one",
    )
