"""What a layer gets beside its states: the masks and rotary embeddings of one call.

They are made for any set of rows of the batch.

Shapes: B rows of the batch, R rows that take a layer, T tokens of the call, D width.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, PreTrainedConfig
from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask

from search_cluster.model.anatomy import anatomy_of
from search_cluster.model.online.cache import OnlineCache, Step

SLIDING = "sliding_attention"
"""The layer type that looks at a window of the last tokens only."""


class LayerInputs:
    """Computed once per layer type for the whole batch, and once per set of rows from that.

    Args:
        config: the model's configuration.
        layer_types: the types of all its layers, see `layer_type_of`.
        rotary_emb: the model's rotary embedding.
        hidden_BTD: any states of the call, for their shape, dtype and device.
        padding: 1 for tokens that are held or come in this call, 0 for padding; ``None`` if nothing
            is padded.
        positions: the position ids, ``[B, T]`` or ``[1, T]``.
        cache: holds what came before the call.
        keep: whether layers write to the cache.
        extra: what else every layer gets.
    """

    def __init__(
        self,
        config: PreTrainedConfig,
        layer_types: Sequence[str],
        rotary_emb: nn.Module,
        hidden_BTD: Tensor,
        padding: Tensor | None,
        positions: Tensor,
        cache: OnlineCache,
        *,
        keep: bool,
        extra: dict[str, Any],
    ) -> None:
        self._config, self._layer_types, self._hidden_BTD = config, layer_types, hidden_BTD
        self._positions, self._cache = positions, cache
        self._shared = {"past_key_values": cache if keep else None, "use_cache": keep, **extra}
        self._num_rows = len(hidden_BTD)
        self._indices: dict[tuple[int, ...], Tensor] = {}
        self._arguments: dict[tuple[str, tuple[int, ...]], dict[str, Any]] = {}
        types = {layer_types[step.layer] for step in cache.steps} or set(layer_types)
        # Masks are sized by what the slots hold before the call, and so before its first step.
        self._masks = {layer_type: self._mask(layer_type, padding) for layer_type in types}
        # Of all rows, since some families scale by the longest one.
        self._rotaries = layer_rotaries(config, types, rotary_emb, hidden_BTD, positions)

    def of(self, step: Step) -> dict[str, Any]:
        """The keyword arguments of the step's layer."""
        layer_type = self._layer_types[step.layer]
        key = (layer_type, step.rows)
        if key not in self._arguments:
            cosine, sine = self._rotaries[layer_type]
            self._arguments[key] = {
                "attention_mask": self._of_rows(self._masks[layer_type], step.rows),
                "position_ids": self._of_rows(self._positions, step.rows),
                "position_embeddings": (
                    self._of_rows(cosine, step.rows),
                    self._of_rows(sine, step.rows),
                ),
                **self._shared,
            }
        return self._arguments[key]

    def index_of(self, rows: tuple[int, ...]) -> Tensor:
        """The rows as an index on the device, ``[R]``."""
        if rows not in self._indices:
            self._indices[rows] = torch.tensor(rows, device=self._hidden_BTD.device)
        return self._indices[rows]

    def _of_rows(self, value: Tensor | None, rows: tuple[int, ...]) -> Tensor | None:
        if value is None or len(value) == 1 or len(rows) == self._num_rows:
            return value
        return value[self.index_of(rows)]

    def _mask(self, layer_type: str, padding: Tensor | None) -> Tensor | None:
        held = self._cache if self._cache.steps else None
        slot = None if held is None else held.slot_like(sliding=layer_type == SLIDING)
        return layer_mask(self._config, layer_type, self._hidden_BTD, padding, held, slot)


def layer_rotaries(
    config: PreTrainedConfig,
    layer_types: Iterable[str],
    rotary_emb: nn.Module,
    hidden_BTD: Tensor,
    positions: Tensor,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Cosine and sine of the positions for each layer type."""
    if anatomy_of(config).rotary_per_layer_type:
        return {name: rotary_emb(hidden_BTD, positions, name) for name in layer_types}
    return dict.fromkeys(layer_types, rotary_emb(hidden_BTD, positions))


def layer_mask(
    config: PreTrainedConfig,
    layer_type: str,
    hidden_BTD: Tensor,
    padding: Tensor | None,
    held: Cache | None,
    slot: int | None,
) -> Tensor | None:
    """The mask of a layer type, as the family makes it; ``None`` where attention needs none.

    Args:
        config: the model's configuration.
        layer_type: see `layer_type_of`.
        hidden_BTD: any states of the call.
        padding: see `LayerInputs`.
        held: what came before the call; ``None``: nothing.
        slot: a slot of ``held`` of this layer type.
    """
    create = create_sliding_window_causal_mask if layer_type == SLIDING else create_causal_mask
    mask = create(
        config=config,
        inputs_embeds=hidden_BTD,
        attention_mask=padding,
        past_key_values=held,
        layer_idx=slot,
    )
    assert mask is None or isinstance(mask, Tensor), (
        "models are loaded with SDPA or eager attention"
    )
    return mask
