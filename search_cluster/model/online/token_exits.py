"""Where the tokens of a text stop, one by one: the seam between a lazy pass and its router.

Shapes: D width, V vocabulary.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from search_cluster.paths.layer_path import LayerPath


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TokenExit:
    """Where a token stops."""

    depth: int
    """How many layers of the path run for it before its successor is read."""
    logits_1V: Tensor | None = None
    """The float32 logits ``[1, V]`` that were read there; ``None``: nobody read, the model does."""
    confidence: float = 1.0
    """How sure the decision was, in [0, 1]; of a token that stopped nowhere the highest so far."""
    num_read_layers: float = 0.0
    """What reading it cost beside the logits that any token needs, in layers of one row."""


TokenReading = Generator[int, Tensor, TokenExit]
"""The reading of one token: it yields the depth to which the token runs next, is sent its state
``[1, D]`` there, and returns where it stops."""


class TokenExits(Protocol):
    """Decides where tokens stop. What one token reads says nothing about another."""

    @property
    def path(self) -> LayerPath:
        """The layers of a token that stops nowhere; none runs twice."""
        ...

    def begin(self) -> TokenReading:
        """Begin to read a token: the last one of a prompt, or one that was generated."""
        ...
