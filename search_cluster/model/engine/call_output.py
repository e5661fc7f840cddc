"""Writes what a call of a layer gave to the slots of its nodes.

Shapes: N rows of the call, W rows that are written, D width, C carried numbers.
"""

from torch import Tensor

from search_cluster.model.engine.calls.call_plan import CallPlan
from search_cluster.model.engine.layer_runner import CARRIED, STATE, LayerRunner
from search_cluster.model.engine.slabs import Slab


def write_output(
    layers: LayerRunner,
    layer: int,
    plan: CallPlan,
    hidden: Slab,
    input_ND: Tensor,
    output_ND: Tensor,
) -> None:
    """Write the rows that somebody reads, with what they carry to a shortcut if there is one.

    Args:
        layers: the model's layers.
        layer: the layer that ran.
        plan: the plan of its call.
        hidden: where states are.
        input_ND: what the layer read, behind the bridges that rows crossed.
        output_ND: what it gave.
    """
    rows_W, slots_W = plan.sections[plan.output_rows], plan.sections[plan.output_slots]
    output_WD = output_ND.index_select(0, rows_W)
    hidden.write(slots_W, output_WD, STATE)
    if layers.carried_width:
        before_W = plan.sections[plan.input_slots].index_select(0, rows_W)
        carried_WC = layers.carry(
            layer,
            input_ND.index_select(0, rows_W),
            output_WD,
            hidden.gather(before_W, CARRIED),  # an embedding's slot is the one of zeros
        )
        hidden.write(slots_W, carried_WC, CARRIED)
