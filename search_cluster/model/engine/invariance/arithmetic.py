"""Whether a row's bits depend on what else runs, tried on the machine at hand.

Products are tried one shape after the other (`products`, `experts`), attention in calls of many
sizes (`attention_probe`), and norms (`norms`).
"""

import logging
import threading
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from search_cluster.model.anatomy import head_width
from search_cluster.model.bridge.bridges import bridges_of
from search_cluster.model.devices.layer_devices import devices_of
from search_cluster.model.engine.calls.call_plan import Layout, Shapes
from search_cluster.model.engine.calls.sequences import has_sequence_kernel
from search_cluster.model.engine.invariance.attention_probe import USUAL_SHAPES, attention_shapes
from search_cluster.model.engine.invariance.experts import group_counts, has_usual_form
from search_cluster.model.engine.invariance.head import head_is_invariant, is_tried
from search_cluster.model.engine.invariance.norms import norms_that_lack_it
from search_cluster.model.engine.invariance.products import InvariantProducts
from search_cluster.model.head import wide_weight
from search_cluster.model.shortcut.shortcut import shortcuts_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a model is computed so that a row has the same bits in any company."""

    products: InvariantProducts
    call_rows: tuple[int, ...]
    """The numbers of rows for which all products of a layer have the same bits; calls are filled up
    to them, so that no product has to be."""
    layout: Layout
    shapes: Shapes
    is_invariant: bool
    reason: str
    """Why it is not, in a few words; empty if it is."""


_KNOWN: WeakKeyDictionary[PreTrainedModel, dict[int, Arithmetic]] = WeakKeyDictionary()
_KNOWN_LOCK = threading.Lock()


@torch.inference_mode()
def probe_arithmetic(model: PreTrainedModel) -> Arithmetic:
    """Try the products and the attention of a model, once for each number of threads.

    What was found is remembered with the model, for all engines in this process. A model whose rows
    depend on their company is told of in one line of the log.
    """
    num_threads = torch.get_num_threads()
    with _KNOWN_LOCK:
        known = _KNOWN.setdefault(model, {})
        if num_threads not in known:
            known[num_threads] = _probe(model, num_threads)
        return known[num_threads]


def untried_arithmetic(model: PreTrainedModel) -> Arithmetic:
    """The arithmetic of an engine whose values matter and whose last bits do not."""
    products = InvariantProducts(torch.get_num_threads(), tries=False)
    return Arithmetic(products, (), _layout(model), USUAL_SHAPES, False, "not tried")


def _probe(model: PreTrainedModel, num_threads: int) -> Arithmetic:
    products, devices = InvariantProducts(num_threads), devices_of(model).distinct
    for weight, bias in _products_of(model, products):
        products.row_counts(weight, bias)
    call_rows = products.common_counts()
    bridges = bridges_of(model)
    if bridges is not None:  # They are float32, and as many rows cross as come.
        for jump in bridges.jumps:
            products.row_counts(*bridges.tensors(jump))
    for own in shortcuts_of(model).values():  # the same of these
        for weight, bias in own.products():
            products.row_counts(weight, bias)
    head = model.lm_head
    if is_tried(head.weight.device):
        products.row_counts(wide_weight(head), None if head.bias is None else head.bias.float())
    lacking = [
        f"{shape[0]} x {shape[1]}" for shape, found in products.of_shape.items() if not found.counts
    ]
    if not is_tried(head.weight.device) and not head_is_invariant(model):
        lacking.append(f"{head.weight.shape[0]} x {head.weight.shape[1]}")
    layout = _layout(model)
    shapes = attention_shapes(model, layout, devices)
    reasons = [f"products of {shape}" for shape in lacking]
    if shapes is None:
        reasons.append("attention")
    reasons += norms_that_lack_it(model)
    reason = ", ".join(reasons)
    if reason:
        logger.warning(
            "on this %s a row's %s bits depend on its company (%s): answers that are near a tie "
            "are computed again one by one, which is slow",
            model.device.type,
            str(model.dtype).removeprefix("torch."),
            reason,
        )
    return Arithmetic(products, call_rows, layout, shapes or USUAL_SHAPES, not reason, reason)


def _products_of(
    model: PreTrainedModel, products: InvariantProducts
) -> list[tuple[Tensor, Tensor | None]]:
    """One product of each shape on each device: of layers, their experts and their routers.

    Experts that one kernel multiplies together are left out.
    """
    found: dict[tuple[object, ...], tuple[Tensor, Tensor | None]] = {}
    num_taken = int(getattr(model.config, "num_experts_per_tok", None) or 1)
    for module in model.model.layers.modules():
        if isinstance(module, nn.Linear):
            weight, bias = module.weight, module.bias
            found.setdefault((weight.shape, bias is not None, weight.device), (weight, bias))
            continue
        if isinstance(module, nn.Embedding) or "Norm" in type(module).__name__:
            continue
        if has_usual_form(module) and group_counts(products, module, num_taken):
            continue
        for parameter in module.parameters(recurse=False):
            if parameter.dim() in (2, 3):  # a router of a mixture; its experts behind each other
                weight = parameter if parameter.dim() == 2 else parameter[0]
                found.setdefault((weight.shape, False, weight.device), (weight, None))
    return list(found.values())


def _layout(model: PreTrainedModel) -> Layout:
    config = model.config
    is_packed = getattr(config, "attn_logit_softcapping", None) is None and all(
        has_sequence_kernel(device, model.dtype, head_width(config))
        for device in devices_of(model).distinct
    )
    return Layout.PACKED if is_packed else Layout.PADDED
