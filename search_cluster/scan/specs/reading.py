"""Lists of paths, in whichever notation they are written: each line is looked at alone."""

import json
import logging
import re
from pathlib import Path

from search_cluster.errors import InvalidPathError
from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.specs.gguf_path import RANGE, TOOL, read_gguf_path
from search_cluster.scan.specs.layers import LAYERS_PREFIX, read_layers
from search_cluster.scan.specs.mergekit import read_mergekit
from search_cluster.scan.specs.prune_layers import PRUNE_FLAG, read_prune_command
from search_cluster.scan.specs.queue_file import ReadText, read_queue
from search_cluster.scan.specs.rys import BARE_PAIR, BLOCKS_PREFIX, PAIR, read_rys

_COMMENT = re.compile(r"(^|\s)#.*$")
_JSON_STARTS = ("[", "{")
_IS_YAML = re.compile(r"^(slices|merge_method)\s*:", re.MULTILINE)
_IS_COMMAND = re.compile(rf"(^|[\s/]){re.escape(TOOL)}\s|\s-p\s|\s--path\s")
_OF_ONE_LINE = (
    "0-17,20-29; layers:0,1,2; blocks:31,34;43,45; (31, 34); 0..14,12..14,15..39; "
    "llama-quantize --prune-layers 18,19"
)
NOTATIONS = f"{_OF_ONE_LINE}; a queue of RYS in JSON; a passthrough YAML of mergekit"
"""What is read, for texts of errors and of options."""
_logger = logging.getLogger(__name__)


def read_paths(file: Path, num_layers: int) -> list[LayerPath]:
    """The different paths of a file, in the order in which they come first.

    The file is a merge of mergekit, a JSON list (a queue of RYS), or has a path a line, in any
    notation. Lines that begin with ``#`` are comments. A warning says how a pair of numbers was
    read that may be a path of two layers, too.

    Args:
        file: where they are written.
        num_layers: the model's depth.

    Raises:
        InvalidPathError: the file can't be read, or something in it is no path of such a model; the
            message has the place.
    """
    pairs: list[str] = []

    def read(text: str, num_layers: int) -> LayerPath:
        path = read_path(text, num_layers)
        if BARE_PAIR.fullmatch(text) and _reads(parse_path, text, num_layers):
            pairs.append(text.strip())
        return path

    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidPathError(
            f"can't read {file}: {error.strerror or error}; name a file with a path a line"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidPathError(f"{file} is not UTF-8 text ({error.reason}); name a text") from error
    try:
        paths = _paths_of(text, num_layers, read)
    except InvalidPathError as error:
        raise InvalidPathError(f"{file}, {error}") from error
    if not paths:
        raise InvalidPathError(f"{file} names no path; a line of it is one of: {NOTATIONS}")
    if pairs:
        _logger.warning(
            "%s: %s is read as a block of RYS%s; a path of these two layers is written layers:%s",
            *(file, pairs[0], f", as are {len(pairs) - 1} more" if pairs[1:] else "", pairs[0]),
        )
    return list(dict.fromkeys(paths))


def read_named(text: str, num_layers: int) -> LayerPath:
    """The path that a user names by a flag: our own notation comes first.

    A pair of numbers is a path of two layers; a block of RYS is ``blocks:3,5`` or ``(3, 5)``. A
    warning says so where the pair may be a block, too.

    Raises:
        InvalidPathError: it is no path of such a model.
    """
    if not BARE_PAIR.fullmatch(text):
        return read_path(text, num_layers)
    marked = f"{BLOCKS_PREFIX}{text.strip()}"
    try:
        path = parse_path(text, num_layers)
    except InvalidPathError as error:
        raise InvalidPathError(f"{error}; a block of RYS is written {marked}") from error
    if _reads(read_rys, text, num_layers):
        _logger.warning(
            "path %s is read as these two layers alone; a block of RYS is written %s", path, marked
        )
    return path


def read_path(text: str, num_layers: int) -> LayerPath:
    """The path of a line of a file, in any notation.

    A pair of numbers is a block of RYS, never a path of two layers, which is ``layers:3,5``.

    Raises:
        InvalidPathError: it is no path of such a model.
    """
    text = text.strip()
    if PRUNE_FLAG in text:
        return read_prune_command(text, num_layers)
    if _IS_COMMAND.search(text) or RANGE in text:
        return read_gguf_path(text, num_layers)
    if text.startswith(BLOCKS_PREFIX) or ";" in text or PAIR.fullmatch(text):
        return read_rys(text, num_layers)
    if text.startswith(LAYERS_PREFIX) or text[:1].isdigit():
        return read_layers(text, num_layers)
    raise InvalidPathError(f"{text[:80]!r} is no path; paths are written as {_OF_ONE_LINE}")


def _reads(read: ReadText, text: str, num_layers: int) -> bool:
    try:
        read(text, num_layers)
    except InvalidPathError:
        return False
    return True


def _paths_of(text: str, num_layers: int, read: ReadText) -> list[LayerPath]:
    if _IS_YAML.search(text):
        return [read_mergekit(text, num_layers)]
    if _is_json(text) and not _is_json(text.split("\n", 1)[0]):
        return read_queue(text, num_layers, read)
    paths: list[LayerPath] = []
    for number, line in enumerate(text.splitlines(), start=1):
        written = _COMMENT.sub("", line).strip()
        if not written:
            continue
        try:
            paths += (
                read_queue(written, num_layers, read)
                if written.startswith(_JSON_STARTS)
                else [read(written, num_layers)]
            )
        except InvalidPathError as error:
            raise InvalidPathError(f"line {number}: {error}") from error
    return paths


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list | dict)
    except ValueError:
        return False
