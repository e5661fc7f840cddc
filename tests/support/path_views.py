"""Materialised paths of tiny models, asked one short prompt."""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from search_cluster.model.materialise import materialise
from search_cluster.paths.layer_path import LayerPath


@dataclass(frozen=True)
class Taken:
    """A choice of a router that is made."""

    path: LayerPath


def some_ids() -> Tensor:
    """A prompt of 14 tokens, which is longer than the windows of the tiny families."""
    return torch.arange(20, 34)[None]


@torch.inference_mode()
def path_logits(model: PreTrainedModel, path: LayerPath) -> Tensor:
    """What a path says of the prompt."""
    said: Tensor = materialise(model, path)(some_ids(), use_cache=False).logits
    return said


@torch.inference_mode()
def assert_cache_says_what_recomputing_does(view: PreTrainedModel, num_tokens: int) -> None:
    """So many tokens behind the prompt are read alike with a cache and without."""
    ids_BT, cache = some_ids(), DynamicCache(config=view.config)
    said = view(ids_BT, past_key_values=cache, use_cache=True).logits[:, -1]
    for _ in range(num_tokens):
        token_B1 = said.argmax(dim=-1, keepdim=True)
        ids_BT = torch.cat([ids_BT, token_B1], dim=1)
        said = view(token_B1, past_key_values=cache, use_cache=True).logits[:, -1]
        again = view(ids_BT, use_cache=False).logits[:, -1]
        tolerance = 1e-4 if view.dtype is torch.float32 else 0.15
        torch.testing.assert_close(said, again, rtol=tolerance, atol=tolerance)
    assert cache.get_seq_length() == ids_BT.shape[1]
