"""The shortcut of a materialised path: hooks that carry its sources from layers to the norm."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from search_cluster.model.shortcut.shortcut import Shortcut


class PathReader:
    """What the rows of the pass that runs now carry; one thread uses it."""

    def __init__(self, shortcut: Shortcut) -> None:
        self._shortcut = shortcut
        self._carried: Tensor | None = None

    def hook_up(self, path: Sequence[int], layers: Sequence[nn.Module], norm: nn.Module) -> None:
        """Read the layers at the positions of a path, and read out before the norm.

        The modules are the path's own; what crosses bridges before them is hooked up already.
        """
        layers[0].register_forward_pre_hook(self._begin)
        for layer, module in zip(path, layers, strict=True):
            module.register_forward_hook(partial(self._take, layer))
        norm.register_forward_pre_hook(self._read)

    def _begin(self, _: nn.Module, arguments: tuple[Any, ...]) -> None:
        self._carried = self._shortcut.nothing_carried(arguments[0])

    def _take(self, layer: int, _: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> None:
        assert self._carried is not None, "the first layer began"
        self._carried = self._shortcut.carry(layer, arguments[0], output, self._carried)

    def _read(self, _: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        assert self._carried is not None, "the first layer began"
        carried, self._carried = self._carried, None
        return (self._shortcut(arguments[0], carried), *arguments[1:])
