"""What transformers 4.57 reads out of a ``config.json``, written down from its sources.

A second opinion on `search_cluster.model.portable.settings`, with nothing of it: it looks at the
file alone, as that version does. `LayerReading` says what a layer's attention computes from it.
"""

import math
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedConfig

from search_cluster.model.anatomy import layer_type_of

BASES = {"mixtral": 1e6, "smollm3": 2e6, "gemma3_text": 1e6}
"""Where no base of the rotary embedding is given; 10,000 in all other families."""
CHECKED = (
    *("llama", "olmoe", "qwen2", "qwen3", "qwen2_moe", "qwen3_moe"),
    *("smollm3", "gemma3_text", "olmo3"),
)
"""Families whose configurations check ``rope_scaling`` when they are read."""
REQUIRED: dict[str, tuple[str, ...]] = {
    "default": ("rope_type",),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor",),
    "llama3": (
        "factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor",
    ),
    "longrope": ("short_factor", "long_factor"),
}  # fmt: skip
Rotary = tuple[Any, ...]


class RefusedError(Exception):
    """Version 4.57 stops with an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReading:
    window: int | None
    rotary: Rotary


def read(settings: dict[str, Any]) -> tuple[tuple[LayerReading, ...], bool]:
    """What each layer computes, and whether logits come from the tokens' embeddings.

    Raises:
        RefusedError: it would not load.
    """
    family, depth = settings["model_type"], settings["num_hidden_layers"]
    if family == "qwen3_moe" and settings.get("num_experts", 128) != settings["num_local_experts"]:
        raise RefusedError("experts of other shapes in the weights")
    rotary, local = _rotaries(settings)
    windows = _windows(settings)
    if len(windows) != depth:
        raise RefusedError("layer_types of another length")
    layers = tuple(
        LayerReading(window=window, rotary=rotary if window is None else local)
        for window in windows
    )
    return layers, bool(settings.get("tie_word_embeddings", family in ("gemma", "gemma2")))


def truth(config: PreTrainedConfig) -> tuple[tuple[LayerReading, ...], bool]:
    """The same of a configuration of version 5."""
    layers = []
    for layer in range(config.num_hidden_layers):
        kind = layer_type_of(config, layer)
        rope = config.rope_parameters
        rope = rope.get(kind, rope)
        original = rope.get("original_max_position_embeddings")
        factor = rope.get("factor") or config.max_position_embeddings / (original or 1)
        rotary = _rotary(
            rope["rope_type"],
            rope,
            base=rope["rope_theta"],
            partial=rope.get("partial_rotary_factor", 1.0),
            length=config.max_position_embeddings,
            original=original or config.max_position_embeddings,
            factor=factor,
        )
        window = config.sliding_window if kind == "sliding_attention" else None
        layers.append(LayerReading(window=window, rotary=rotary))
    return tuple(layers), bool(config.tie_word_embeddings)


def _windows(settings: dict[str, Any]) -> tuple[int | None, ...]:
    family, depth = settings["model_type"], settings["num_hidden_layers"]
    window = settings.get("sliding_window")
    if family in ("llama", "gemma", "olmo2", "olmoe"):
        window = None
    if family.startswith("qwen") and not settings.get("use_sliding_window"):
        window = None
    if family in ("qwen2", "qwen3", "smollm3", "gemma2", "gemma3_text", "olmo3"):
        # Where no layer_types are given they follow from patterns, which a path does not keep.
        return tuple(
            window if kind == "sliding_attention" else None for kind in settings["layer_types"]
        )
    return (window,) * depth


def _rotaries(settings: dict[str, Any]) -> tuple[Rotary, Rotary]:
    """That of layers which look at everything, and of those with a window."""
    family, scaling = settings["model_type"], settings.get("rope_scaling")
    base = settings.get("rope_theta", BASES.get(family, 10000.0))
    if base is None:
        raise RefusedError("no base to a power")
    length = settings["max_position_embeddings"]
    original = settings.get("original_max_position_embeddings")
    if family == "phi3":
        original = settings.get("original_max_position_embeddings", 4096)
    kind = "default" if scaling is None else _checked(family, scaling)
    scaling = scaling or {}
    rotary = _rotary(
        kind,
        scaling,
        base=base,
        partial=settings.get("partial_rotary_factor", 1.0),
        length=length,
        original=original
        if kind == "longrope" and original
        else scaling.get("original_max_position_embeddings") or length,
        factor=length / original if kind == "longrope" and original else scaling.get("factor"),
    )
    if family == "gemma3_text":
        return rotary, ("default", settings.get("rope_local_base_freq", 10000.0), 1.0)
    if family == "olmo3":
        return rotary, ("default", base, 1.0)
    return rotary, rotary


def _checked(family: str, scaling: dict[str, Any]) -> str:
    kind = scaling.get("rope_type", scaling.get("type"))
    if family == "olmo2":
        factor = scaling.get("factor")
        if len(scaling) != 2 or scaling.get("type") not in ("linear", "dynamic"):
            raise RefusedError("two fields, linear or dynamic")
        if not isinstance(factor, float) or factor <= 1.0:
            raise RefusedError("a float above 1")
    elif family == "phi3":
        if len(scaling) != 3 or scaling.get("type") != "longrope":
            raise RefusedError("three fields, longrope")
    elif family in CHECKED:
        kind = kind or "default"
    if kind not in REQUIRED or any(
        name not in scaling and not (name == "rope_type" and "type" in scaling)
        for name in REQUIRED[kind]
    ):
        raise RefusedError(f"no rope_scaling of type {kind}, or a field of it is missing")
    return str(kind)


def _rotary(
    kind: str,
    scaling: dict[str, Any],
    *,
    base: float,
    partial: float,
    length: int,
    original: int,
    factor: float | None,
) -> Rotary:
    shared: Rotary = (kind, float(base), float(partial))
    if kind == "default":
        return shared
    assert factor is not None
    if kind == "linear":
        return (*shared, float(factor))
    if kind == "dynamic":
        return (*shared, float(factor), length)
    if kind == "llama3":
        return (*shared, *(float(scaling[name]) for name in REQUIRED["llama3"]))
    attention = scaling.get("attention_factor")
    if kind == "longrope":
        if attention is None:
            grown = factor > 1
            attention = math.sqrt(1 + math.log(factor) / math.log(original)) if grown else 1.0
        factors = tuple(scaling["short_factor"]), tuple(scaling["long_factor"])
        return (*shared, *factors, original, round(attention, 12))
    if attention is None:
        both = scaling.get("mscale"), scaling.get("mscale_all_dim")
        attention = (
            _mscale(factor, both[0]) / _mscale(factor, both[1])
            if all(both)
            else _mscale(factor, 1.0)
        )
    return (
        *shared, float(factor), round(attention, 12), original,
        scaling.get("beta_fast") or 32, scaling.get("beta_slow") or 1,
        scaling.get("truncate", True),
    )  # fmt: skip


def _mscale(factor: float, scale: float | None) -> float:
    return 1.0 if factor <= 1 else 0.1 * (scale or 0.0) * math.log(factor) + 1.0
