"""A causal LM whose tokens stop by themselves while ``generate()`` of transformers runs.

Shapes: B rows, T tokens of the call, R of them that are read, V vocabulary, D width.
"""

from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from search_cluster.errors import ModelError
from search_cluster.model.anatomy import anatomy_of
from search_cluster.model.head import float32_logits
from search_cluster.model.materialise import shallow_copy
from search_cluster.model.online.body import refuse_records
from search_cluster.model.online.causal_lm import RoutedGeneration
from search_cluster.model.online.lazy_cache import LazyCache
from search_cluster.model.online.lazy_pass import LazyPass
from search_cluster.model.online.token_exits import TokenExits


def with_token_exits(model: PreTrainedModel, exits: TokenExits) -> PreTrainedModel:
    """The model with tokens that stop by themselves; shares all weights, and leaves ``model`` be.

    The last token of each call decides how far the call runs; see
    `search_cluster.model.online.lazy_pass` for what becomes of the rest. ``generate()`` takes what
    `search_cluster.model.online.causal_lm.with_online_routing` lets it take. To learn where tokens
    stopped, pass a `LazyCache` as ``past_key_values`` and read it.

    Args:
        model: a causal LM of a supported family, not itself a view; what stops early crosses its
            bridge to the final norm, if it has one.
        exits: decides where tokens stop.

    Raises:
        UnsupportedFamilyError: the model's family has no anatomy entry.
        InvalidPathError: a layer of the path of ``exits`` runs twice.
    """
    anatomy_of(model.config)
    LazyPass(model, exits.path)
    view = shallow_copy(model)
    vars(view)["token_exits"] = exits
    view.__class__ = _lazy_class(cast(Any, type(model)))
    return view


class _LazyForward(RoutedGeneration):
    """Runs rows one by one, each as far as its last token goes."""

    cache_class = LazyCache
    token_exits: TokenExits

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Float32 logits ``[B, R, V]``; zeros where a row is padded.

        Raises:
            ModelError: embeddings without tokens, labels, positions of the caller's own, another
                kind of cache, or records of what rows did in between.
        """
        if input_ids is None or inputs_embeds is not None or labels is not None:
            raise ModelError(
                "a model whose tokens stop by themselves reads token ids and gives logits; pass "
                "input_ids, and neither inputs_embeds nor labels"
            )
        refuse_records(kwargs)
        if past_key_values is not None and not isinstance(past_key_values, LazyCache):
            raise ModelError(
                f"past_key_values is a {type(past_key_values).__name__}; a model whose tokens stop "
                "by themselves keeps its texts in a LazyCache: leave past_key_values out, or pass "
                "the one of an earlier call"
            )
        lazy = LazyCache() if past_key_values is None else past_key_values
        model, exits = cast(PreTrainedModel, self), self.token_exits
        num_rows, num_tokens = input_ids.shape
        if not lazy.passes:
            lazy.passes = [LazyPass(model, exits.path) for _ in range(num_rows)]
            lazy.exits = [()] * num_rows
        kept_BT = torch.ones_like(input_ids, dtype=torch.bool)
        if attention_mask is not None:
            kept_BT = attention_mask[:, -num_tokens:].bool()
        _require_positions(position_ids, kept_BT, lazy)
        wanted = torch.arange(num_tokens, device=input_ids.device)
        wanted = wanted[-logits_to_keep:] if isinstance(logits_to_keep, int) else logits_to_keep
        rows = []
        for row, text in enumerate(lazy.passes):
            rows.append(self._row(text, row, lazy, input_ids[row], kept_BT[row], wanted))
        lazy.num_columns += num_tokens
        keep = past_key_values is not None or bool(
            model.config.use_cache if use_cache is None else use_cache
        )
        return CausalLMOutputWithPast(
            logits=cast(Any, torch.stack(rows)), past_key_values=lazy if keep else None
        )

    def _row(
        self,
        text: LazyPass,
        row: int,
        lazy: LazyCache,
        ids_T: Tensor,
        kept_T: Tensor,
        wanted_R: Tensor,
    ) -> Tensor:
        """The logits ``[R, V]`` of one row."""
        model = cast(PreTrainedModel, self)
        if not bool(kept_T.any()):
            raise ModelError(
                f"row {row} of a call is nothing but padding; a row has a token in each call"
            )
        text.append(ids_T[kept_T])
        hidden_1TD, stopped = text.read(self.token_exits)
        lazy.exits[row] = (*lazy.exits[row], stopped)
        place_T = kept_T.long().cumsum(dim=0) - 1
        is_last = len(wanted_R) == 1 and bool(place_T[wanted_R[0]] + 1 == hidden_1TD.shape[1])
        if stopped.logits_1V is not None and is_last and bool(kept_T[wanted_R[0]]):
            return stopped.logits_1V
        final_1TD = cast(nn.Module, model.model.norm)(hidden_1TD)
        logits_RV = float32_logits(model, final_1TD[:, place_T[wanted_R].clamp(min=0)])[0]
        return logits_RV * kept_T[wanted_R, None]


def _require_positions(position_ids: Tensor | None, kept_BT: Tensor, lazy: LazyCache) -> None:
    """Pass if positions are those that the tokens have anyway.

    Raises:
        ModelError: they are not.
    """
    if position_ids is None:
        return
    first_B1 = torch.tensor([[text.num_tokens] for text in lazy.passes], device=kept_BT.device)
    own_BT = first_B1 + kept_BT.long().cumsum(dim=1) - 1
    if bool(((position_ids != own_BT) & kept_BT).any()):
        raise ModelError(
            f"position_ids are {position_ids.tolist()}; tokens that stop by themselves are counted "
            f"from their row's first one, {own_BT.tolist()}: leave position_ids out"
        )


@cache
def _lazy_class(family: Any) -> Any:
    return type(f"Lazy{family.__name__}", (_LazyForward, family), {})
