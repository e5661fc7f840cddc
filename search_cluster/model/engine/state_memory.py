"""The memory of a model's states."""

import torch

from search_cluster.model.engine.layer_runner import LayerRunner
from search_cluster.model.engine.prefix_trie import StateStore
from search_cluster.model.engine.slabs import FIRST_ROWS, LayerSlabs, Slab

KEYS_SHARE = 0.1
"""The part of the states' memory that is for keys where none are kept, unless `share_out` is told
another one."""
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
    hidden_widths, key_widths = _widths(layers)
    hidden_bytes, key_bytes = sum(hidden_widths), sum(key_widths)
    # Where nobody keeps keys, those of shared rows and of the running call are few.
    keys_share = key_bytes / (hidden_bytes + key_bytes) if keep_keys else KEYS_SHARE
    at_once = max_bytes > 0 and layers.devices.first.type in TAKEN_AT_ONCE
    hidden, keys, budgets = _new_slabs(layers, max_bytes, keys_share, at_once=at_once)
    distinct = layers.devices.distinct
    number = {device: place for place, device in enumerate(distinct)}
    # Nothing that one slab has which can't grow can be used for what the other one keeps.
    outputs_from = len(number) if at_once else 0
    places = [
        (number[own], outputs_from + number[layers.devices.of_states(layer)])
        for layer, own in enumerate(layers.devices.layers)
    ]
    return StateStore(
        max_bytes,
        hidden,
        keys,
        places if at_once or len(number) > 1 else None,
        budgets if at_once else None,
    )


def share_out(store: StateStore, layers: LayerRunner, keys_share: float) -> None:
    """Give keys and values another part of memory that is taken at once; all states are dropped.

    Args:
        store: of such memory; nobody holds on to one of its nodes.
        layers: the layers.
        keys_share: the part for keys and values.

    Raises:
        torch.OutOfMemoryError: somebody else has taken of that memory meanwhile. There is room for
            no state until it is shared out again.
    """

    def make() -> tuple[LayerSlabs, LayerSlabs, list[int]]:
        # Rows of other numbers would not fit into the pieces that torch keeps.
        torch.cuda.empty_cache()
        return _new_slabs(layers, store.max_bytes, keys_share, at_once=True)

    store.replace_slabs(make)


def _widths(layers: LayerRunner) -> tuple[list[int], list[int]]:
    """The widths of a row of outputs, and of one of keys and values."""
    carried = [layers.carried_width] if layers.carried_width else []
    return [layers.width, *carried], [layers.key_width] * 2


def _new_slabs(
    layers: LayerRunner, max_bytes: int, keys_share: float, *, at_once: bool
) -> tuple[LayerSlabs, LayerSlabs, list[int]]:
    """Slabs of outputs, and of keys and values, and their bytes: those of keys first."""
    devices = layers.devices
    of_device = max_bytes // len(devices.distinct)
    outputs = [devices.of_states(layer) for layer in range(layers.num_layers)]

    def slab(kind: int, device: torch.device) -> Slab:
        # A device that has no layer's outputs has its whole part for keys, and the other way round.
        has = [
            part * (device in of)
            for part, of in zip(
                (1 - keys_share, keys_share), (outputs, devices.layers), strict=True
            )
        ]
        widths = _widths(layers)[kind]
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

    hidden = {device: slab(0, device) for device in devices.distinct}
    keys = {device: slab(1, device) for device in devices.distinct}
    return (
        LayerSlabs([hidden[device] for device in outputs], list(hidden.values())),
        LayerSlabs([keys[device] for device in devices.layers]),
        [slab.num_bytes for slab in (*keys.values(), *hidden.values())],
    )
