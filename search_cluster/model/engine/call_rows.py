"""The states that a call of a layer reads and leaves, on whichever devices they are kept.

Rows are gathered and written with one operation for each device that keeps some of them, and what
is kept elsewhere than the layer crosses in one piece.

Shapes: N rows of the call, W rows that are written, D width, C carried numbers.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from search_cluster.model.engine.calls.call_plan import CallPlan, DeviceSections
from search_cluster.model.engine.layer_runner import CARRIED, STATE, LayerRunner
from search_cluster.model.engine.slabs import ZERO_SLOT, LayerSlabs, Slab, Slots

Arriving = tuple[Slab, Tensor, Tensor]


def to_device(rows_NW: Tensor, device: torch.device) -> Tensor:
    """Rows on a device; those of another one cross in one copy, which nobody waits for."""
    return rows_NW if rows_NW.device == device else rows_NW.to(device, non_blocking=True)


def gathered(
    home: Slab, slots_N: Tensor, arriving: Iterable[Arriving], part: int = STATE
) -> Tensor:
    """Rows ``[N, W]`` on one device.

    Args:
        home: the slab on that device.
        slots_N: slots in it; those of rows that arrive are any.
        arriving: for other devices the slab, the slots in it, and the rows that they are for.
        part: of the slabs.
    """
    rows_NW = home.gather(slots_N, part)
    for slab, slots, rows in arriving:
        rows_NW.index_copy_(0, rows, to_device(slab.gather(slots, part), rows_NW.device))
    return rows_NW


class RowsOfCall:
    """What one call reads and leaves.

    Args:
        layers: the model's layers.
        plan: of the call.
        hidden: where states are.
        layer: the layer that runs.
    """

    def __init__(self, layers: LayerRunner, plan: CallPlan, hidden: LayerSlabs, layer: int) -> None:
        self._layers, self._plan, self._hidden, self._layer = layers, plan, hidden, layer
        self._home = hidden.on(layers.devices.layers[layer])
        self._arriving: list[Arriving] = [
            (hidden.on(item.device), plan.on[item.device][item.slots], plan.sections[item.rows])
            for item in plan.arrivals
        ]

    def inputs(self) -> Tensor:
        """What the layer reads, ``[N, D]``, before it crosses a bridge."""
        plan = self._plan
        hidden_ND = self._gathered(STATE)
        if plan.root_rows.start != plan.root_rows.stop:
            tokens = plan.on[self._layers.devices.first][plan.root_tokens]
            embedded_ND = to_device(self._layers.embed(tokens), hidden_ND.device)
            hidden_ND.index_copy_(0, plan.sections[plan.root_rows], embedded_ND)
        return hidden_ND

    def _gathered(self, part: int) -> Tensor:
        slots_N = self._plan.sections[self._plan.input_slots]
        return gathered(self._home, slots_N, self._arriving, part)

    def write(self, input_ND: Tensor, output_ND: Tensor) -> None:
        """Write the rows that somebody reads, with what they carry to a shortcut if there is one.

        Args:
            input_ND: what the layer read, behind the bridges that rows crossed.
            output_ND: what it gave.
        """
        plan, to = self._plan, self._hidden.of(self._layer)
        rows_W, slots_W = plan.sections[plan.output_rows], plan.on[to.device][plan.output_slots]
        output_WD = output_ND.index_select(0, rows_W)
        to.write(slots_W, to_device(output_WD, to.device), STATE)
        if self._layers.carried_width:
            carried_WC = self._layers.carry(
                self._layer,
                input_ND.index_select(0, rows_W),
                output_WD,
                # An embedding's slot is the one of zeros.
                self._gathered(CARRIED).index_select(0, rows_W),
            )
            to.write(slots_W, to_device(carried_WC, to.device), CARRIED)


def final_rows(
    layers: LayerRunner, hidden: LayerSlabs, slots: Slots, last_layers: Sequence[int]
) -> Tensor:
    """What the final norm reads, ``[N, D]``, of the states that paths leave.

    Args:
        layers: the model's layers.
        hidden: where states are.
        slots: the slots of final states of paths, and of zeros behind these.
        last_layers: the last layer of each path.
    """
    home = hidden.on(layers.devices.last)
    kept_on = [layers.devices.of_states(layer) for layer in last_layers]
    on = DeviceSections()
    home_slots, arrivals = slots, []
    for device in dict.fromkeys(kept_on):
        if device != home.device:
            rows = np.flatnonzero([device == other for other in kept_on])
            arrivals.append((device, on[device].add([slots[rows]]), on[home.device].add([rows])))
            home_slots = home_slots.copy()
            home_slots[rows] = ZERO_SLOT
    whole = on[home.device].add([home_slots])
    on.send()
    slots_N = on[home.device][whole]
    arriving: list[Arriving] = [
        (hidden.on(device), on[device][away], on[home.device][rows])
        for device, away, rows in arrivals
    ]
    hidden_ND = gathered(home, slots_N, arriving)
    carried_NC = gathered(home, slots_N, arriving, CARRIED) if layers.carried_width else None
    return layers.before_norm(hidden_ND, carried_NC, last_layers)
