"""A router that sends every prompt down one path, and reads it out through a shortcut.

There is nothing to choose: what is trained is the readout (`search_cluster.model.shortcut`). Its
paths are those of a model of its own, so its verdicts have a fingerprint of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from router_train.routers.base import RoutedPath, Settings
from router_train.routers.settings import numbers_of, text_of, unfit
from search_cluster.errors import InvalidPathError, InvalidValueError
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.shortcut.attached import with_shortcut
from search_cluster.model.shortcut.shortcut import Shortcut
from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath


@dataclass(frozen=True, slots=True, eq=False)
class ShortcutRouter:
    """A path, and what reads it."""

    path: LayerPath
    shortcut: Shortcut

    def route(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> RoutedPath:
        """The one path, at no cost and without any doubt."""
        return RoutedPath(path=self.path, confidence=1.0, num_fallbacks=0, num_layer_tokens=0)

    def model_of(self, loaded: LoadedModel) -> LoadedModel:
        """The model with the shortcut, through which the plain path is read, too.

        Raises:
            ModelError: the shortcut does not fit the model.
        """
        return with_shortcut(loaded, self.shortcut)

    def settings(self) -> Settings:
        """The path as text, the model's depth, the sources and the number of heads."""
        return {
            "path": str(self.path),
            "num_layers": self.path.num_layers,
            "sources": text_of(self.shortcut.sources),
            "num_heads": self.shortcut.num_heads,
        }

    def tensors(self) -> dict[str, Tensor]:
        """Those of the shortcut."""
        return self.shortcut.tensors()


def restore_shortcut(settings: Settings, tensors: Mapping[str, Tensor]) -> ShortcutRouter:
    """The router of these settings and tensors.

    Raises:
        ConfigError: they do not fit together.
    """
    try:
        path = parse_path(str(settings["path"]), int(settings["num_layers"]))
        sources = numbers_of(settings["sources"])
        shortcut = Shortcut(sources, int(settings["num_heads"]), tensors)
    except (KeyError, ValueError, InvalidPathError, InvalidValueError) as error:
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        raise unfit(shapes, settings) from error
    return ShortcutRouter(path, shortcut)
