"""How a model with bridges is named: the model's own name, and the folder of the bridges.

A bridge is a map that stands for layers which a path leaves out (`search_cluster.model.bridge`).

``demo+bridges=runs/bridges`` goes wherever a model's name goes, so that whatever records which
model it was (a corpus, a scan, a router) records the bridges, too.
"""

from enum import StrEnum
from pathlib import Path

from search_cluster.errors import ConfigError

MARK = "+bridges="


class BridgeKind(StrEnum):
    """What a bridge may do to a state."""

    LINEAR = "linear"
    """Any affine map."""
    SCALAR = "scalar"
    """Multiply it by one number."""
    BIAS = "bias"
    """Add one vector."""
    DISTILLED = "distilled"
    """Any affine map, trained through the layers behind it."""


def spec_with_bridges(model: str, bridges: Path | None) -> str:
    """The name of a model with the bridges of a folder; ``None``: the model's name as it is.

    Raises:
        ConfigError: the name has bridges already.
    """
    if bridges is None:
        return model
    if MARK in model:
        raise ConfigError(
            f"model {model!r} has bridges already, and --bridges {bridges} would be others; name "
            "one of them"
        )
    return f"{model}{MARK}{bridges}"


def split_spec(spec: str) -> tuple[str, Path | None]:
    """The model's own name, and the folder of its bridges if it has any."""
    model, mark, folder = spec.partition(MARK)
    return model, Path(folder).expanduser() if mark else None


DEMO_SPEC = "demo"
"""What is typed for the demo model."""
DEMO_NAME = "SmolLM2-135M-Instruct (demo)"
_HUB_CACHE = "models--"
"""How folders of models in the cache of huggingface_hub begin."""


def model_name(spec: str) -> str:
    """What a model is called on pages and cards: not the name of a temporary folder's folders.

    Args:
        spec: how it was named: ``demo``, a hub id or a folder, perhaps with bridges.
    """
    own, bridges = split_spec(spec)
    name = DEMO_NAME if own == DEMO_SPEC else own
    parts = Path(own).parts
    if own.startswith(("/", "~", ".")) and parts:
        cached = [part for part in parts if part.startswith(_HUB_CACHE)]
        name = cached[-1].removeprefix(_HUB_CACHE).replace("--", "/") if cached else parts[-1]
    return name if bridges is None else f"{name} with bridges"


def spec_again(recorded: str, model: str | None, bridges: Path | None = None) -> str:
    """The recorded name of a model, with what a user says of it now in its place.

    Args:
        recorded: what a corpus, a scan or a router says.
        model: where the model is now; ``None``: where it was.
        bridges: where its bridges are now; ``None``: where they were, if it had any.

    Raises:
        ConfigError: the model is named with bridges, and others besides.
    """
    own, folder = split_spec(recorded)
    if model is not None and MARK in model:
        return spec_with_bridges(model, bridges)
    return spec_with_bridges(model or own, bridges or folder)
