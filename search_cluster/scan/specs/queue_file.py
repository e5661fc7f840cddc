"""RYS' queues: JSON lists of what is to be run, and other JSON that names paths."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from search_cluster.errors import InvalidPathError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.specs.layers import read_layers
from search_cluster.scan.specs.rys import BARE_PAIR, path_of_blocks, write_rys

ReadText = Callable[[str, int], LayerPath]
"""Reads a path in any notation of one line."""
_LISTS = ("layers", "layer_indices")
"""Names of lists. A number of such a name is a count, as in our own files."""
_OURS = "path"
"""What our own files call a path: a pair of numbers there is two layers, and no block."""
_TEXTS = ("spec", "key", "blocks", _OURS)


def write_queue(paths: Sequence[LayerPath]) -> str:
    """A queue of RYS with these paths, an entry a line."""
    entries = [
        json.dumps({"idx": index, "layers": list(path.layers), "spec": write_rys(path)})
        for index, path in enumerate(paths)
    ]
    return "[\n" + ",\n".join(f"  {entry}" for entry in entries) + "\n]\n"


def read_queue(text: str, num_layers: int, read_text: ReadText) -> list[LayerPath]:
    """The paths of a JSON list, or of a single JSON value.

    Raises:
        InvalidPathError: it is no JSON, or an entry names no path of such a model.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise InvalidPathError(
            f"line {line}: no JSON ({error}); write one list of paths"
        ) from error
    is_one = isinstance(found, dict) or (_is_layers(found) and len(found) > 0)
    paths = []
    for number, entry in enumerate([found] if is_one else found):
        try:
            paths.append(_path_of(entry, num_layers, read_text))
        except InvalidPathError as error:
            raise error if is_one else InvalidPathError(f"entry {number}: {error}") from error
    return paths


def _path_of(entry: Any, num_layers: int, read_text: ReadText) -> LayerPath:
    if isinstance(entry, str):
        return read_text(entry, num_layers)
    if _is_layers(entry):
        return _of_layers(entry, num_layers)
    if not isinstance(entry, dict):
        raise InvalidPathError(
            f"{json.dumps(entry)[:60]} names no path; an entry is a text, a list of layers, or an "
            f"object with {', '.join((*_LISTS, *_TEXTS))}"
        )
    named = {
        name: _of_layers(value, num_layers, is_list=name in _LISTS)
        if _is_layers(value)
        else (read_layers if _is_list_of_layers(name, str(value)) else read_text)(
            str(value), num_layers
        )
        for name, value in entry.items()
        if name in _TEXTS or (name in _LISTS and not isinstance(value, int | float))
    }
    if not named:
        raise InvalidPathError(
            f"{json.dumps(entry)[:60]} names no path; it needs one of "
            f"{', '.join((*_LISTS, *_TEXTS))}"
        )
    if len(set(named.values())) > 1:
        said = "; ".join(f"{name} says {path}" for name, path in named.items())
        raise InvalidPathError(f"two paths in one entry ({said}); leave one of them out")
    return next(iter(named.values()))


def _is_list_of_layers(name: str, text: str) -> bool:
    return name in _LISTS or (name == _OURS and BARE_PAIR.fullmatch(text) is not None)


def _of_layers(layers: Sequence[int], num_layers: int, *, is_list: bool = False) -> LayerPath:
    """The path of a list; a pair that is not called a list of layers is a block, as in RYS."""
    if len(layers) == 2 and not is_list:
        return path_of_blocks([(layers[0], layers[1])], num_layers)
    return LayerPath(tuple(layers), num_layers)


def _is_layers(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)
