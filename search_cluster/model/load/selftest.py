"""The self-test of a freshly loaded model: can its layers be re-ordered without silent damage?"""

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from search_cluster.errors import ModelError
from search_cluster.model.materialise import materialise
from search_cluster.paths.layer_path import LayerPath

NUM_PROBE_TOKENS = 8
RELATIVE_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1e-1, torch.float16: 3e-2}
"""The largest difference between cached and plain logits, as a part of the largest logit, for each
dtype."""


@torch.inference_mode()
def check_model(model: PreTrainedModel) -> None:
    """Check that a model's layers can be re-ordered.

    Its logits are finite, the identity path is the model, and a repeated layer has a KV-cache slot
    of its own.

    It costs four passes over 8 tokens.

    Raises:
        ModelError: one of these does not hold; the message says which.
    """
    family, depth = model.config.model_type, len(model.model.layers)
    tokens_BT = (
        torch.arange(1, NUM_PROBE_TOKENS + 1, device=model.device)[None] % model.config.vocab_size
    )
    identity = materialise(model, LayerPath.identity(depth))
    own_BTV = model(tokens_BT, use_cache=False).logits
    if not torch.isfinite(own_BTV).all():
        raise ModelError(
            f"self-test: the logits of this {family} model are NaN or infinite in {model.dtype}; "
            "its weights are damaged (download them again), or too large for float16 (take "
            "bfloat16 or float32)"
        )
    if not torch.equal(own_BTV, identity(tokens_BT, use_cache=False).logits):
        raise ModelError(
            f"self-test: the identity path of this {family} model differs from the model itself; "
            "its anatomy entry in search_cluster/model/anatomy.py is wrong"
        )
    middle = depth // 2
    repeating = materialise(model, LayerPath((*range(middle + 1), *range(middle, depth)), depth))
    plain_BTV = repeating(tokens_BT, use_cache=False).logits
    gap = _relative_gap(plain_BTV, _logits_with_cache(repeating, tokens_BT))
    if not gap <= RELATIVE_TOLERANCE[model.dtype]:
        raise ModelError(
            f"self-test: with layer {middle} repeated, this {family} model's logits with KV cache "
            f"are off by {gap:.2g} (allowed: {RELATIVE_TOLERANCE[model.dtype]:g}); its layers "
            "can't be run twice as they are"
        )


def _logits_with_cache(model: PreTrainedModel, tokens_BT: Tensor) -> Tensor:
    cache = DynamicCache(config=model.config)
    half = NUM_PROBE_TOKENS // 2
    parts = [tokens_BT[:, :half], *torch.split(tokens_BT[:, half:], 1, dim=1)]
    return torch.cat(
        [model(part, past_key_values=cache, use_cache=True).logits for part in parts], dim=1
    )


def _relative_gap(a: Tensor, b: Tensor) -> float:
    return float((a.float() - b.float()).abs().max() / a.float().abs().max().clamp(min=1.0))
