"""All presets by name."""

from search_cluster.config import PRESET_ALIASES
from search_cluster.errors import ConfigError, known_names
from search_cluster.tree.presets.ablations import REPEAT_ONLY, SKIP_ONLY
from search_cluster.tree.presets.baselines import CHAIN, RANDOM
from search_cluster.tree.presets.cola import COLA, COLA_REORDER
from search_cluster.tree.presets.credible import CREDIBLE
from search_cluster.tree.presets.drllm import DRLLM
from search_cluster.tree.presets.polar import POLAR
from search_cluster.tree.settings import SearchPreset

PRESETS = {
    preset.name: preset
    for preset in (
        CREDIBLE,
        DRLLM,
        COLA,
        COLA_REORDER,
        POLAR,
        SKIP_ONLY,
        REPEAT_ONLY,
        CHAIN,
        RANDOM,
    )
}


def get_preset(name: str) -> SearchPreset:
    """The preset of that name, or of that former name.

    Raises:
        ConfigError: there is none.
    """
    preset = PRESETS.get(PRESET_ALIASES.get(name, name))
    if preset is None:
        raise ConfigError(
            f"preset {name!r} is unknown; presets are: {known_names(name, sorted(PRESETS))}"
        )
    return preset
