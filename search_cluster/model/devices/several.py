"""Loading onto several GPUs: which they are, whether they will do, and what goes where."""

from collections.abc import Sequence

import torch
from accelerate.hooks import remove_hook_from_module
from transformers import PreTrainedConfig, PreTrainedModel

from search_cluster.errors import ModelError
from search_cluster.model.devices.placing import layer_counts
from search_cluster.model.memory_plan import weightless

_MOVES = ("to", "cuda", "hf_device_map")
"""What accelerate leaves with a model whose weights it has sent to several devices."""


def require_several(device: str, num_devices: int) -> None:
    """Pass if a device can be the first of so many.

    Raises:
        ModelError: it is no GPU, or there are fewer.
    """
    if num_devices == 1:
        return
    kind, _, index = device.partition(":")
    if kind != "cuda":
        raise ModelError(
            f"devices_per_worker is {num_devices}, and the device is {device}; layers are shared "
            "by GPUs alone: leave --devices-per-worker out, or take a machine with GPUs"
        )
    there = torch.cuda.device_count()
    if int(index or 0) + num_devices > there:
        raise ModelError(
            f"devices_per_worker is {num_devices}, and this process sees {there} GPUs"
            f"{f', of which {device} is to be the first' if index else ''}; a worker's devices are "
            "on one node: set --devices-per-worker to what a node has, or less"
        )


def require_alike_devices(names: Sequence[str]) -> None:
    """Pass if all devices of a worker are of one kind.

    Unlike ones round otherwise, and verdicts would depend on which layers each has.

    Raises:
        ModelError: two of them differ.
    """
    if len(names) == 1:
        return
    kinds = {
        name: (torch.cuda.get_device_name(name), torch.cuda.get_device_capability(name))
        for name in names
    }
    for name, kind in kinds.items():
        if kind != kinds[names[0]]:
            raise ModelError(
                f"{names[0]} is a {kinds[names[0]][0]} and {name} a {kind[0]}; devices of one "
                "worker are alike, so that all layers round alike: hide the others with "
                "CUDA_VISIBLE_DEVICES"
            )


def device_map_of(config: PreTrainedConfig, devices: Sequence[str]) -> dict[str, str] | None:
    """Which device each part of a model is loaded to, as ``from_pretrained`` takes it.

    Args:
        config: the model's.
        devices: their names; ``None`` is returned where they are no GPUs.

    Raises:
        ModelError: there are more devices than layers.
    """
    if not devices[0].startswith("cuda"):
        return None
    if len(devices) == 1:
        return {"": devices[0]}
    return parts_of_devices(layer_counts(weightless(config), len(devices)), devices)


def parts_of_devices(counts: Sequence[int], devices: Sequence[str]) -> dict[str, str]:
    """The device of each part.

    Args:
        counts: how many layers each device has.
        devices: their names.
    """
    of_layers = [name for name, count in zip(devices, counts, strict=True) for _ in range(count)]
    return {
        "model.embed_tokens": devices[0],
        "model.rotary_emb": devices[0],
        **{f"model.layers.{layer}": name for layer, name in enumerate(of_layers)},
        "model.norm": devices[-1],
        "lm_head": devices[-1],
    }


def take_dispatch_off(model: PreTrainedModel) -> None:
    """Undo what accelerate does to modules on several devices; weights stay where they are.

    It wraps forwards, which views of a model can't follow.
    """
    if len(set(getattr(model, "hf_device_map", {}).values())) > 1:
        remove_hook_from_module(model, recurse=True)
        for name in _MOVES:
            vars(model).pop(name, None)
        for module in model.modules():
            # It leaves the class's own forward behind, bound to this module: copies would run it.
            forward = vars(module).get("forward")
            if getattr(forward, "__func__", None) is type(module).forward:
                del module.forward
