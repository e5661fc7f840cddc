"""Runs one layer of a frozen model on the rows of a call.

Shapes: N rows of a call, D width, V vocabulary, E width of a rotary embedding, T positions, C
numbers that a row carries to a shortcut.
"""

import copy
import math
from collections.abc import Collection, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from search_cluster.model.anatomy import anatomy_of, head_width, layer_type_of, stable_length
from search_cluster.model.bridge.bridges import bridges_of
from search_cluster.model.devices.layer_devices import LayerDevices, devices_of
from search_cluster.model.devices.placing import without_arrivals
from search_cluster.model.engine.calls.attention import KERNEL_NAME
from search_cluster.model.engine.calls.call_plan import Call, CallPlan
from search_cluster.model.engine.fused_norm import fused
from search_cluster.model.engine.invariance.experts import InvariantExperts, has_usual_form
from search_cluster.model.engine.invariance.head import in_equal_calls
from search_cluster.model.engine.invariance.modules import InvariantLinear, ProductsOfAll
from search_cluster.model.engine.invariance.products import InvariantProducts
from search_cluster.model.head import float32_logits
from search_cluster.model.materialise import ModuleT, shallow_copy
from search_cluster.model.shortcut.shortcut import shortcuts_of

STATE, CARRIED = 0, 1
"""The parts of a slab of states: a row's state, and what a shortcut carries of it."""
FIRST_POSITIONS = 256
"""The smallest number of positions whose rotary embeddings are computed together."""


class LayerRunner:
    """The layers of a model with the engine's attention, norms and products.

    Weights are shared, and the model itself is not changed.

    Args:
        model: the model.
        products: how products are computed.

    Raises:
        UnsupportedFamilyError: the model's family has no anatomy entry.
    """

    def __init__(self, model: PreTrainedModel, products: InvariantProducts) -> None:
        self._model = model
        self.products = products
        self._rotary_per_type = anatomy_of(model.config).rotary_per_layer_type
        packed_config = copy.copy(model.config)
        packed_config._attn_implementation_internal = KERNEL_NAME
        # Experts of a form that `InvariantExperts` lacks run one after the other.
        packed_config._experts_implementation_internal = "eager"
        # Weights that belong to no linear layer are multiplied in code that is not touched.
        self._products_of_all = ProductsOfAll(products) if _has_own_products(model) else None
        self._layers = [
            without_arrivals(self._copy_of(layer, packed_config)) for layer in model.model.layers
        ]
        self._feed_forwards = [_limit_feed_forward(layer) for layer in self._layers]
        self._norm = fused(model.model.norm) or without_arrivals(shallow_copy(model.model.norm))
        self.num_layers = len(self._layers)
        self.devices: LayerDevices = devices_of(model)
        self.dtype: torch.dtype = model.dtype
        self._types = [layer_type_of(model.config, layer) for layer in range(self.num_layers)]
        self._window: int | None = getattr(model.config, "sliding_window", None)
        self._stable_length = stable_length(model.config)
        self._rotaries: dict[tuple[str, torch.device], tuple[Tensor, Tensor]] = {}
        self._shortcuts = shortcuts_of(model)
        self._bridges = bridges_of(model)
        self._bridged_from: dict[int, set[int]] = {}
        for jump in () if self._bridges is None else self._bridges.jumps:
            self._bridged_from.setdefault(jump.after, set()).add(jump.before)
        self.num_bridged_rows = 0
        """The number of rows that crossed a bridge so far."""

    def window(self, layer: int) -> int | None:
        """How many positions a layer looks back, itself included; ``None`` stands for all."""
        return self._window if self._types[layer] == "sliding_attention" else None

    @property
    def width(self) -> int:
        """The width of a state."""
        return int(self._model.config.hidden_size)

    @property
    def carried_width(self) -> int:
        """C: what a row carries to a shortcut beside its state; 0 if there is none."""
        shortcut = self._shortcuts.get(self.devices.last)
        return 0 if shortcut is None else shortcut.carried_width

    @property
    def key_width(self) -> int:
        """The width of a row's keys, and of its values."""
        config = self._model.config
        return int(config.num_key_value_heads) * head_width(config)

    def bytes_per_row(self, *, keep_keys: bool) -> int:
        """Memory of one row's state after one layer, keys and values included if they are kept."""
        key_width = 2 * self.key_width if keep_keys else 0
        return (self.width + self.carried_width + key_width) * self.dtype.itemsize

    def embed(self, tokens_N: Tensor) -> Tensor:
        """Embeddings ``[N, D]``, scaled where the family does so."""
        hidden_ND: Tensor = self._model.model.embed_tokens(tokens_N[None])[0]
        return hidden_ND

    def bridged_from(self, layer: int) -> Collection[int]:
        """The layers from which a bridge leads to a layer, as `Jump` counts them; few if any."""
        return self._bridged_from.get(layer, ())

    def run(self, layer: int, hidden_ND: Tensor, call: Call) -> Tensor:
        """Outputs ``[N, D]`` of one layer; keys and values go to the slots that the plan names.

        The outputs of rows that nobody reads are wrong.

        Args:
            layer: the number of the layer.
            hidden_ND: the layer's inputs, which first cross a bridge where one leads here.
            call: the plan, and where keys and values are held.
        """
        sections, plan = call.plan.sections, call.plan
        self._feed_forwards[layer].rows_read = (
            None if plan.forward_rows is None else sections[plan.forward_rows]
        )
        for before, section in plan.bridged_rows.items():
            self._cross(before, layer, hidden_ND, sections[section])
        with self._products_of_all or nullcontext():
            output_1ND: Tensor = self._layers[layer](
                hidden_ND[None],
                attention_mask=call,
                position_ids=sections[plan.positions][None],
                position_embeddings=self._rotary(layer, hidden_ND, plan),
                past_key_values=None,
                use_cache=False,
            )
        return output_1ND[0]

    def carry(self, layer: int, before_ND: Tensor, after_ND: Tensor, carried_NC: Tensor) -> Tensor:
        """What rows carry to the shortcut behind a layer; there is a shortcut."""
        shortcut = self._shortcuts[before_ND.device]
        return shortcut.carry(layer, before_ND, after_ND, carried_NC, self.products.linear)

    def before_norm(
        self, hidden_ND: Tensor, carried_NC: Tensor | None, last_layers: Sequence[int]
    ) -> Tensor:
        """What the final norm reads, ``[N, D]``, of the states that layers leave.

        Args:
            hidden_ND: final states of paths, which are overwritten.
            carried_NC: what they carry to the shortcut, if there is one.
            last_layers: the last layer of each one's path; of the rows behind these none crosses.
        """
        for before in self.bridged_from(self.num_layers):
            rows = [row for row, layer in enumerate(last_layers) if layer == before]
            if rows:
                places = torch.tensor(rows).to(hidden_ND.device)
                self._cross(before, self.num_layers, hidden_ND, places)
        if carried_NC is None:
            return hidden_ND
        shortcut = self._shortcuts[self.devices.last]
        final_ND: Tensor = shortcut(hidden_ND, carried_NC, self.products.linear)
        return final_ND

    def _cross(self, before: int, after: int, hidden_ND: Tensor, rows: Tensor) -> None:
        """Take some rows over the bridge from one layer to another, which there is."""
        bridge = None if self._bridges is None else self._bridges.at(before, after)
        assert bridge is not None, "it is one of those that lead there"
        # The product takes any number of rows, so that only those are multiplied that cross.
        crossed_ND = bridge(hidden_ND.index_select(0, rows), self.products.linear)
        hidden_ND.index_copy_(0, rows, crossed_ND)
        self.num_bridged_rows += len(rows)

    def logits(self, hidden_ND: Tensor) -> Tensor:
        """Float32 logits ``[N, V]`` of final states: norm, head and soft-capping."""

        def logits_of(final_ND: Tensor) -> Tensor:
            return float32_logits(self._model, self._norm(final_ND), self.products.linear)

        return in_equal_calls(logits_of, hidden_ND)

    def _copy_of(self, module: ModuleT, config: object) -> ModuleT:
        """A copy, weights shared, with the engine's norms and products and another configuration.

        Models with products of their own keep their linear layers, which are products, too.
        """
        twin = shallow_copy(module)
        if "config" in vars(twin):
            vars(twin)["config"] = config
        for name, child in module.named_children():
            if isinstance(child, nn.Linear) and self._products_of_all is None:
                twin._modules[name] = InvariantLinear(child, self.products)
            elif has_usual_form(child):
                twin._modules[name] = InvariantExperts(child, self.products)
            else:
                twin._modules[name] = fused(child) or self._copy_of(child, config)
        return twin

    def _rotary(self, layer: int, hidden_ND: Tensor, plan: CallPlan) -> tuple[Tensor, Tensor]:
        """The cosines and sines ``[1, N, E]`` of the rows' positions."""
        rotary, positions_1N = self._model.model.rotary_emb, plan.sections[plan.positions][None]
        layer_type = self._types[layer]
        arguments = (layer_type,) if self._rotary_per_type else ()
        most = math.inf if self._stable_length is None else self._stable_length
        if plan.num_positions > most:
            moved: tuple[Tensor, Tensor] = rotary(hidden_ND[None], positions_1N, *arguments)
            return moved
        key = layer_type, hidden_ND.device
        known = self._rotaries.get(key)
        if known is None or len(known[0]) < plan.num_positions:
            num_positions = int(min(max(FIRST_POSITIONS, 2 * plan.num_positions), most))
            all_1T = torch.arange(num_positions, device=hidden_ND.device)[None]
            cosines_1TE, sines_1TE = rotary(hidden_ND[None], all_1T, *arguments)
            known = self._rotaries[key] = (cosines_1TE[0], sines_1TE[0])
        positions_N = positions_1N[0]
        return known[0].index_select(0, positions_N)[None], known[1].index_select(0, positions_N)[
            None
        ]


class _SomeRows(nn.Module):
    """A feed-forward block that runs only for rows that are read and gives 0 for the others."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.rows_read: Tensor | None = None

    def forward(self, hidden_1ND: Tensor) -> Tensor:
        if self.rows_read is None:
            everything: Tensor = self.inner(hidden_1ND)
            return everything
        output_1ND = torch.zeros_like(hidden_1ND)
        output_1ND[:, self.rows_read] = self.inner(hidden_1ND[:, self.rows_read])
        return output_1ND


def _limit_feed_forward(layer: nn.Module) -> _SomeRows:
    limited = _SomeRows(layer.mlp)  # type: ignore[arg-type]
    layer.mlp = limited
    return limited


def _has_own_products(model: PreTrainedModel) -> bool:
    return any(
        parameter.dim() > 1
        for module in model.model.layers.modules()
        if not isinstance(module, nn.Linear)
        for parameter in module.parameters(recurse=False)
    )
