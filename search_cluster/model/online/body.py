"""The layers of a model, run row by row along paths that are decided while the prompt runs.

Stands in the place of ``model.model``: embedding, layers and final norm, with the masks, rotary
embeddings and cache slots that the family itself would use. The LM head, logits and generation stay
the family's own.

Shapes: B rows of the batch, T tokens of the call, D width, C numbers that a row carries to a
shortcut, R rows of a step.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.modeling_outputs import MoeModelOutputWithPast

from search_cluster.errors import ModelError
from search_cluster.model.anatomy import layer_type_of
from search_cluster.model.bridge.bridges import bridges_of
from search_cluster.model.devices.layer_devices import require_one_device
from search_cluster.model.online.cache import OnlineCache, Step
from search_cluster.model.online.chooser import BeginOnlineRouting, keep_choice
from search_cluster.model.online.inputs import LayerInputs
from search_cluster.model.online.prefill import OnlinePrompt, next_step
from search_cluster.model.shortcut.shortcut import Shortcut, shortcut_of

_NOT_RECORDED = ("output_attentions", "output_hidden_states", "output_router_logits")


@dataclass(slots=True, eq=False)
class _Behind:
    """What is known of a batch's rows behind the layers that they ran so far."""

    last_layers: list[int]
    """The layer that each row ran last; -1 at the embedding."""
    carried_BTC: Tensor
    """What each carries to the shortcut; empty without one."""

    @classmethod
    def embedding(cls, hidden_BTD: Tensor, shortcut: Shortcut | None) -> "_Behind":
        """What is known before any layer ran."""
        return cls(
            [-1] * len(hidden_BTD),
            hidden_BTD[..., :0] if shortcut is None else shortcut.nothing_carried(hidden_BTD),
        )


class OnlineBody(nn.Module):
    """What the causal LM calls in the place of its base model; it shares all weights with it.

    Args:
        model: a causal LM of a supported family.
        begin_routing: begins to choose the path of a prompt.

    Raises:
        ModelError: the model's layers are on several devices.
    """

    def __init__(self, model: PreTrainedModel, begin_routing: BeginOnlineRouting) -> None:
        super().__init__()
        require_one_device(model, "routing on the way")
        self.config = model.config
        self.embed_tokens = model.model.embed_tokens
        self.layers = model.model.layers
        self.norm = model.model.norm
        self.rotary_emb = model.model.rotary_emb
        # Asking the config and the module list by number takes 1 % of a decoding step.
        self._layer_types = tuple(
            layer_type_of(model.config, layer) for layer in range(len(self.layers))
        )
        self._in_order = tuple(self.layers)
        self._bridges = bridges_of(model)
        self._shortcut = shortcut_of(model)
        self._begin_routing = begin_routing
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
        """Final states of all tokens.

        The first call on a cache routes; later ones follow the paths that were chosen.

        Raises:
            ModelError: embeddings without tokens, another kind of cache, or records of what rows
                did in between.
        """
        if input_ids is None or inputs_embeds is not None:
            raise ModelError("a routed model reads token ids; pass input_ids, not inputs_embeds")
        refuse_records(kwargs)
        if past_key_values is not None and not isinstance(past_key_values, OnlineCache):
            raise ModelError(
                f"past_key_values is a {type(past_key_values).__name__}; a routed model keeps its "
                "paths in a OnlineCache: leave past_key_values out, or pass the one of an earlier "
                "call"
            )
        cache = OnlineCache() if past_key_values is None else past_key_values
        keep = past_key_values is not None or bool(
            self.config.use_cache if use_cache is None else use_cache
        )
        hidden_BTD: Tensor = self.embed_tokens(input_ids)
        if position_ids is None:
            first = cache.get_seq_length()
            position_ids = torch.arange(first, first + input_ids.shape[1], device=input_ids.device)[
                None
            ]
        inputs = LayerInputs(
            self.config,
            self._layer_types,
            self.rotary_emb,
            hidden_BTD,
            attention_mask,
            position_ids,
            cache,
            keep=keep,
            extra=kwargs,
        )
        behind = _Behind.embedding(hidden_BTD, self._shortcut)
        if cache.steps:
            for index in range(len(cache.steps)):
                step = cache.enter_step(index)
                hidden_BTD = self._run(step, hidden_BTD, inputs, behind)
        else:
            hidden_BTD = self._run_prompts(
                hidden_BTD, inputs, cache, input_ids, attention_mask, behind
            )
        every_row = tuple(range(len(hidden_BTD)))
        hidden_BTD = self._cross(every_row, len(self.layers), hidden_BTD, inputs, behind)
        if self._shortcut is not None:
            hidden_BTD = self._shortcut(hidden_BTD, behind.carried_BTC)
        return MoeModelOutputWithPast(
            last_hidden_state=self.norm(hidden_BTD), past_key_values=cache if keep else None
        )

    def _run(self, step: Step, hidden_BTD: Tensor, inputs: LayerInputs, behind: _Behind) -> Tensor:
        """The states after one step; those of rows that do not take it stay as they are.

        What is known of the rows behind their last layer is kept so.
        """
        hidden_BTD = self._cross(step.rows, step.layer, hidden_BTD, inputs, behind)
        for row in step.rows:
            behind.last_layers[row] = step.layer
        layer, arguments = self._in_order[step.layer], inputs.of(step)
        if len(step.rows) == len(hidden_BTD):
            everything_BTD: Tensor = layer(hidden_BTD, **arguments)
            if self._shortcut is not None:
                behind.carried_BTC = self._shortcut.carry(
                    step.layer, hidden_BTD, everything_BTD, behind.carried_BTC
                )
            return everything_BTD
        rows_R = inputs.index_of(step.rows)
        before_RTD = hidden_BTD[rows_R]
        after_RTD = layer(before_RTD, **arguments)
        if self._shortcut is not None:
            carried_RTC = self._shortcut.carry(
                step.layer, before_RTD, after_RTD, behind.carried_BTC[rows_R]
            )
            behind.carried_BTC = behind.carried_BTC.index_copy(0, rows_R, carried_RTC)
        return hidden_BTD.index_copy(0, rows_R, after_RTD)

    def _cross(
        self,
        rows: tuple[int, ...],
        after: int,
        hidden_BTD: Tensor,
        inputs: LayerInputs,
        behind: _Behind,
    ) -> Tensor:
        """The states of all rows, after some crossed the bridges that lead to a layer."""
        if self._bridges is None:
            return hidden_BTD
        for before in dict.fromkeys(behind.last_layers[row] for row in rows):
            bridge = self._bridges.at(before, after)
            if bridge is not None:
                rows_R = inputs.index_of(
                    tuple(row for row in rows if behind.last_layers[row] == before)
                )
                hidden_BTD = hidden_BTD.index_copy(0, rows_R, bridge(hidden_BTD[rows_R]))
        return hidden_BTD

    def _run_prompts(
        self,
        hidden_BTD: Tensor,
        inputs: LayerInputs,
        cache: OnlineCache,
        input_ids: Tensor,
        mask: Tensor | None,
        behind: _Behind,
    ) -> Tensor:
        embedded_BTD = hidden_BTD
        tokens = _tokens_of_rows(input_ids, mask)
        prompts = self._prompts(tokens, input_ids, cache)
        while True:
            for prompt in prompts:
                while prompt.needs_asking:
                    row = prompt.rows[0]
                    if prompt.ask(_states(hidden_BTD, row, tokens)):
                        cache.drop_rows(prompt.rows)
                        rows_R = inputs.index_of(prompt.rows)
                        hidden_BTD = hidden_BTD.index_copy(0, rows_R, embedded_BTD[rows_R])
                        behind.carried_BTC = behind.carried_BTC.index_fill(0, rows_R, 0.0)
                        for begun in prompt.rows:
                            behind.last_layers[begun] = -1
            planned = next_step(prompts)
            if planned is None:
                break
            layer, takers = planned
            step = Step(
                layer=layer, rows=tuple(sorted(row for prompt in takers for row in prompt.rows))
            )
            cache.open_step(step, self._slots[layer])
            hidden_BTD = self._run(step, hidden_BTD, inputs, behind)
            for prompt in takers:
                prompt.ran_next_layer()
        by_row = {row: prompt for prompt in prompts for row in prompt.rows}
        ordered = [by_row[row] for row in range(len(input_ids))]
        cache.choices = tuple(prompt.choice for prompt in ordered if prompt.choice is not None)
        cache.discarded_layer_tokens = tuple(prompt.discarded_layer_tokens for prompt in ordered)
        return hidden_BTD

    def _prompts(
        self, tokens: list[Tensor | None], input_ids: Tensor, cache: OnlineCache
    ) -> list[OnlinePrompt]:
        """One prompt per distinct row.

        Equal rows (beams, several answers) must not part over rounding noise.
        """
        chosen = cache.choices
        rows: dict[tuple[int, ...], list[int]] = {}
        for row, kept_T in enumerate(tokens):
            ids = input_ids[row] if kept_T is None else input_ids[row][kept_T]
            rows.setdefault(tuple(ids.tolist()), []).append(row)
        return [
            OnlinePrompt(
                tuple(group),
                len(ids),
                keep_choice(chosen[group[0]]) if chosen else self._begin_routing(ids),
                len(self.layers),
            )
            for ids, group in rows.items()
        ]


def refuse_records(kwargs: dict[str, Any]) -> None:
    """Take out of a call's further arguments those that ask for records.

    Raises:
        ModelError: one of them asks.
    """
    for name in _NOT_RECORDED:
        if kwargs.pop(name, False):
            raise ModelError(
                f"{name} is not recorded, because rows take different layers; leave it out"
            )


def _tokens_of_rows(input_ids: Tensor, mask: Tensor | None) -> list[Tensor | None]:
    """For each row which of its places hold tokens; ``None`` stands for all."""
    if mask is None or bool(mask.all()):
        return [None] * len(input_ids)
    if mask.shape != input_ids.shape:
        raise ModelError(
            f"the attention mask has shape {tuple(mask.shape)} and the prompt "
            f"{tuple(input_ids.shape)}; a routed model takes one 0 or 1 per token of the prompt"
        )
    return [row.bool() for row in mask]


def _states(hidden_BTD: Tensor, row: int, tokens: list[Tensor | None]) -> Tensor:
    kept_T = tokens[row]
    return hidden_BTD[row] if kept_T is None else hidden_BTD[row][kept_T]
