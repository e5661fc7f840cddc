"""Layer paths as bytes (cache fields) and as text (command lines, JSON).

The byte form starts with one tag byte. Order-keeping paths in which no layer runs more than 3 times
take 2 bits a layer (9 bytes for 30 layers), which keeps a Redis hash of them in its compact
encoding (fields of up to 64 bytes).
"""

from search_cluster.errors import InvalidPathError
from search_cluster.paths.layer_path import LayerPath

TAG_DECISIONS = 1
"""The tag of 2 bits per layer, low bits first: how often the layer runs, with the order kept."""
TAG_LAYERS_U8 = 2
"""The tag of one byte per position: the layer that runs there."""
TAG_LAYERS_U16 = 3
"""The tag of two bytes, big-endian, per position."""


def encode_path(path: LayerPath) -> bytes:
    """The canonical byte form of a path; equal paths of one model have equal bytes."""
    if path.keeps_order and max(path.counts()) <= 3:
        packed = 0
        for layer, count in enumerate(path.counts()):
            packed |= count << (2 * layer)
        return bytes([TAG_DECISIONS]) + packed.to_bytes((2 * path.num_layers + 7) // 8, "little")
    if path.num_layers <= 256:
        return bytes([TAG_LAYERS_U8, *path.layers])
    return bytes([TAG_LAYERS_U16]) + b"".join(layer.to_bytes(2, "big") for layer in path.layers)


def decode_path(data: bytes, num_layers: int) -> LayerPath:
    """The path that ``encode_path`` wrote for a model of ``num_layers`` layers.

    Raises:
        InvalidPathError: the bytes are not the canonical form of a path of such a model.
    """
    if not data:
        raise InvalidPathError("an encoded path of 0 bytes; the first byte is a tag of 1..3")
    tag, body = data[0], data[1:]
    if tag == TAG_DECISIONS:
        packed = int.from_bytes(body, "little")
        counts = tuple((packed >> (2 * layer)) & 3 for layer in range(num_layers))
        path = LayerPath.from_decisions(counts)
    elif tag == TAG_LAYERS_U8:
        path = LayerPath(tuple(body), num_layers)
    elif tag == TAG_LAYERS_U16 and len(body) % 2 == 0:
        path = LayerPath(
            tuple(int.from_bytes(body[i : i + 2], "big") for i in range(0, len(body), 2)),
            num_layers,
        )
    else:
        raise InvalidPathError(
            f"an encoded path with tag {tag} and {len(body)} bytes; tags are 1..3"
        )
    if encode_path(path) != data:
        raise InvalidPathError(
            f"{data.hex()} is not the canonical form of a path of a model of {num_layers} layers"
        )
    return path


def parse_path(text: str, num_layers: int) -> LayerPath:
    """The path that ``str(path)`` wrote: ``0-5,7,8,8,9-29``.

    Raises:
        InvalidPathError: the text is not a comma-separated list of layers and ranges of layers.
    """
    layers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if (
            not first.isascii()
            or not first.isdigit()
            or (dash and not (last.isascii() and last.isdigit()))
        ):
            raise InvalidPathError(
                f"path {text!r} has the part {part!r}; parts are layers (7) or ranges (0-5)"
            )
        stop = int(last) if dash else int(first)
        if stop < int(first) or stop >= num_layers:
            raise InvalidPathError(
                f"path {text!r} has the part {part!r}; the model has layers 0..{num_layers - 1}"
            )
        layers.extend(range(int(first), stop + 1))
    return LayerPath(tuple(layers), num_layers)
