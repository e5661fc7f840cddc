"""Counting the rows that a module of a model is given: work that a test can hold to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(slots=True)
class CountedRows:
    """The rows so far, padding included."""

    num_rows: int = 0

    def count(self, _: nn.Module, arguments: tuple[Any, ...]) -> None:
        """Take what a module is about to read: states ``[..., D]``."""
        states = arguments[0]
        self.num_rows += states.numel() // states.shape[-1]


@contextmanager
def counted_rows(module: nn.Module) -> Iterator[CountedRows]:
    """The rows that a module is given within."""
    counted = CountedRows()
    handle = module.register_forward_pre_hook(counted.count)
    try:
        yield counted
    finally:
        handle.remove()
