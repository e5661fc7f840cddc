"""Choosing a prompt's layer path while the prompt runs: the seam between a model and its router.

This module knows nothing about tensors' contents, caches and batches.

Shapes: T tokens of the prompt, D width.
"""

from collections.abc import Callable, Generator
from typing import Protocol

from torch import Tensor

from search_cluster.paths.layer_path import LayerPath


class ChosenPath(Protocol):
    """A decision about one prompt, which may carry more than the path."""

    @property
    def path(self) -> LayerPath:
        """The layers that run, for the prompt and for every token generated after it."""
        ...


OnlineRouting = Generator[tuple[int, ...], Tensor, ChosenPath]
"""The routing of one prompt: it yields the layers that run next, is sent the states ``[T, D]``
which they leave (without padding), and returns its choice.

A first ``yield ()`` asks for the embedded prompt. A choice that begins with the layers that ran
costs nothing: the prompt goes on from where it is. Any other choice is right too, but starts the
prompt again from its embeddings."""


def keep_choice(choice: ChosenPath) -> OnlineRouting:
    """The routing of a prompt that was decided before: it chooses at once."""
    yield from ()
    return choice


BeginOnlineRouting = Callable[[tuple[int, ...]], OnlineRouting]
"""Begins to route a prompt, given its token ids without padding."""
