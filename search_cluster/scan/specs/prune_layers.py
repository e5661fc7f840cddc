"""A path that leaves layers out, as ``llama-quantize --prune-layers`` of llama.cpp takes it."""

import re
import shlex

from search_cluster.errors import ConfigError, InvalidPathError
from search_cluster.paths.layer_path import LayerPath

PRUNE_FLAG = "--prune-layers"
_FLAG = re.compile(rf"{PRUNE_FLAG}[\s=]+(\S+)")


def pruned_layers(path: LayerPath) -> tuple[int, ...]:
    """The layers that a path leaves out.

    Raises:
        ConfigError: it does not run the others once and in order, or there are none.
    """
    repeated = next((layer for layer, uses in enumerate(path.counts()) if uses > 1), None)
    if repeated is not None:
        raise ConfigError(
            f"path {path} runs layer {repeated} more than once, and {PRUNE_FLAG} can only leave "
            "layers out; take --format gguf-path, or convert --format hf"
        )
    if not path.keeps_order:
        raise ConfigError(
            f"path {path} re-orders layers, and {PRUNE_FLAG} can only leave layers out; take "
            "--format gguf-path, or convert --format hf"
        )
    if path.is_identity:
        raise ConfigError(f"path {path} is the plain model's: there is no layer to leave out")
    runs = set(path.layers)
    return tuple(layer for layer in range(path.num_layers) if layer not in runs)


def prune_command(path: LayerPath, *, source: str, out: str) -> str:
    """The command that writes a GGUF file without the layers that the path leaves out.

    Raises:
        ConfigError: the path does more than to leave layers out.
    """
    layers = ",".join(map(str, pruned_layers(path)))
    return f"llama-quantize {PRUNE_FLAG} {layers} {shlex.quote(source)} {shlex.quote(out)} copy"


def read_prune_command(text: str, num_layers: int) -> LayerPath:
    """The path of ``--prune-layers 18,19``, wherever it stands in a command.

    Raises:
        InvalidPathError: it names no layers of such a model, or all of them.
    """
    found = _FLAG.search(text)
    parts = found[1].strip("'\"").split(",") if found else []
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise InvalidPathError(
            f"{text.strip()!r} names no layers; {PRUNE_FLAG} takes numbers with commas, as 18,19"
        )
    pruned = set(map(int, parts))
    if max(pruned) >= num_layers:
        raise InvalidPathError(
            f"{PRUNE_FLAG} names layer {max(pruned)}; the model has layers 0..{num_layers - 1}"
        )
    return LayerPath(tuple(layer for layer in range(num_layers) if layer not in pruned), num_layers)
