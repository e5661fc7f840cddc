"""A plain pass over a prompt, driven by hand one layer at a time, without KV cache.

It builds masks and positions itself, so it is an independent reference for `materialise`; routers
use it to read the states of a prompt and to decide on the way which layer comes next.

Shapes: B rows, T tokens, D width, V vocabulary, R rows that are read, C numbers that a row carries
to a shortcut.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.errors import InvalidPathError
from search_cluster.model.anatomy import anatomy_of, layer_type_of
from search_cluster.model.bridge.bridges import Bridges, bridges_of
from search_cluster.model.head import float32_logits
from search_cluster.model.shortcut.shortcut import shortcuts_of


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BranchLayout:
    """Rows that hold several texts with one beginning: the trunk, and a branch behind it for each.

    A token sees what stands before it in its row, of branches only its own.
    """

    positions_BT: Tensor
    """How far each token is from the beginning of its text."""
    branches_BT: Tensor
    """The branch that a token is on, from 1 on; 0: the trunk."""


class LayerwisePass:
    """The state of one pass: embeds at once, then runs whichever layers it is told to, in place.

    Args:
        model: a causal LM of a supported family (plain, not a materialised path).
        input_ids_BT: the token ids, padded on either side.
        attention_mask_BT: 1 for tokens, 0 for padding; ``None`` if nothing is padded. States at
            padding are meaningless.
        layout: of rows that hold several texts each; ``None``: each is one.

    Gradients follow the caller's mode; wrap it in ``torch.inference_mode()`` to run without.

    Raises:
        UnsupportedFamilyError: the model's family has no anatomy entry.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        input_ids_BT: Tensor,
        attention_mask_BT: Tensor | None = None,
        layout: BranchLayout | None = None,
    ) -> None:
        self._anatomy = anatomy_of(model.config)
        self._model = model
        self._mask_BT = (
            torch.ones_like(input_ids_BT) if attention_mask_BT is None else attention_mask_BT
        )
        self._layout = layout
        self._positions_BT = (
            (self._mask_BT.long().cumsum(-1) - 1).clamp(min=0)
            if layout is None
            else layout.positions_BT
        )
        self.hidden_BTD: Tensor = model.model.embed_tokens(input_ids_BT)
        self.num_steps = 0
        self._masks: dict[str, Tensor] = {}
        self._rotaries: dict[str, tuple[Tensor, Tensor]] = {}
        self._bridges = bridges_of(model)
        self._shortcuts = shortcuts_of(model)
        if self._shortcuts:
            shortcut = self._shortcuts[self.hidden_BTD.device]
            self._carried_BTC = shortcut.nothing_carried(self.hidden_BTD)
        self._last_layer = -1

    def step(self, layer: int) -> None:
        """Run one layer of the model on the current state, which first crosses a bridge if need be.

        Raises:
            InvalidPathError: the model has no such layer.
        """
        layers = self._model.model.layers
        if not 0 <= layer < len(layers):
            raise InvalidPathError(
                f"layer {layer} was asked for; the model has layers 0..{len(layers) - 1}"
            )
        layer_type = layer_type_of(self._model.config, layer)
        before_BTD = self._before(layer, self.hidden_BTD)
        self.hidden_BTD = layers[layer](
            before_BTD,
            attention_mask=self._mask(layer_type),
            position_ids=self._positions_BT,
            position_embeddings=self._rotary(layer_type),
            past_key_values=None,
            use_cache=False,
        )
        if self._shortcuts:
            device = self.hidden_BTD.device
            self._carried_BTC = self._shortcuts[device].carry(
                layer, before_BTD.to(device), self.hidden_BTD, self._carried_BTC.to(device)
            )
        self.num_steps += 1
        self._last_layer = layer

    @property
    def final_states(self) -> Tensor:
        """What the final norm would read now."""
        return self._final(slice(None))

    def fork(self, bridges: Bridges | None) -> "LayerwisePass":
        """A pass that goes on from here by itself, with other bridges or none."""
        twin = copy.copy(self)
        twin._bridges = bridges
        return twin

    def _final(self, rows: slice | Tensor) -> Tensor:
        if isinstance(rows, Tensor):
            rows = rows.to(self.hidden_BTD.device)
        final_BRD = self._before(len(self._model.model.layers), self.hidden_BTD[:, rows])
        if not self._shortcuts:
            return final_BRD
        carried_BRC = self._carried_BTC[:, rows].to(final_BRD.device)
        read_BRD: Tensor = self._shortcuts[final_BRD.device](final_BRD, carried_BRC)
        return read_BRD

    def _before(self, layer: int, hidden_BTD: Tensor) -> Tensor:
        """What a layer, or the final norm, reads of the current state."""
        bridge = None if self._bridges is None else self._bridges.at(self._last_layer, layer)
        return hidden_BTD if bridge is None else bridge(hidden_BTD.to(bridge.bias_D.device))

    def logits(self, rows: slice | Tensor = slice(-1, None)) -> Tensor:
        """Float32 logits ``[B, R, V]`` of the current state at some positions, by default the last.

        Final norm, head and the family's soft-capping are applied; the state itself stays as it is.
        """
        return float32_logits(self._model, self._model.model.norm(self._final(rows)))

    def _mask(self, layer_type: str) -> Tensor:
        """The additive mask ``[B, 1, T, T]`` of a layer type.

        It lets a token look at earlier ones within the window, and never at padding.
        """
        if layer_type not in self._masks:
            num_tokens, device = self.hidden_BTD.shape[1], self._mask_BT.device
            place_T = torch.arange(num_tokens, device=device)
            distance_BTT = (place_T[:, None] - place_T)[None]
            visible_BTT = distance_BTT >= 0
            if self._layout is not None:
                positions_BT, branches_BT = self._layout.positions_BT, self._layout.branches_BT
                distance_BTT = positions_BT[:, :, None] - positions_BT[:, None, :]
                visible_BTT = visible_BTT & (
                    (branches_BT[:, None, :] == 0)
                    | (branches_BT[:, :, None] == branches_BT[:, None, :])
                )
            if layer_type == "sliding_attention":
                visible_BTT = visible_BTT & (distance_BTT < self._model.config.sliding_window)
            visible_BTT = visible_BTT & self._mask_BT.bool()[:, None, :]
            mask_BTT = torch.zeros(visible_BTT.shape, dtype=self.hidden_BTD.dtype, device=device)
            mask_BTT.masked_fill_(~visible_BTT, torch.finfo(mask_BTT.dtype).min)
            self._masks[layer_type] = mask_BTT[:, None]
        return self._masks[layer_type]

    def _rotary(self, layer_type: str) -> tuple[Tensor, Tensor]:
        key = layer_type if self._anatomy.rotary_per_layer_type else ""
        if key not in self._rotaries:
            extra = (key,) if key else ()
            # Of the states, type and device matter alone; positions stay on the first device.
            like_BTD = self.hidden_BTD[:, :0].to(self._positions_BT.device)
            self._rotaries[key] = self._model.model.rotary_emb(like_BTD, self._positions_BT, *extra)
        return self._rotaries[key]
