"""How much arithmetic the engine does, and how fast a plain product of the same widths is here."""

import statistics
import time

import torch
from torch import nn
from transformers import PreTrainedModel

from search_cluster.model.anatomy import head_width
from search_cluster.model.runtime import wait_for_device

PRODUCT_ROWS = 2048
ROUNDS = 5


def flops_per_layer_row(model: PreTrainedModel) -> float:
    """Multiply-adds, times two, of one row in an average layer's linear parts, attention aside."""
    layers = model.model.layers
    weights = sum(part.weight.numel() for part in layers.modules() if isinstance(part, nn.Linear))
    return 2.0 * weights / len(layers)


def flops_per_feed_forward_row(model: PreTrainedModel) -> float:
    """The share of the feed-forward blocks in `flops_per_layer_row`."""
    layers = model.model.layers
    parts = (
        part for layer in layers for part in layer.mlp.modules() if isinstance(part, nn.Linear)
    )
    return 2.0 * sum(part.weight.numel() for part in parts) / len(layers)


def flops_per_visible_row(model: PreTrainedModel) -> float:
    """Multiply-adds, times two, of one row that looks at one row in one layer's attention.

    They are those of the score and of the weighted value.
    """
    config = model.config
    return 4.0 * float(config.num_attention_heads) * float(head_width(config))


def flops_per_head_row(model: PreTrainedModel) -> float:
    """The same for one row of the LM head."""
    weight: torch.Tensor = model.lm_head.weight
    return 2.0 * weight.numel()


@torch.inference_mode()
def product_flops_per_s(model: PreTrainedModel) -> float:
    """FLOP/s of the linear parts of the model's first layer, alone, at `PRODUCT_ROWS` rows.

    It is the median of several rounds.
    """
    parts = [part for part in model.model.layers[0].modules() if isinstance(part, nn.Linear)]
    inputs = [
        torch.randn(
            PRODUCT_ROWS, part.in_features, dtype=part.weight.dtype, device=part.weight.device
        )
        for part in parts
    ]
    flops = sum(2.0 * PRODUCT_ROWS * part.weight.numel() for part in parts)
    rates = []
    for _ in range(ROUNDS + 1):
        wait_for_device(model.device)
        started_s = time.perf_counter()
        for part, rows in zip(parts, inputs, strict=True):
            torch.nn.functional.linear(rows, part.weight)
        wait_for_device(model.device)
        rates.append(flops / (time.perf_counter() - started_s))
    return statistics.median(rates[1:])
