"""A configuration in the words of version 4 of transformers, beside those of version 5.

Both versions then compute the same. Where version 4 has no words for it, it is made to stop with
an error instead of computing something else.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedConfig

from search_cluster.model.anatomy import anatomy_of, layer_type_of
from search_cluster.model.portable.versions import (
    LOOK_FOR_TORCH_DTYPE,
    READINGS,
    SPELLED_AS_VERSION_4,
    TESTED,
    LocalRotary,
    Reading,
    Windows,
)

SLIDING, FULL = "sliding_attention", "full_attention"
UNREADABLE_DTYPE = "needs_transformers_4_57_or_newer"
"""What a version that looks for ``torch_dtype`` stops at, where it would compute something else."""
NO_ROTARY: dict[str, Any] = {"rope_theta": None, "rope_scaling": {}}
"""What version 4 stops at, where it would compute something else. Version 5 looks past it."""
_NAMED_OUTSIDE = ("rope_theta", "partial_rotary_factor")
ORIGINAL_LENGTH = "original_max_position_embeddings"
_NAMED_TWICE = frozenset({"factor", ORIGINAL_LENGTH})
"""What a family that counts the fields of its scaling has elsewhere."""
_UNSCALED = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortableSettings:
    """What goes into ``config.json``, and which versions then read it right."""

    settings: dict[str, Any]
    versions: tuple[str, ...]
    """Some of the tested ones, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Needs:
    """What a version has to read right to compute the same."""

    sliding: tuple[bool, ...]
    """By layer: whether it looks at a sliding window."""
    rotary: dict[str, Any]
    """The rotary settings in version 5's words, of layers that look at everything if the family
    tells them apart."""
    local_rotary: dict[str, Any]
    """Those of layers with a sliding window."""
    scaling: dict[str, Any] | None
    """The scaling of `rotary` in version 4's words."""
    by_layer_type: bool
    """Whether the family tells the two rotary settings apart."""


def portable_settings(config: PreTrainedConfig, dtype: torch.dtype) -> PortableSettings:
    """The settings that older versions look for, out of the configuration of a saved model.

    Args:
        config: of a model of a supported family.
        dtype: of the saved weights.

    Returns:
        Settings that are merged into those which version 5 saves. A version counts as right if it
        is asked for the model's own ``dtype`` by that name.
    """
    needs = _needs_of(config)
    right = tuple(version for version in TESTED[:-1] if _reads_right(version, config, needs))
    name = str(dtype).removeprefix("torch.")
    stops = not any(version in right for version in LOOK_FOR_TORCH_DTYPE)
    settings = {
        **_rotary_settings(config, needs, right),
        **_layer_settings(config, needs),
        "dtype": name,
        "torch_dtype": UNREADABLE_DTYPE if stops else name,
    }
    if dtype is not torch.float32:
        right = tuple(version for version in right if version not in LOOK_FOR_TORCH_DTYPE)
    return PortableSettings(settings=settings, versions=(*right, TESTED[-1]))


def _needs_of(config: PreTrainedConfig) -> _Needs:
    sliding = tuple(
        layer_type_of(config, layer) == SLIDING for layer in range(config.num_hidden_layers)
    )
    by_layer_type = anatomy_of(config).rotary_per_layer_type
    rotary = local_rotary = getattr(config, "rope_parameters", None) or {"rope_type": _UNSCALED}
    if by_layer_type:
        rotary, local_rotary = rotary[FULL], rotary[SLIDING]
    return _Needs(
        sliding=sliding,
        rotary=rotary,
        local_rotary=local_rotary,
        scaling=_scaling(config, rotary),
        by_layer_type=by_layer_type,
    )


def _scaling(config: PreTrainedConfig, rotary: dict[str, Any]) -> dict[str, Any] | None:
    """What version 4 calls ``rope_scaling``."""
    kind = rotary["rope_type"]
    if kind == _UNSCALED:
        return None
    reading = READINGS["4.57.6"].get(config.model_type)
    counted = reading.rope_fields if reading else None
    scaling = {
        name: value
        for name, value in rotary.items()
        if value is not None and name not in (*_NAMED_OUTSIDE, "type")
    }
    if kind == "longrope":
        # Version 4 takes the ratio of the two lengths for the factor, whatever the factor is.
        original = scaling[ORIGINAL_LENGTH]
        ratio = config.max_position_embeddings / original
        factor = scaling.get("factor", ratio)
        if factor != ratio and "attention_factor" not in scaling:
            scaling["attention_factor"] = (
                math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
            )
    if "factor" in scaling:
        scaling["factor"] = float(scaling["factor"])
    if counted is not None:
        scaling["type"] = scaling.pop("rope_type")
        for name in _NAMED_TWICE - counted:
            scaling.pop(name, None)
    return scaling


def _reads_right(version: str, config: PreTrainedConfig, needs: _Needs) -> bool:
    reading = READINGS[version].get(config.model_type)
    return (
        reading is not None
        and _windows_fit(reading.windows, needs.sliding)
        and _rotary_fits(reading, needs)
        and _local_rotary_fits(reading.local_rotary, needs)
    )


def _windows_fit(windows: Windows, sliding: tuple[bool, ...]) -> bool:
    return {
        Windows.NONE: not any(sliding),
        Windows.ALL_OR_NONE: not any(sliding) or all(sliding),
        Windows.ANY: True,
    }[windows]


def _rotary_fits(reading: Reading, needs: _Needs) -> bool:
    if needs.rotary["rope_type"] not in reading.rope_types:
        return False
    if needs.scaling is None or reading.rope_fields is None:
        return True
    return set(needs.scaling) == reading.rope_fields and float(needs.scaling.get("factor", 2)) > 1


def _local_rotary_fits(allowed: LocalRotary, needs: _Needs) -> bool:
    local = needs.local_rotary
    if not any(needs.sliding) or not needs.by_layer_type:
        return True
    unscaled = local["rope_type"] == _UNSCALED
    fits: dict[LocalRotary, bool] = {
        LocalRotary.SAME: local == needs.rotary,
        LocalRotary.UNSCALED: unscaled and local["rope_theta"] == needs.rotary["rope_theta"],
        LocalRotary.OWN_BASE: unscaled,
        LocalRotary.ANY: True,
    }
    return fits[allowed]


def _rotary_settings(
    config: PreTrainedConfig, needs: _Needs, right: tuple[str, ...]
) -> dict[str, Any]:
    if not any(version in right for version in SPELLED_AS_VERSION_4):
        return dict(NO_ROTARY)
    settings = {"rope_theta": needs.rotary["rope_theta"], "rope_scaling": needs.scaling}
    if "partial_rotary_factor" in needs.rotary:
        settings["partial_rotary_factor"] = needs.rotary["partial_rotary_factor"]
    if needs.rotary["rope_type"] == "longrope":
        settings[ORIGINAL_LENGTH] = needs.rotary[ORIGINAL_LENGTH]
    if config.model_type == "gemma3_text":
        settings["rope_local_base_freq"] = config.rope_parameters[SLIDING]["rope_theta"]
    return settings


def _layer_settings(config: PreTrainedConfig, needs: _Needs) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if getattr(config, "head_dim", 0) is None:
        settings["head_dim"] = config.hidden_size // config.num_attention_heads
    if hasattr(config, "num_local_experts"):
        settings["num_experts"] = config.num_local_experts
    if hasattr(config, "use_sliding_window") and not any(needs.sliding):
        settings |= {"use_sliding_window": False, "sliding_window": None}
    return settings
