"""Whether a row's bits depend on what else runs, tried on the machine at hand.

Products are tried one shape after the other (`products`). Attention is tried here: one row beside
others and alone, at other places, in calls of other sizes, with a prompt and by decoding.

Shapes: S segments, R rows, L keys, H query heads, G key-value heads, E head width.
"""

import logging
import threading
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from search_cluster.model.engine.attention import scores_and_values, varlen_attn
from search_cluster.model.engine.call_plan import Layout, Multiples
from search_cluster.model.engine.products import InvariantProducts
from search_cluster.model.head import wide_weight

logger = logging.getLogger(__name__)

CANDIDATES = (Multiples(8, 16), Multiples(16, 32), Multiples(32, 64))
"""What is tried, the cheapest first."""
PROBE_ROW = 37
"""The position of the row that is compared."""
PROBE_ROWS = (1, 3, 8, 13, 24, 38)
"""The numbers of rows of calls that end with it; the last one is a whole prompt."""
PROBE_KEYS = (38, 90, 200, 600)
"""The numbers of keys of calls with it."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a model is computed so that a row has the same bits in any company."""

    products: InvariantProducts
    layout: Layout
    multiples: Multiples
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


def _probe(model: PreTrainedModel, num_threads: int) -> Arithmetic:
    products = InvariantProducts(num_threads)
    for weight, bias in _products_of(model):
        products.row_counts(weight, bias)
    lacking = [
        f"{shape[0]} x {shape[1]}" for shape, found in products.of_shape.items() if not found.counts
    ]
    layout = _layout(model)
    multiples = CANDIDATES[0] if layout is Layout.PACKED else _attention_multiples(model)
    reasons = [f"products of {shape}" for shape in lacking]
    if multiples is None:
        reasons.append("attention")
    reason = ", ".join(reasons)
    if reason:
        logger.warning(
            "on this %s a row's %s bits depend on its company (%s): answers that are near a tie "
            "are computed again one by one, which is slow",
            model.device.type,
            str(model.dtype).removeprefix("torch."),
            reason,
        )
    return Arithmetic(products, layout, multiples or CANDIDATES[-1], not reason, reason)


def _products_of(model: PreTrainedModel) -> list[tuple[Tensor, Tensor | None]]:
    """One product of each shape: of the layers, their experts, and the head."""
    found: dict[tuple[object, ...], tuple[Tensor, Tensor | None]] = {}
    for module in model.model.layers.modules():
        if isinstance(module, nn.Linear):
            found.setdefault(
                (module.weight.shape, module.bias is not None), (module.weight, module.bias)
            )
            continue
        for parameter in module.parameters(recurse=False):
            if parameter.dim() == 3:  # the experts of a mixture, one behind the other
                found.setdefault((parameter.shape[1:], False), (parameter[0], None))
    head: nn.Linear = model.lm_head
    if model.device.type == "cpu":
        found[head.weight.shape, "head"] = (wide_weight(head), None)
    return list(found.values())


def _layout(model: PreTrainedModel) -> Layout:
    has_softcap = getattr(model.config, "attn_logit_softcapping", None) is not None
    is_packed = model.device.type != "cpu" and varlen_attn is not None and not has_softcap
    return Layout.PACKED if is_packed else Layout.PADDED


def _attention_multiples(model: PreTrainedModel) -> Multiples | None:
    """The first candidates within which a row's attention has the same bits."""
    for multiples in CANDIDATES:
        if _is_attention_invariant(model, multiples):
            return multiples
    return None


def _is_attention_invariant(model: PreTrainedModel, multiples: Multiples) -> bool:
    config = model.config
    num_heads, num_key_heads = config.num_attention_heads, config.num_key_value_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // num_heads
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(model.device, model.dtype)

    most = max(PROBE_KEYS) + multiples.keys
    query_HRE = random(num_heads, PROBE_ROW + 1, width)
    key_GLE, value_GLE = random(num_key_heads, most, width), random(num_key_heads, most, width)
    softcap = getattr(config, "attn_logit_softcapping", None)
    outputs: list[Tensor] = []
    for num_rows, num_keys, num_segments in _probe_shapes(multiples):
        rows = -(-num_rows // multiples.rows) * multiples.rows
        keys = -(-num_keys // multiples.keys) * multiples.keys
        query_SHRE = random(num_segments, num_heads, rows, width)
        key_SGLE = random(num_segments, num_key_heads, keys, width)
        value_SGLE = random(num_segments, num_key_heads, keys, width)
        segment = num_segments // 2
        query_SHRE[segment, :, :num_rows] = query_HRE[:, PROBE_ROW + 1 - num_rows :]
        key_SGLE[segment] = key_GLE[:, :keys]
        value_SGLE[segment] = value_GLE[:, :keys]
        last_R = torch.arange(rows, device=model.device) + PROBE_ROW + 1 - num_rows
        sees_RL = torch.arange(keys, device=model.device) <= last_R[:, None]
        mask_RL = torch.zeros(rows, keys, dtype=model.dtype, device=model.device)
        mask_RL.masked_fill_(~sees_RL, -torch.inf)
        out_SHRE = scores_and_values(
            query_SHRE, key_SGLE, value_SGLE, mask_RL[None, None], width**-0.5, softcap
        )
        outputs.append(out_SHRE[segment, :, num_rows - 1])
    return all(torch.equal(output, outputs[0]) for output in outputs)


def _probe_shapes(multiples: Multiples) -> list[tuple[int, int, int]]:
    """Rows, keys and segments of the calls that are compared."""
    shapes = [(rows, PROBE_KEYS[0], 2) for rows in PROBE_ROWS]
    shapes += [(PROBE_ROWS[-1], keys, 1) for keys in PROBE_KEYS]
    shapes += [(1, keys, 5) for keys in PROBE_KEYS]
    return shapes
