"""The last product of a model, from final states to logits, with float32 sums in every dtype.

A 16-bit head rounds its sums to 8 or 11 binary digits: logits of 16 to 32 in bfloat16 lie on a grid
of an eighth, so that exact ties are common and which token is greedy is chance. The sums themselves
are formed in float32, and here they stay so.

Shapes: D width, V vocabulary.
"""

import threading
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

_WIDE_PRODUCTS = ("cuda", "meta")
"""The devices whose products of 16-bit factors can give their float32 sums."""
_WIDE_WEIGHTS: WeakKeyDictionary[nn.Module, Tensor] = WeakKeyDictionary()
"""The float32 copies of 16-bit heads, each made once: views of a model share its head."""
_WIDE_WEIGHTS_LOCK = threading.Lock()


Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Computes what ``torch.nn.functional.linear`` does."""


def float32_logits(
    causal_lm: PreTrainedModel, final_D: Tensor, cpu_product: Product | None = None
) -> Tensor:
    """The logits ``[..., V]`` of states ``[..., D]`` that have passed the final norm.

    They are float32, with the family's soft cap. In a float32 model they are its own to the bit.

    Args:
        causal_lm: a causal LM of a supported family, or a view of one.
        final_D: states in the model's dtype.
        cpu_product: computes the head's product on a CPU; ``None``: torch.
    """
    head = causal_lm.lm_head
    if cpu_product is not None and final_D.device.type == "cpu":
        bias = None if head.bias is None else head.bias.float()
        logits_V = cpu_product(final_D.float(), wide_weight(head), bias)
    else:
        logits_V = float32_head(head)(final_D)
    return _capped(causal_lm, logits_V)


def logits_of_tokens(causal_lm: PreTrainedModel, final_D: Tensor, tokens: Sequence[int]) -> Tensor:
    """The logits ``[..., C]`` of C tokens alone, at the price of C rows of the head.

    They are those of `float32_logits` up to rounding.
    """
    head = causal_lm.lm_head
    tokens_C = torch.tensor(tokens, device=final_D.device)
    bias_C = None if head.bias is None else head.bias[tokens_C].float()
    weight_CD = head.weight[tokens_C].float()
    return _capped(causal_lm, nn.functional.linear(final_D.float(), weight_CD, bias_C))


def _capped(causal_lm: PreTrainedModel, logits: Tensor) -> Tensor:
    cap = getattr(causal_lm.config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


def float32_head(head: nn.Module) -> nn.Module:
    """The head with float32 sums, before the soft cap; weights are shared."""
    weight = head.weight
    return head if weight.dtype is torch.float32 else Float32Head(head)  # type: ignore[arg-type]


class Float32Head(nn.Module):
    """A 16-bit head whose sums stay float32."""

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.head = head

    @property
    def weight(self) -> Tensor:
        """The head's own weight ``[V, D]``."""
        return self.head.weight

    def forward(self, final_D: Tensor) -> Tensor:
        """Float32 logits ``[..., V]`` of 16-bit states ``[..., D]``, without a soft cap."""
        if final_D.device.type in _WIDE_PRODUCTS:
            rows_ND = final_D.reshape(-1, final_D.shape[-1])
            logits_V = torch.mm(rows_ND, self.weight.t(), out_dtype=torch.float32)
            logits_V = logits_V.reshape(*final_D.shape[:-1], -1)
        else:
            logits_V = nn.functional.linear(final_D.float(), wide_weight(self.head))
        bias = self.head.bias
        return logits_V if bias is None else logits_V + bias.float()


def wide_weight(head: nn.Linear) -> Tensor:
    """The head's weight ``[V, D]`` in float32; the copy of a 16-bit one is made once."""
    if head.weight.dtype is torch.float32:
        return head.weight
    with _WIDE_WEIGHTS_LOCK:
        wide_VD = _WIDE_WEIGHTS.get(head)
        if wide_VD is None or wide_VD.device != head.weight.device:
            with torch.inference_mode(False):  # training may read it, too
                wide_VD = _WIDE_WEIGHTS[head] = head.weight.detach().float()
        return wide_VD
