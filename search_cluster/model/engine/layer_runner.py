"""Runs one layer of a frozen model on packed rows.

Shapes: N rows of a call, D width, V vocabulary.
"""

import copy

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from search_cluster.model.anatomy import anatomy_of, layer_type_of
from search_cluster.model.engine.attention import KERNEL_NAME, SegmentGroup
from search_cluster.model.engine.fused_norm import with_fused_norms


class LayerRunner:
    """The layers of a model with the packed attention kernel.

    Weights are shared, and the model itself is not changed.

    Raises:
        UnsupportedFamilyError: the model's family has no anatomy entry.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._rotary_per_type = anatomy_of(model.config).rotary_per_layer_type
        packed_config = copy.copy(model.config)
        packed_config._attn_implementation_internal = KERNEL_NAME
        self._layers = [_with_config(layer, packed_config) for layer in model.model.layers]
        self._feed_forwards = [_limit_feed_forward(layer) for layer in self._layers]
        self.num_layers = len(self._layers)
        self.device = model.device
        self._types = [layer_type_of(model.config, layer) for layer in range(self.num_layers)]
        self._window: int | None = getattr(model.config, "sliding_window", None)
        self._softcap: float | None = getattr(model.config, "final_logit_softcapping", None)

    def window(self, layer: int) -> int | None:
        """How many positions a layer looks back, itself included; ``None`` stands for all."""
        return self._window if self._types[layer] == "sliding_attention" else None

    def bytes_per_row(self, *, keep_keys: bool) -> int:
        """Memory of one row's state after one layer, keys and values included if they are kept."""
        config, weight = self._model.config, self._model.model.embed_tokens.weight
        head_width = (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        )
        width = config.hidden_size + (
            2 * config.num_key_value_heads * head_width if keep_keys else 0
        )
        return int(width * weight.element_size())

    def embed(self, tokens_N: Tensor) -> Tensor:
        """Embeddings ``[N, D]``, scaled where the family does so."""
        hidden_ND: Tensor = self._model.model.embed_tokens(tokens_N[None])[0]
        return hidden_ND

    def run(
        self,
        layer: int,
        hidden_ND: Tensor,
        positions_N: Tensor,
        groups: list[SegmentGroup],
        rows_read: Tensor | None = None,
    ) -> Tensor:
        """Outputs ``[N, D]`` of one layer; keys and values go to the states that the groups name.

        Args:
            layer: the number of the layer.
            hidden_ND: the layer's inputs.
            positions_N: the rows' positions in their sequences.
            groups: which rows see which.
            rows_read: the rows whose outputs matter; the outputs of others are wrong. ``None``
                stands for all rows.
        """
        self._feed_forwards[layer].rows_read = rows_read
        rotary = self._model.model.rotary_emb
        positions_1N = positions_N[None]
        type_arguments = (self._types[layer],) if self._rotary_per_type else ()
        output_1ND: Tensor = self._layers[layer](
            hidden_ND[None],
            attention_mask=groups,
            position_ids=positions_1N,
            position_embeddings=rotary(hidden_ND[None], positions_1N, *type_arguments),
            past_key_values=None,
            use_cache=False,
        )
        return output_1ND[0]

    def logits(self, hidden_ND: Tensor) -> Tensor:
        """Logits ``[N, V]`` of final states: norm, head and soft-capping."""
        logits_NV: Tensor = self._model.lm_head(self._model.model.norm(hidden_ND))
        if self._softcap is not None:
            logits_NV = torch.tanh(logits_NV / self._softcap) * self._softcap
        return logits_NV


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


def _with_config(layer: nn.Module, config: object) -> nn.Module:
    """A copy of a layer, weights shared, whose attention reads another configuration."""
    packed = with_fused_norms(layer)
    vars(packed.self_attn)["config"] = config
    return packed
