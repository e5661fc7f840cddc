"""The memory of a model's states."""

from collections.abc import Sequence

import torch

from search_cluster.model.engine.layer_runner import LayerRunner
from search_cluster.model.engine.prefix_trie import StateStore
from search_cluster.model.engine.slabs import FIRST_ROWS, LayerSlabs, Slab

KEYS_SHARE = 0.1
"""The part of the states' memory that is for keys where none are kept."""


def new_store(layers: LayerRunner, max_bytes: int, *, keep_keys: bool) -> StateStore:
    """An empty store for the states of a model's layers.

    Args:
        layers: the layers.
        max_bytes: the budget of the states, of which each device has an equal part.
        keep_keys: whether states have keys and values, as generation needs.
    """
    hidden_widths, key_widths = [layers.width], [layers.key_width] * 2
    if layers.carried_width:
        hidden_widths.append(layers.carried_width)
    hidden_bytes, key_bytes = sum(hidden_widths), sum(key_widths)
    # Where nobody keeps keys, those of shared rows and of the running call are few.
    shares = (hidden_bytes, key_bytes) if keep_keys else (1 - KEYS_SHARE, KEYS_SHARE)

    devices = layers.devices
    of_device = max_bytes // len(devices.distinct)
    outputs = [devices.of_states(layer) for layer in range(layers.num_layers)]

    def slab(widths: Sequence[int], share: float, device: torch.device) -> Slab:
        enough = int(of_device * share / sum(shares)) // (sum(widths) * layers.dtype.itemsize)
        # Memory of a CPU is there when it is first written; elsewhere it is better taken at once
        # than copied to a larger piece.
        at_once = enough if device.type == "cuda" and device in outputs else FIRST_ROWS
        return Slab(
            widths,
            dtype=layers.dtype,
            device=device,
            num_rows=max(FIRST_ROWS, at_once),
            enough_rows=enough,
        )

    hidden = {device: slab(hidden_widths, shares[0], device) for device in devices.distinct}
    keys = {device: slab(key_widths, shares[1], device) for device in devices.distinct}
    number = {device: place for place, device in enumerate(devices.distinct)}
    return StateStore(
        max_bytes,
        LayerSlabs([hidden[device] for device in outputs], list(hidden.values())),
        LayerSlabs([keys[device] for device in devices.layers]),
        None
        if len(number) == 1
        else [(number[own], number[to]) for own, to in zip(devices.layers, outputs, strict=True)],
    )
