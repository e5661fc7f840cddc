"""Loading a frozen model: the demo, a local folder, a GGUF file or a hub id."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from search_cluster.bridged_spec import split_spec
from search_cluster.errors import ModelError
from search_cluster.hub.folders import local_folder
from search_cluster.hub_spec import FolderKind
from search_cluster.model.bridge.bridged import with_bridges
from search_cluster.model.bridge.folder import load_bridges
from search_cluster.model.chat_style import chat_style, uses_chat
from search_cluster.model.decoding import end_ids
from search_cluster.model.device_memory import require_memory
from search_cluster.model.devices.layer_devices import device_names
from search_cluster.model.devices.placing import place_layers
from search_cluster.model.devices.several import require_alike_devices, require_several
from search_cluster.model.load.fingerprint import fingerprint_of, parts_of
from search_cluster.model.load.folder import load_config, load_folder
from search_cluster.model.load.former_fingerprint import former_fingerprints
from search_cluster.model.load.gguf import load_gguf
from search_cluster.model.load.loading_report import transformers_warnings
from search_cluster.model.load.place import place_of
from search_cluster.model.load.selftest import check_model
from search_cluster.model.load.vocabulary import require_vocabulary
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.runtime import use_exact_products

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_model(
    named: str,
    *,
    dtype: str = "auto",
    device: str = "auto",
    revision: str | None = None,
    trust_remote_code: bool = False,
    chat: str = "auto",
    self_test: bool = True,
    workers_per_gpu: int = 1,
    devices_per_worker: int = 1,
) -> LoadedModel:
    """Load a model, frozen, in eval mode, on one device or with its layers on several GPUs.

    Args:
        named: ``demo``, a folder (safetensors), a ``.gguf`` file, or a hub id; behind it may stand
            ``+bridges=`` and a folder (`search_cluster.bridged_spec`).
        dtype: ``float32``, ``bfloat16`` or ``float16``; ``auto`` means float32 on the CPU, else
            bfloat16.
        device: a torch device; ``auto`` means ``cuda`` if there is one, else ``cpu``.
        revision: the branch, tag or commit of a hub id.
        trust_remote_code: whether to run Python code that the model brings along.
        chat: whether prompts are asked in the tokenizer's chat template: ``auto`` (if there is
            one), ``always`` or ``never``.
        self_test: whether to check that the model's layers can be re-ordered, and that the engine
            computes what the model does (a few short passes).
        workers_per_gpu: how many load it on the same GPU.
        devices_per_worker: the GPUs that share its layers, beginning with ``device``.

    Raises:
        UnsupportedFamilyError: the model's family has no anatomy entry.
        ConfigError: the folder of the bridges holds none, or they are damaged.
        ModelError: anything else that keeps it from being loaded; the message says what to do.
    """
    spec, bridges = split_spec(named)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    dtype = ("float32" if device == "cpu" else "bfloat16") if dtype == "auto" else dtype
    if dtype not in DTYPES:
        raise ModelError(f"dtype is {dtype!r}; it is auto or one of {', '.join(DTYPES)}")

    use_exact_products(device)
    require_several(device, devices_per_worker)
    names = device_names(device, devices_per_worker)
    for name in names:
        _require_device(name)
    require_alike_devices(names)

    def require_room(config: PreTrainedConfig) -> None:
        try:
            require_memory(
                *(config, DTYPES[dtype], device),
                num_workers=workers_per_gpu,
                num_devices=devices_per_worker,
            )
        except ModelError as error:
            raise ModelError(f"model {spec!r} in {dtype}: {error}") from error

    def check(folder: Path) -> None:
        if (folder / "config.json").is_file():
            require_room(load_config(folder, trust_remote_code=trust_remote_code)[1])

    place = place_of(spec, revision, check=check)
    with transformers_warnings() as said:
        if place.suffix == ".gguf":
            model, tokenizer, notes = load_gguf(place, DTYPES[dtype])
        else:
            model, tokenizer, notes = load_folder(
                place,
                DTYPES[dtype],
                devices=names,
                trust_remote_code=trust_remote_code,
                require_room=require_room,
            )
    notes += require_vocabulary(model, tokenizer, str(place))
    in_chat = uses_chat(tokenizer, chat)
    parts = parts_of(
        model,
        tokenizer,
        dtype=dtype,
        template=chat_style(tokenizer).template if in_chat else "",
        ends=end_ids(model, tokenizer),
        source=place,
    )
    # Former versions always used the template that there was.
    former = former_fingerprints(place, dtype) if in_chat == bool(tokenizer.chat_template) else ()
    model = _on_devices(model, names)
    if self_test:
        check_model(model)
    for line in (*notes, *said):
        logger.warning("%s", line)
    loaded = LoadedModel(
        model=model,
        tokenizer=tokenizer,
        spec=spec,
        fingerprint=fingerprint_of(parts),
        former_fingerprints=former,
        parts=parts,
        warnings=(*notes, *said),
        num_layers=len(model.model.layers),
        chat=in_chat,
        device=names[0],
        num_devices=len(names),
        dtype=dtype,
    )
    if bridges is None:
        return loaded
    folder = local_folder(bridges, FolderKind.BRIDGES)
    return replace(with_bridges(loaded, load_bridges(folder, loaded)), spec=named)


def _require_device(device: str) -> None:
    """Pass if there is such a device; asked before anything is downloaded or read."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise _device_error(device, error) from error


def _on_devices(model: PreTrainedModel, names: Sequence[str]) -> PreTrainedModel:
    module: nn.Module = model
    module.eval().requires_grad_(False)
    try:
        if len(names) == 1:
            module.to(names[0])
        else:
            place_layers(model, [torch.device(name) for name in names])
    except (RuntimeError, AssertionError) as error:
        raise _device_error(", ".join(names), error) from error
    return model


def _device_error(device: str, error: Exception) -> ModelError:
    return ModelError(
        f"device {device!r} can't take the model ({error}); use auto, cpu, cuda or cuda:N"
    )
