"""The shortcut of a materialised path: hooks that carry its sources from layers to the norm."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from search_cluster.model.shortcut.shortcut import Shortcut


class PathReader:
    """What the rows of the pass that runs now carry; one thread uses it.

    Args:
        shortcuts: the model's shortcut on each of its devices.
    """

    def __init__(self, shortcuts: Mapping[torch.device, Shortcut]) -> None:
        self._shortcuts = shortcuts
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
        hidden = arguments[0]
        self._carried = self._shortcuts[hidden.device].nothing_carried(hidden)

    def _take(self, layer: int, _: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> None:
        assert self._carried is not None, "the first layer began"
        carried = self._carried.to(output.device)
        shortcut = self._shortcuts[output.device]
        self._carried = shortcut.carry(layer, arguments[0], output, carried)

    def _read(self, _: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        assert self._carried is not None, "the first layer began"
        carried, self._carried = self._carried, None
        hidden = arguments[0]
        read = self._shortcuts[hidden.device](hidden, carried.to(hidden.device))
        return (read, *arguments[1:])
