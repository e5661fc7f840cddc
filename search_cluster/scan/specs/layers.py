"""A path as a list of layers: our own notation, and the plain list that others read, too."""

from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath

LAYERS_PREFIX = "layers:"


def write_layers(path: LayerPath) -> str:
    """``layers:0,1,2,3,3,4``, a line."""
    return LAYERS_PREFIX + ",".join(map(str, path.layers))


def read_layers(text: str, num_layers: int) -> LayerPath:
    """The path of ``layers:0,1,2,3,3,4`` or of our own ``0-3,3,4``, with the prefix or without.

    Raises:
        InvalidPathError: it is not a list of layers of such a model.
    """
    return parse_path(text.strip().removeprefix(LAYERS_PREFIX).strip(), num_layers)
