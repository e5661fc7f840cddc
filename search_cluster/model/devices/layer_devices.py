"""Where the parts of a model are whose layers lie on several devices, read off its weights.

Layers stand in contiguous blocks: the embeddings on the first device, the final norm and the head
on the last one. What a layer computes with and remembers (its weights, keys and values) is on its
device. What it leaves is kept where the layer behind it is, which reads it most often, so that the
states of a block's last layer cross once, whoever reads them afterwards.
"""

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from search_cluster.errors import ModelError


@dataclass(frozen=True, slots=True)
class LayerDevices:
    """The devices of a model's parts; one device in most."""

    first: torch.device
    """That of the embeddings."""
    layers: tuple[torch.device, ...]
    """That of each layer."""
    last: torch.device
    """That of the final norm and the head."""

    @property
    def distinct(self) -> tuple[torch.device, ...]:
        """Each device once, in the order of the layers."""
        return tuple(dict.fromkeys((self.first, *self.layers, self.last)))

    def of_states(self, layer: int) -> torch.device:
        """Where the states behind a layer are kept; -1 stands for the embeddings."""
        if layer < 0:
            return self.first
        return self.layers[layer + 1] if layer + 1 < len(self.layers) else self.last

    def of_jump(self, after: int) -> torch.device:
        """Where a bridge is crossed that leads to a layer; behind the last one is the norm."""
        return self.layers[after] if after < len(self.layers) else self.last


def devices_of(model: PreTrainedModel) -> LayerDevices:
    """Where a model's parts are."""
    layers = tuple(map(_device_of, model.model.layers))
    # The norm of some families has no weights; it is where the last layer is.
    return LayerDevices(first=_device_of(model.model.embed_tokens), layers=layers, last=layers[-1])


def _device_of(module: torch.nn.Module) -> torch.device:
    return next(module.parameters()).device


def require_one_device(model: PreTrainedModel, what: str) -> None:
    """Pass if a model is on one device.

    Args:
        model: the model.
        what: what needs that, in words.

    Raises:
        ModelError: its layers are on several.
    """
    names = [str(device) for device in devices_of(model).distinct]
    if len(names) > 1:
        raise ModelError(
            f"the model's layers are on {', '.join(names)}; {what} takes a model on one device: "
            "load it without devices_per_worker"
        )


def device_names(device: str, num_devices: int) -> tuple[str, ...]:
    """The devices of a worker, as torch names them: one, or several GPUs beginning with one.

    Args:
        device: ``cuda``, ``cuda:N``, or any other device that is alone.
        num_devices: how many.
    """
    if num_devices == 1:
        return (device,)
    kind, _, index = device.partition(":")
    first = int(index or 0)
    return tuple(f"{kind}:{first + number}" for number in range(num_devices))
