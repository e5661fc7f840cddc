"""A router that chooses among a few paths that are known to be good for many questions.

It reads the prompt's states after the first layers of the plain model, predicts for every path by
how much it answers better or worse than identity, and takes the shortest path whose prediction is
good enough.

Shapes: K paths, F features, D model width, W windows, B break points.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from router_train.data.prompt_states import pool_states, prompt_features
from router_train.routers.base import RoutedPath, Settings
from router_train.routers.online import cost_on_top
from router_train.routers.settings import unfit
from search_cluster.errors import ConfigError, NonFiniteLogitsError
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath

TENSOR_NAMES = ("mean_F", "scale_F", "weight_KF", "bias_K", "knots_B", "gains_B")


@dataclass(frozen=True, slots=True, eq=False)
class MenuModel:
    """A linear prediction per path, and what such predictions have turned out to mean.

    All arrays are float32.
    """

    mean_F: NDArray[np.float32]
    scale_F: NDArray[np.float32]
    weight_KF: NDArray[np.float32]
    bias_K: NDArray[np.float32]
    knots_B: NDArray[np.float32]
    """The predictions at the break points, ascending. The map is linear between them and constant
    outside."""
    gains_B: NDArray[np.float32]
    """The gain that they stand for: P(right, identity wrong) - P(wrong, identity right)."""

    def gains(self, features_F: NDArray[np.float32]) -> NDArray[np.float64]:
        """The calibrated gain over identity per path. Shape ``[K]``.

        It is 0 for identity itself, which comes first.
        """
        scores_K = self.weight_KF @ ((features_F - self.mean_F) / self.scale_F) + self.bias_K
        gains_K = np.interp(scores_K, self.knots_B, self.gains_B)
        gains_K[0] = 0.0
        return gains_K


def confidences(gains_K: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each path, P(it is better than identity) + P(it is equally good) / 2.

    It is a half for identity itself, and never quite 1.
    """
    return np.clip((1.0 + gains_K) / 2, 0.0, 1.0 - 1e-6)


def choose_path(
    confidences_K: NDArray[np.float64], lengths_K: NDArray[np.int64], threshold: float
) -> int:
    """The shortest path that is sure enough; identity if none is.

    Of equally short ones it is the surest.
    """
    sure = [place for place in range(1, len(lengths_K)) if confidences_K[place] >= threshold]
    return min(sure, key=lambda place: (lengths_K[place], -confidences_K[place]), default=0)


@dataclass(frozen=True, slots=True)
class MenuRouter:
    """Paths, the model that judges them, and how sure it must be."""

    paths: tuple[LayerPath, ...]
    """The paths of the menu, identity first."""
    model: MenuModel
    num_layers_read: int
    """The number of layers of the plain model that the prompt runs through before the choice."""
    num_windows: int
    threshold: float
    """The threshold that was chosen on validation data; a higher one may be asked for."""

    def route(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> RoutedPath:
        """The choice after one pass over the prompt through the first layers.

        Raises:
            NonFiniteLogitsError: a prompt state is NaN or infinite.
        """
        features_F = prompt_features(loaded, context_ids, self.num_layers_read, self.num_windows)
        routed = self.choose(features_F, threshold=threshold)
        cost = cost_on_top(routed.path, range(self.num_layers_read), len(context_ids))
        return replace(routed, num_layer_tokens=cost)

    def begin_routing(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> Generator[tuple[int, ...], Tensor, RoutedPath]:
        """Yield the layers to read, and return the choice.

        It is sent the states ``[T, D]`` that these layers leave.
        """
        hidden_TD = yield tuple(range(self.num_layers_read))
        return self.choose(pool_states(hidden_TD, self.num_windows), threshold=threshold)

    def choose(self, features_F: Tensor, *, threshold: float) -> RoutedPath:
        """The choice for a prompt whose features are known, at no cost.

        Raises:
            NonFiniteLogitsError: a prompt state is NaN or infinite.
        """
        if not bool(features_F.isfinite().all()):
            raise NonFiniteLogitsError("a prompt state is not finite; check the model's dtype")
        confidences_K = confidences(self.model.gains(features_F.numpy()))
        lengths_K = np.array([len(path) for path in self.paths])
        place = choose_path(confidences_K, lengths_K, max(threshold, self.threshold))
        path = self.paths[place]
        return RoutedPath(
            path=path,
            confidence=float(confidences_K[place]),
            num_fallbacks=path.num_layers if place == 0 else 0,
            num_layer_tokens=0,
        )

    def settings(self) -> Settings:
        """The paths, what is read, and the threshold."""
        return {
            "paths": ";".join(map(str, self.paths)),
            "num_layers": self.paths[0].num_layers,
            "num_layers_read": self.num_layers_read,
            "num_windows": self.num_windows,
            "threshold": self.threshold,
        }

    def tensors(self) -> dict[str, Tensor]:
        """The arrays of the model."""
        return {
            name: torch.from_numpy(np.ascontiguousarray(getattr(self.model, name)))
            for name in TENSOR_NAMES
        }


def restore_menu_router(settings: Settings, tensors: Mapping[str, Tensor]) -> MenuRouter:
    """The router of these settings and tensors.

    Raises:
        ConfigError: they do not fit together.
    """
    paths, threshold = settings.get("paths"), settings.get("threshold")
    sizes = [settings.get(name) for name in ("num_layers", "num_layers_read", "num_windows")]
    if (
        not isinstance(paths, str)
        or not isinstance(threshold, float)
        or not all(isinstance(size, int) and size >= 0 for size in sizes)
    ):
        raise ConfigError(
            f"router settings {settings} lack paths, sizes or the threshold; fit the router again"
        )
    num_layers, num_layers_read, num_windows = (int(size or 0) for size in sizes)
    menu = tuple(parse_path(text, num_layers) for text in paths.split(";"))
    arrays = {name: tensors[name].numpy() for name in TENSOR_NAMES if name in tensors}
    shapes = {name: array.shape for name, array in arrays.items()}
    num_features = shapes.get("mean_F", (0,))[0]
    wanted = {
        "scale_F": (num_features,),
        "weight_KF": (len(menu), num_features),
        "bias_K": (len(menu),),
    }
    if len(arrays) < len(TENSOR_NAMES) or any(
        shapes[name] != shape for name, shape in wanted.items()
    ):
        raise unfit(shapes, settings)
    return MenuRouter(menu, MenuModel(**arrays), num_layers_read, num_windows, threshold)
