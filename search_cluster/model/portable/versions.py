"""Which versions of transformers read a plain checkpoint right, family by family, as measured.

Version 5 keeps rotary settings in ``rope_parameters``, in some families per type of layer. Version
4 looks for ``rope_theta``, ``rope_scaling`` and the like, and takes defaults without a word where
it finds none. Not everything that version 5 can say has words in version 4. The table holds what
an older version reads right if it is told in its words (`search_cluster.model.portable.settings`);
``tests/unit/model/portable/test_other_versions.py`` measures it, with the versions themselves.
"""

from dataclasses import dataclass
from enum import StrEnum


class Windows(StrEnum):
    """Which layers a version can let look at a sliding window."""

    NONE = "none"
    """No layer."""
    ALL_OR_NONE = "all_or_none"
    """All layers, or none."""
    ANY = "any"
    """Any, by ``layer_types``."""


class LocalRotary(StrEnum):
    """The rotary embedding that layers with a sliding window can have."""

    SAME = "same"
    """That of all layers."""
    UNSCALED = "unscaled"
    """That of the others without their scaling."""
    OWN_BASE = "own_base"
    """One with a base of its own and without scaling."""
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one version reads right of one family."""

    rope_types: frozenset[str]
    """The scalings of rotary embeddings that give the logits of version 5."""
    windows: Windows = Windows.NONE
    local_rotary: LocalRotary = LocalRotary.SAME
    rope_fields: frozenset[str] | None = None
    """The only fields that a scaling may have; ``None`` if it is not counted."""


TESTED = ("4.51.3", "4.57.6", "5.0.0", "5.23.0")
"""The versions that were measured. The last one is what the project is tested with, and reads
whatever it has written."""
SPELLED_AS_VERSION_4 = ("4.51.3", "4.57.6")
"""Those that look for the settings of version 4."""
LOOK_FOR_TORCH_DTYPE = ("4.51.3",)
"""Those that do not know ``dtype``, neither in a configuration nor as an argument."""

_DYNAMIC = frozenset({"default", "linear", "dynamic"})
_ALL = _DYNAMIC | {"yarn", "llama3", "longrope"}
_BEFORE_4_57 = _DYNAMIC | {"llama3"}
_OLMO2_FIELDS = frozenset({"type", "factor"})
_PHI3_FIELDS = frozenset({"type", "short_factor", "long_factor"})
_PHI3 = frozenset({"default", "longrope"})

READINGS: dict[str, dict[str, Reading]] = {
    "4.51.3": {
        "llama": Reading(rope_types=_BEFORE_4_57),
        "gemma": Reading(rope_types=_BEFORE_4_57),
        "olmo2": Reading(rope_types=_DYNAMIC, rope_fields=_OLMO2_FIELDS),
        "olmoe": Reading(rope_types=_BEFORE_4_57),
        "mistral": Reading(rope_types=_BEFORE_4_57, windows=Windows.ALL_OR_NONE),
        "mixtral": Reading(rope_types=_BEFORE_4_57, windows=Windows.ALL_OR_NONE),
        "phi3": Reading(rope_types=_PHI3, windows=Windows.ALL_OR_NONE, rope_fields=_PHI3_FIELDS),
        "qwen2": Reading(rope_types=_BEFORE_4_57),
        "qwen3": Reading(rope_types=_BEFORE_4_57),
        "qwen2_moe": Reading(rope_types=_BEFORE_4_57),
        "qwen3_moe": Reading(rope_types=_BEFORE_4_57),
    },
    "4.57.6": {
        "llama": Reading(rope_types=_ALL),
        "gemma": Reading(rope_types=_ALL),
        "olmo2": Reading(rope_types=_DYNAMIC, rope_fields=_OLMO2_FIELDS),
        "olmoe": Reading(rope_types=_ALL),
        "mistral": Reading(rope_types=_ALL, windows=Windows.ALL_OR_NONE),
        "mixtral": Reading(rope_types=_ALL, windows=Windows.ALL_OR_NONE),
        "phi3": Reading(rope_types=_PHI3, windows=Windows.ALL_OR_NONE, rope_fields=_PHI3_FIELDS),
        "qwen3_moe": Reading(rope_types=_ALL, windows=Windows.ALL_OR_NONE),
        "qwen2_moe": Reading(rope_types=_ALL),
        "qwen2": Reading(rope_types=_ALL, windows=Windows.ANY),
        "qwen3": Reading(rope_types=_ALL, windows=Windows.ANY),
        "smollm3": Reading(rope_types=_ALL, windows=Windows.ANY),
        "gemma2": Reading(rope_types=_ALL, windows=Windows.ANY),
        "gemma3_text": Reading(
            rope_types=_ALL, windows=Windows.ANY, local_rotary=LocalRotary.OWN_BASE
        ),
        "olmo3": Reading(rope_types=_ALL, windows=Windows.ANY, local_rotary=LocalRotary.UNSCALED),
    },
    "5.0.0": {
        **{
            family: Reading(rope_types=_ALL, windows=Windows.ANY)
            for family in (
                *("llama", "gemma", "gemma2", "mistral", "mixtral", "phi3", "smollm3"),
                *("olmo2", "olmoe", "qwen2", "qwen3", "qwen2_moe", "qwen3_moe"),
            )
        },
        "gemma3_text": Reading(
            rope_types=_BEFORE_4_57, windows=Windows.ANY, local_rotary=LocalRotary.ANY
        ),
        "olmo3": Reading(rope_types=frozenset({"default"}), windows=Windows.ANY),
    },
}
"""By version and family (``config.model_type``). A family that is not there is not read at all, or
not right."""
