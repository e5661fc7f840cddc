"""Tiny models whose layers are on several fake devices."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from support import tiny
from support.fake_devices import DEVICES
from support.model_doubles import loaded_tiny

from search_cluster.model.devices.placing import place_layers
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath

PATHS = tuple(
    LayerPath(layers, tiny.NUM_LAYERS)
    for layers in (
        (0, 1, 2, 3, 4, 5),
        (0, 1, 4, 5),  # skips a device
        (3, 1, 5, 0, 2),  # begins behind the first one, goes back, ends on another than the last
        (0, 1, 1, 2, 3, 2, 3, 3, 0),  # repeats a block over two devices
        (5,),
    )
)


def placed_tiny(
    family: str = "llama",
    dtype: torch.dtype = torch.float32,
    *,
    devices: Sequence[torch.device] = DEVICES[:3],
    tied: bool = False,
) -> LoadedModel:
    """A tiny model on several devices; fake ones are there while `fake_devices` is entered."""
    model = tiny.tiny_model(family, tie_word_embeddings=tied).to(dtype)
    if len(devices) > 1:
        place_layers(model, devices)
    named = replace(loaded_tiny(model), dtype=str(dtype).removeprefix("torch."))
    return replace(named, num_devices=len(devices))
