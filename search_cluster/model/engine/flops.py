"""How much arithmetic the engine does, and how fast a plain product of the same widths is here."""

import statistics
import time
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from search_cluster.model.anatomy import head_width
from search_cluster.model.engine.work_counters import WorkCounters
from search_cluster.model.runtime import wait_for_device

PRODUCT_ROWS = 2048
"""Rows of the product that is timed, unless others are asked for."""
ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FlopRates:
    """Multiply-adds, times two, of a model's pieces of work."""

    layer_row: float
    """One row in an average layer's linear parts; of a mixture the experts that a row takes."""
    feed_forward_row: float
    """The share of the feed-forward blocks in it."""
    visible_row: float
    """One row that looks at one row in one layer's attention: the score and the weighted value."""
    head_row: float
    """One row of the LM head."""

    @classmethod
    def of(cls, model: PreTrainedModel) -> "FlopRates":
        """Those of a model of a supported family."""
        config, layers = model.config, model.model.layers
        head: torch.Tensor = model.lm_head.weight
        return cls(
            layer_row=sum(_row_flops(layer, config) for layer in layers) / len(layers),
            feed_forward_row=sum(_row_flops(layer.mlp, config) for layer in layers) / len(layers),
            visible_row=4.0 * float(config.num_attention_heads) * float(head_width(config)),
            head_row=2.0 * head.numel(),
        )

    def flops(self, counters: WorkCounters) -> float:
        """The arithmetic that stands in the counters; rows that only fill calls up are none."""
        return (
            counters.layer_tokens * self.layer_row
            - counters.unread_rows * self.feed_forward_row
            + counters.visible_rows * self.visible_row
            + counters.head_rows * self.head_row
        )


def _row_flops(part: nn.Module, config: object) -> float:
    """Of one row in the linear parts of a module."""
    weights = 0.0
    for module in part.modules():
        if isinstance(module, nn.Linear):
            weights += module.weight.numel()
            continue
        for weight in module.parameters(recurse=False):
            if weight.dim() == 3:  # the experts of a mixture, one behind the other
                taken = int(getattr(config, "num_experts_per_tok", None) or len(weight))
                weights += weight.numel() * taken / len(weight)
    return 2.0 * weights


@torch.inference_mode()
def product_flops_per_s(
    model: PreTrainedModel, *, num_rows: int = PRODUCT_ROWS, rounds: int = ROUNDS
) -> float:
    """FLOP/s of the linear parts of the model's first layer, alone: the median of the rounds.

    Args:
        model: the model, on its device.
        num_rows: rows of each product.
        rounds: how often it is timed, after a first time that does not count.
    """
    parts = [part for part in model.model.layers[0].modules() if isinstance(part, nn.Linear)]
    rng = torch.Generator(model.device).manual_seed(0)
    inputs = [
        torch.randn(num_rows, part.in_features, generator=rng, device=model.device).to(
            part.weight.dtype
        )
        for part in parts
    ]
    flops = sum(2.0 * num_rows * part.weight.numel() for part in parts)
    rates = []
    for _ in range(rounds + 1):
        wait_for_device(model.device)
        started_s = time.perf_counter()
        for part, rows in zip(parts, inputs, strict=True):
            torch.nn.functional.linear(rows, part.weight)
        wait_for_device(model.device)
        rates.append(flops / (time.perf_counter() - started_s))
    return statistics.median(rates[1:])
