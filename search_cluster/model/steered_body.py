"""The layers of a model, run row by row along paths that are decided while the prompt runs.

Stands in the place of ``model.model``: embedding, layers and final norm, with the masks, rotary embeddings and cache
slots that the family itself would use. The LM head, logits and generation stay the family's own.

Shapes: B rows of the batch, T tokens of the call, D width.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask
from transformers.modeling_outputs import MoeModelOutputWithPast

from search_cluster.errors import ModelError
from search_cluster.model.anatomy import anatomy_of, layer_type_of
from search_cluster.model.steered_cache import SteeredCache, Step
from search_cluster.model.steered_prefill import SteeredPrompt, next_step
from search_cluster.model.steering import Steer, keep_choice

_NOT_RECORDED = ("output_attentions", "output_hidden_states", "output_router_logits")


class SteeredBody(nn.Module):
    """What the causal LM calls in the place of its base model; shares all weights with it.

    Args:
        model: a causal LM of a supported family.
        steer: chooses the path of each prompt.
    """

    def __init__(self, model: PreTrainedModel, steer: Steer) -> None:
        super().__init__()
        self.config = model.config
        self.embed_tokens = model.model.embed_tokens
        self.layers = model.model.layers
        self.norm = model.model.norm
        self.rotary_emb = model.model.rotary_emb
        self._steer = steer
        self.types = [layer_type_of(model.config, layer) for layer in range(len(self.layers))]
        self.rotary_per_type = anatomy_of(model.config).rotary_per_layer_type
        self._slots = cast(list[DynamicLayer], DynamicCache(config=model.config).layers)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> MoeModelOutputWithPast:
        """Final states of all tokens. The first call on a cache steers; later ones follow what was chosen.

        Raises:
            ModelError: embeddings without tokens, another kind of cache, or records of what rows did in between.
        """
        if input_ids is None or inputs_embeds is not None:
            raise ModelError("a routed model reads token ids; pass input_ids, not inputs_embeds")
        for name in _NOT_RECORDED:
            if kwargs.pop(name, False):
                raise ModelError(f"{name} is not recorded, because rows take different layers; leave it out")
        if past_key_values is not None and not isinstance(past_key_values, SteeredCache):
            raise ModelError(
                f"past_key_values is a {type(past_key_values).__name__}; a routed model keeps its paths in a "
                f"SteeredCache: leave past_key_values out, or pass the one of an earlier call"
            )
        cache = SteeredCache() if past_key_values is None else past_key_values
        keep = past_key_values is not None or bool(self.config.use_cache if use_cache is None else use_cache)
        hidden_BTD: Tensor = self.embed_tokens(input_ids)
        if position_ids is None:
            first = cache.get_seq_length()
            position_ids = torch.arange(first, first + input_ids.shape[1], device=input_ids.device)[None]
        call = _Call(self, hidden_BTD, attention_mask, position_ids, cache, keep, kwargs)
        if cache.steps:
            for index in range(len(cache.steps)):
                hidden_BTD = call.run(cache.enter_step(index), hidden_BTD)
        else:
            hidden_BTD = self._run_prompts(call, hidden_BTD, input_ids, attention_mask)
        return MoeModelOutputWithPast(last_hidden_state=self.norm(hidden_BTD), past_key_values=cache if keep else None)

    def types_of(self, cache: SteeredCache) -> set[str]:
        """The layer types that a call on this cache may run: those of its steps, or all before there is one."""
        return {self.types[step.layer] for step in cache.steps} or set(self.types)

    def _run_prompts(self, call: "_Call", hidden_BTD: Tensor, input_ids: Tensor, mask: Tensor | None) -> Tensor:
        embedded_BTD, cache = hidden_BTD, call.cache
        tokens = _tokens_of_rows(input_ids, mask)
        prompts = self._prompts(tokens, input_ids, cache)
        while True:
            for prompt in prompts:
                while prompt.needs_asking:
                    row = prompt.rows[0]
                    if prompt.ask(_states(hidden_BTD, row, tokens)):
                        cache.drop_rows(prompt.rows)
                        rows_R = torch.tensor(prompt.rows, device=hidden_BTD.device)
                        hidden_BTD = hidden_BTD.index_copy(0, rows_R, embedded_BTD[rows_R])
            planned = next_step(prompts)
            if planned is None:
                break
            layer, takers = planned
            step = Step(layer=layer, rows=tuple(sorted(row for prompt in takers for row in prompt.rows)))
            cache.open_step(step, self._slots[layer])
            hidden_BTD = call.run(step, hidden_BTD)
            for prompt in takers:
                prompt.ran_next_layer()
        by_row = {row: prompt for prompt in prompts for row in prompt.rows}
        ordered = [by_row[row] for row in range(len(input_ids))]
        cache.choices = tuple(prompt.choice for prompt in ordered if prompt.choice is not None)
        cache.discarded_layer_tokens = tuple(prompt.discarded_layer_tokens for prompt in ordered)
        return hidden_BTD

    def _prompts(self, tokens: list[Tensor | None], input_ids: Tensor, cache: SteeredCache) -> list[SteeredPrompt]:
        """One prompt per distinct row: equal rows (beams, several answers) must not part over rounding noise."""
        chosen = cache.choices
        rows: dict[tuple[int, ...], list[int]] = {}
        for row, kept_T in enumerate(tokens):
            ids = input_ids[row] if kept_T is None else input_ids[row][kept_T]
            rows.setdefault(tuple(ids.tolist()), []).append(row)
        return [
            SteeredPrompt(
                tuple(group), len(ids), keep_choice(chosen[group[0]]) if chosen else self._steer(ids), len(self.layers)
            )
            for ids, group in rows.items()
        ]


class _Call:
    """What all steps of one forward share: masks and rotary embeddings, once per layer type and set of rows."""

    def __init__(
        self,
        body: SteeredBody,
        hidden_BTD: Tensor,
        attention_mask: Tensor | None,
        position_ids: Tensor,
        cache: SteeredCache,
        keep: bool,
        extra: dict[str, Any],
    ) -> None:
        self.cache = cache
        self._body, self._padding, self._positions, self._extra = body, attention_mask, position_ids, extra
        self._keep = keep
        self._hidden_BTD = hidden_BTD
        self._all_rows = tuple(range(len(hidden_BTD)))
        self._groups: dict[tuple[int, ...], Tensor] = {}
        self._inputs: dict[tuple[str, tuple[int, ...]], dict[str, Any]] = {}
        self._rotaries: dict[str, tuple[Tensor, Tensor]] = {}
        self._masks: dict[str, Tensor | None] = {}
        # Sized by what the slots hold before the call, and so before its first step.
        for layer_type in body.types_of(cache):
            self._mask_of(layer_type)

    def run(self, step: Step, hidden_BTD: Tensor) -> Tensor:
        """The states after one step; those of rows that do not take it stay as they are."""
        inputs = self._inputs_of(step)
        layer = self._body.layers[step.layer]
        if step.rows == self._all_rows:
            everything_BTD: Tensor = layer(hidden_BTD, **inputs, **self._extra)
            return everything_BTD
        rows_R = self._group(step.rows)
        return hidden_BTD.index_copy(0, rows_R, layer(hidden_BTD[rows_R], **inputs, **self._extra))

    def _group(self, rows: tuple[int, ...]) -> Tensor:
        if rows not in self._groups:
            self._groups[rows] = torch.tensor(rows, device=self._hidden_BTD.device)
        return self._groups[rows]

    def _inputs_of(self, step: Step) -> dict[str, Any]:
        layer_type = self._body.types[step.layer]
        key = (layer_type, step.rows)
        if key not in self._inputs:
            self._inputs[key] = self._make_inputs(layer_type, step.rows)
        return self._inputs[key]

    def _make_inputs(self, layer_type: str, rows: tuple[int, ...]) -> dict[str, Any]:
        whole = rows == self._all_rows

        def of_rows(value: Tensor | None) -> Tensor | None:
            return value if whole or value is None or len(value) == 1 else value[self._group(rows)]

        cosine, sine = self._rotary(layer_type)
        return {
            "attention_mask": of_rows(self._mask_of(layer_type)),
            "position_ids": of_rows(self._positions),
            "position_embeddings": (of_rows(cosine), of_rows(sine)),
            "past_key_values": self.cache if self._keep else None,
            "use_cache": self._keep,
        }

    def _mask_of(self, layer_type: str) -> Tensor | None:
        if layer_type not in self._masks:
            sliding = layer_type == "sliding_attention"
            create = create_sliding_window_causal_mask if sliding else create_causal_mask
            held = self.cache if self.cache.steps else None
            mask = create(
                config=self._body.config,
                inputs_embeds=self._hidden_BTD,
                attention_mask=self._padding,
                past_key_values=held,
                layer_idx=None if held is None else held.slot_like(sliding=sliding),
            )
            assert mask is None or isinstance(mask, Tensor), "models are loaded with SDPA or eager attention"
            self._masks[layer_type] = mask
        return self._masks[layer_type]

    def _rotary(self, layer_type: str) -> tuple[Tensor, Tensor]:
        """Of all rows: some families scale by the longest one."""
        key = layer_type if self._body.rotary_per_type else ""
        if key not in self._rotaries:
            extra = (key,) if key else ()
            self._rotaries[key] = self._body.rotary_emb(self._hidden_BTD, self._positions, *extra)
        return self._rotaries[key]


def _tokens_of_rows(input_ids: Tensor, mask: Tensor | None) -> list[Tensor | None]:
    """Per row which of its places hold tokens; ``None``: all."""
    if mask is None or bool(mask.all()):
        return [None] * len(input_ids)
    if mask.shape != input_ids.shape:
        raise ModelError(
            f"the attention mask has shape {tuple(mask.shape)} and the prompt {tuple(input_ids.shape)}; a routed model "
            f"takes one 0 or 1 per token of the prompt"
        )
    return [row.bool() for row in mask]


def _states(hidden_BTD: Tensor, row: int, tokens: list[Tensor | None]) -> Tensor:
    kept_T = tokens[row]
    return hidden_BTD[row] if kept_T is None else hidden_BTD[row][kept_T]
