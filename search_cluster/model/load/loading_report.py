"""What transformers says while it loads a model, read: an error, or a line that reaches the user.

By itself transformers prints a table and goes on, with random numbers in the place of weights that
it did not find; inside a worker of a cluster the table reaches nobody.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from transformers.utils import logging as transformers_logging

from search_cluster.errors import ModelError

INNER_PREFIXES = ("model.", "lm_head.")
"""The beginnings of the names of all weights of a causal language model. A weight of such a name
that the model has no place for was made for another config."""
TEXT_PREFIXES = ("model.layers.", "model.embed_tokens.", "model.norm.", "lm_head.")
"""The same for the text model out of a wrapper, whose other parts stand under ``model.``, too."""
MAX_TEXT = 300
"""The most characters that are handed on of one saying of transformers."""
_TABLE = "LOAD REPORT"
"""Stands in the table that `require_whole` reads in its place."""


def require_whole(
    info: Mapping[str, Any], source: str, inner_prefixes: tuple[str, ...] = INNER_PREFIXES
) -> list[str]:
    """Pass if every weight of the model came from its files, and every one of its files' is used.

    Args:
        info: what ``from_pretrained(output_loading_info=True)`` says.
        source: the folder or file, for messages.
        inner_prefixes: the beginnings of the names of the weights that must all be used.

    Returns:
        A line for the user if parts of the files are not used that belong to no language model.

    Raises:
        ModelError: weights are missing, have another shape, or are left over.
    """
    if info["mismatched_keys"]:
        name, found, wanted = min(info["mismatched_keys"])
        raise ModelError(
            f"{source} has {_count(info['mismatched_keys'])} of another shape than its config "
            f"says, {name} first: {_shape(found)} in the file, {_shape(wanted)} by the config; "
            "config and weights are of two models: download or save the model again"
        )
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise ModelError(
            f"{source} lacks {_count(missing)}, {missing[0]} first; they would be random: "
            "download the model again"
        )
    left_over = sorted(info["unexpected_keys"])
    adapters = [name for name in left_over if ".lora_" in name or "lora_magnitude" in name]
    if adapters:
        raise ModelError(
            f"{source} holds the weights of a LoRA adapter, {adapters[0]} first, which were never "
            "merged; merge them into the model with peft's merge_and_unload() and save it again"
        )
    inner = [name for name in left_over if name.startswith(inner_prefixes)]
    if inner:
        raise ModelError(
            f"{source} holds {_count(inner)} that its config has no place for, {inner[0]} first; "
            "config and weights are of two models (num_hidden_layers is too small?): download or "
            "save the model again"
        )
    if left_over:
        return [
            f"{source} holds {_count(left_over)} that a language model does not use, "
            f"{left_over[0]} first; they are left out"
        ]
    return []


def _count(names: Any) -> str:
    return f"{len(names)} weight{'s' if len(names) > 1 else ''}"


def _shape(shape: Any) -> str:
    return " x ".join(map(str, shape)) or "a number"


@contextmanager
def transformers_warnings() -> Iterator[list[str]]:
    """Collect what transformers warns of, each once in one line, and switch progress bars off.

    They would tear the program's own progress display.
    """
    found: dict[str, None] = {}
    collector = _Collector(found)
    logger = logging.getLogger("transformers")
    handlers, logger.handlers = logger.handlers, [collector]
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    lines: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            yield lines
    finally:
        logger.handlers = handlers
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    for item in caught:
        if issubclass(item.category, UserWarning):
            found[one_line(str(item.message))] = None
    lines += [line for line in found if _TABLE not in line]


class _Collector(logging.Handler):
    def __init__(self, found: dict[str, None]) -> None:
        super().__init__(level=logging.WARNING)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        self._found[one_line(record.getMessage())] = None


def one_line(text: str) -> str:
    """A text of transformers in one line, cut if it is long."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_TEXT else f"{line[:MAX_TEXT]} ..."
