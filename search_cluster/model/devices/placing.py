"""Puts a model's layers on several devices, and lets states follow them.

Each part that lies behind another one on another device has a hook before its forward, which
brings what it is given to its device. So the plain model, its materialised paths and passes that
are driven by hand run as they do on one device. The engine, which sends states itself and counts
what it sends, has layers without these hooks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from search_cluster.errors import ModelError
from search_cluster.model.devices.layer_devices import devices_of
from search_cluster.model.memory_plan import size_in_parts

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class ArrivalHook:
    """A hook before a module's forward: all tensors that it is given come to its device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __call__(
        self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, Any]:
        """The arguments, on the device."""
        return self._brought(args), self._brought(kwargs)

    def _brought(self, item: Any) -> Any:
        if isinstance(item, Tensor):
            return item if item.device == self.device else item.to(self.device)
        if type(item) in (tuple, list):
            return type(item)(self._brought(part) for part in item)
        if type(item) is dict:
            return {key: self._brought(part) for key, part in item.items()}
        return item


def layer_counts(model: PreTrainedModel, num_devices: int) -> tuple[int, ...]:
    """How many of a model's layers each device gets, by the bytes of their weights.

    Raises:
        ModelError: there are more devices than layers.
    """
    size = size_in_parts(model, model.dtype)
    require_layers(len(size.layer_bytes), num_devices)
    return size.layer_counts(num_devices)


def require_layers(num_layers: int, num_devices: int) -> None:
    """Pass if each device gets a layer.

    Raises:
        ModelError: there are more devices than layers.
    """
    if num_devices > num_layers:
        raise ModelError(
            f"devices_per_worker is {num_devices}, and the model has {num_layers} layers; each "
            f"device holds one at least: set it to {num_layers} or less"
        )


def place_layers(
    model: PreTrainedModel, devices: Sequence[torch.device], counts: Sequence[int] | None = None
) -> None:
    """Put a plain model's parts on devices, in place; a head that is tied gets weights of its own.

    Args:
        model: a causal LM of a supported family.
        devices: at least two, unlike each other.
        counts: how many layers each has; ``None``: as they are, if loading has sent them there,
            else see `layer_counts`.
    """
    found = devices_of(model)
    if counts is None and found.distinct == tuple(devices):
        counts = [found.layers.count(device) for device in devices]
    counts = counts or layer_counts(model, len(devices))
    first, last = devices[0], devices[-1]
    decoder, head = model.model, model.lm_head
    if head.weight is decoder.embed_tokens.weight:
        head.weight = nn.Parameter(head.weight.detach().to(last), requires_grad=False)
    blocks = zip(devices, counts, strict=True)
    of_layers = [device for device, count in blocks for _ in range(count)]
    for name, child in decoder.named_children():
        if child is decoder.layers:
            for layer, device in zip(child, of_layers, strict=True):
                layer.to(device)
        else:
            child.to(last if name == "norm" else first)
    head.to(last)
    for module, device in zip((*decoder.layers, decoder.norm), (*of_layers, last), strict=True):
        module.register_forward_pre_hook(ArrivalHook(device), with_kwargs=True, prepend=True)
    assert devices_of(model).distinct == tuple(devices), "each device has a part"


def without_arrivals(module: ModuleT) -> ModuleT:
    """A shallow copy of a layer or a norm, off which the hooks of `place_layers` are taken."""
    hooks: Mapping[int, Any] = module._forward_pre_hooks
    for number in [number for number, hook in hooks.items() if isinstance(hook, ArrivalHook)]:
        del module._forward_pre_hooks[number]
        module._forward_pre_hooks_with_kwargs.pop(number, None)
    return module
