"""An explicit path for tools that write GGUF files, as ``layer_path.py`` of llm-circuit-finder."""

import shlex
from itertools import pairwise

from search_cluster.errors import InvalidPathError
from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath

TOOL = "layer_path.py"
RANGE = ".."
_FLAGS = ("-p", "--path")


def write_gguf_path(path: LayerPath) -> str:
    """``0..14,12..14,15..39``: layers, and ranges with both ends in them."""
    return ",".join(
        str(first) if first == last else f"{first}{RANGE}{last}" for first, last in path.runs()
    )


def gguf_path_command(path: LayerPath, *, source: str, out: str) -> str:
    """The command that writes a GGUF file with the path's layers."""
    files = f"{shlex.quote(source)} {shlex.quote(out)}"
    return f'python {TOOL} {files} -p "{write_gguf_path(path)}"'


def read_gguf_path(text: str, num_layers: int) -> LayerPath:
    """The path of ``0..14,12,13,14,15..39``, or of the command that is given it.

    Raises:
        InvalidPathError: it is not such a path of such a model.
    """
    words = text.split()
    if any(word in (TOOL, *_FLAGS) or word.endswith(f"/{TOOL}") for word in words):
        text = _argument(text)
    plain = "".join(text.split())
    if "-" in plain:
        raise InvalidPathError(
            f"path {text!r} has a -; its parts are layers (7) and ranges with both ends (0..5)"
        )
    try:
        return parse_path(plain.replace(RANGE, "-"), num_layers)
    except InvalidPathError as error:
        raise InvalidPathError(str(error).replace("-", RANGE)) from error


def _argument(command: str) -> str:
    """What a command line gives to ``-p``."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InvalidPathError(f"{command!r} is no command line ({error})") from error
    for flag, value in pairwise(words):
        if flag in _FLAGS:
            return value
    raise InvalidPathError(f'{command!r} names no path; {TOOL} takes it as -p "0..5,7"')
