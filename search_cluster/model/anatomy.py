"""Where each model family keeps its parts, and what its layers need besides the hidden state.

All families below name their parts alike (``model.model.layers[i].self_attn`` ...); they differ in
which mask and which rotary embedding a layer gets, and in how logits are finished. To add a family:
one entry in `ANATOMIES`, one entry in the tiny configs of the tests, which then check it against a
plain pass, with and without KV cache.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from search_cluster.errors import UnsupportedFamilyError


class MaskRule(StrEnum):
    """Which layers look only at a sliding window of the last tokens."""

    FULL = "full"
    """No layer does."""
    MODEL_WINDOW = "model_window"
    """All layers do, if ``config.sliding_window`` is set."""
    PER_LAYER_TYPE = "per_layer_type"
    """The layers with ``config.layer_types[i] == "sliding_attention"`` do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """What a hand-driven pass over a family's layers has to know."""

    masks: MaskRule = MaskRule.FULL
    rotary_per_layer_type: bool = False
    """Whether ``rotary_emb`` takes the layer type as its third argument."""
    attention_kernel: str = "sdpa"
    """The ``attn_implementation`` to load with; ``eager`` where the family rejects SDPA."""


ANATOMIES: dict[str, Anatomy] = {
    "llama": Anatomy(),
    "gemma": Anatomy(),
    "olmo2": Anatomy(),
    "olmoe": Anatomy(),
    "mistral": Anatomy(masks=MaskRule.MODEL_WINDOW),
    "mixtral": Anatomy(masks=MaskRule.MODEL_WINDOW),
    "phi3": Anatomy(masks=MaskRule.MODEL_WINDOW),
    "qwen3_moe": Anatomy(masks=MaskRule.MODEL_WINDOW),
    "qwen2": Anatomy(masks=MaskRule.PER_LAYER_TYPE),
    "qwen3": Anatomy(masks=MaskRule.PER_LAYER_TYPE),
    "qwen2_moe": Anatomy(masks=MaskRule.PER_LAYER_TYPE),
    "smollm3": Anatomy(masks=MaskRule.PER_LAYER_TYPE),
    "gemma2": Anatomy(masks=MaskRule.PER_LAYER_TYPE, attention_kernel="eager"),
    "gemma3_text": Anatomy(masks=MaskRule.PER_LAYER_TYPE, rotary_per_layer_type=True),
    "olmo3": Anatomy(masks=MaskRule.PER_LAYER_TYPE, rotary_per_layer_type=True),
}
"""The families that are supported, by ``config.model_type``."""

_PER_LAYER_INPUTS = "each of its layers has inputs of its own, which a re-ordered path can't supply"
_SHARED_KV = "its layers share keys and values with each other, which a re-ordered path breaks"
_HYBRID = (
    "it mixes attention with recurrent layers, whose state a path without attention can't keep"
)
REFUSED: dict[str, str] = {
    "gemma4": _PER_LAYER_INPUTS,
    "gemma4_text": _PER_LAYER_INPUTS,
    "gemma3n": _SHARED_KV,
    "gemma3n_text": _SHARED_KV,
    "bamba": _HYBRID,
    "falcon_h1": _HYBRID,
    "granitemoehybrid": _HYBRID,
    "jamba": _HYBRID,
    "lfm2": _HYBRID,
    "nemotron_h": _HYBRID,
    "qwen3_next": _HYBRID,
    "recurrent_gemma": _HYBRID,
    "zamba2": _HYBRID,
}
"""The families that can't be supported, each with the reason."""


def anatomy_of(config: PreTrainedConfig) -> Anatomy:
    """The anatomy of the family that ``config.model_type`` names.

    Raises:
        UnsupportedFamilyError: the family is refused for a stated reason, or has no entry yet.
    """
    family = str(config.model_type)
    if family in REFUSED:
        raise UnsupportedFamilyError(
            f"model family {family!r} can't run layer paths: {REFUSED[family]}; {_supported()}"
        )
    if family not in ANATOMIES:
        raise UnsupportedFamilyError(
            f"model family {family!r} has no anatomy entry; {_supported()}. To add it, write one "
            "short entry in search_cluster/model/anatomy.py and one tiny config in "
            "tests/support/tiny.py"
        )
    if getattr(config, "use_bidirectional_attention", None):
        raise UnsupportedFamilyError(
            f"this {family} model sets use_bidirectional_attention; layer paths need a causal model"
        )
    return ANATOMIES[family]


def num_embeddings(model: PreTrainedModel) -> int:
    """The number of tokens that a model knows; ids of a tokenizer may reach beyond it."""
    return cast(torch.Tensor, model.get_input_embeddings().weight).shape[0]


def head_width(config: PreTrainedConfig) -> int:
    """The width of an attention head, which some configurations leave to be derived."""
    named = getattr(config, "head_dim", None)
    return int(named or config.hidden_size // config.num_attention_heads)


def stable_length(config: PreTrainedConfig) -> int | None:
    """The positions whose rotary embedding no longer prompt changes; ``None`` stands for all.

    Behind them the kinds ``dynamic`` and ``longrope`` change the frequencies of all positions, in
    all prompts of a call.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *(item for item in rope.values() if isinstance(item, dict))]
    lengths = [
        int(kind.get("original_max_position_embeddings") or config.max_position_embeddings)
        if kind.get("rope_type") == "longrope"
        else int(config.max_position_embeddings)
        for kind in kinds
        if kind.get("rope_type") in ("dynamic", "longrope")
    ]
    return min(lengths, default=None)


def _supported() -> str:
    return "supported families: " + ", ".join(sorted(ANATOMIES))


def layer_type_of(config: PreTrainedConfig, layer: int) -> str:
    """The layer's type, ``full_attention`` or ``sliding_attention``.

    It says which mask, and in some families which rotary embedding, the layer gets.
    """
    rule = anatomy_of(config).masks
    if rule is MaskRule.PER_LAYER_TYPE:
        return str(config.layer_types[layer])
    has_window = rule is MaskRule.MODEL_WINDOW and config.sliding_window is not None
    return "sliding_attention" if has_window else "full_attention"


def windows_of(config: PreTrainedConfig) -> set[int | None]:
    """How many positions layers look back, themselves included; ``None`` stands for all."""
    types = {layer_type_of(config, layer) for layer in range(config.num_hidden_layers)}
    return {config.sliding_window if kind == "sliding_attention" else None for kind in types}
