"""The memory of a model's states."""

from collections.abc import Sequence

import torch

from search_cluster.model.engine.layer_runner import LayerRunner
from search_cluster.model.engine.prefix_trie import StateStore
from search_cluster.model.engine.slabs import FIRST_ROWS, LayerSlabs, Slab

KEYS_SHARE = 0.1
"""The part of the states' memory that is for keys where none are kept."""
TAKEN_AT_ONCE = ("cuda",)
"""The kinds of devices whose memory is taken at once and never grows, unless nothing is kept: there
is none to grow into, and a larger piece would have to fit beside the old one. Memory of a CPU is
there when it is first written."""


def new_store(layers: LayerRunner, max_bytes: int, *, keep_keys: bool) -> StateStore:
    """An empty store for the states of a model's layers.

    Args:
        layers: the layers.
        max_bytes: the budget of the states, of which each device has an equal part. Where memory
            is taken at once, outputs of layers have a part of that, and keys and values another.
            With 0 nothing is kept between calls, and slabs have what a call needs: they grow
            everywhere.
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
    at_once = max_bytes > 0 and devices.first.type in TAKEN_AT_ONCE

    def slab(widths: Sequence[int], kind: int, device: torch.device) -> Slab:
        # A device that has no layer's outputs has its whole part for keys, and the other way round.
        has = [
            part * (device in of)
            for part, of in zip(shares, (outputs, devices.layers), strict=True)
        ]
        enough = int(of_device * has[kind] / (sum(has) or 1)) // (
            sum(widths) * layers.dtype.itemsize
        )
        return Slab(
            widths,
            dtype=layers.dtype,
            device=device,
            num_rows=max(FIRST_ROWS, enough) if at_once else FIRST_ROWS,
            enough_rows=enough,
            can_grow=not at_once,
        )

    hidden = {device: slab(hidden_widths, 0, device) for device in devices.distinct}
    keys = {device: slab(key_widths, 1, device) for device in devices.distinct}
    number = {device: place for place, device in enumerate(devices.distinct)}
    places = [(number[own], number[to]) for own, to in zip(devices.layers, outputs, strict=True)]
    budgets = None
    if at_once:  # Nothing that one slab has can be used for what the other one keeps.
        places = [(own, len(number) + to) for own, to in places]
        budgets = [slab.num_bytes for slab in (*keys.values(), *hidden.values())]
    return StateStore(
        max_bytes,
        LayerSlabs([hidden[device] for device in outputs], list(hidden.values())),
        LayerSlabs([keys[device] for device in devices.layers]),
        None if len(number) == 1 and budgets is None else places,
        budgets,
    )
