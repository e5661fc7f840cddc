"""A `LensExitRouter` from its settings and tensors.

Shapes: K depths, F features, D width.
"""

from collections.abc import Mapping

from torch import Tensor

from router_train.routers.base import Settings
from router_train.routers.lens_exit.classifier import (
    CHOICES,
    TOKENS,
    VOCABULARY,
    ExitClassifier,
)
from router_train.routers.lens_exit.exit_paths import exit_depths
from router_train.routers.lens_exit.readings import FEATURES
from router_train.routers.lens_exit.router import LensExitRouter
from router_train.routers.settings import numbers_of, unfit
from search_cluster.errors import SearchClusterError
from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath


def restore_lens_exit(settings: Settings, tensors: Mapping[str, Tensor]) -> LensExitRouter:
    """The router of these settings and tensors.

    Raises:
        ConfigError: they do not fit together.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        num_layers, depths = int(settings["num_layers"]), numbers_of(settings["depths"])
        path = (
            parse_path(str(settings["path"]), num_layers)
            if "path" in settings
            else LayerPath.identity(num_layers)
        )
        exit_depths(path)
        width = shapes["bias_KD"][-1]
        wanted = {
            "weight_KDD": (len(depths), width, width),
            "bias_KD": (len(depths), width),
        }
        classifiers = {}
        by_token = (TOKENS,) if f"{TOKENS}_places" in settings else ()
        for name in (CHOICES, VOCABULARY, *by_token):
            places = numbers_of(settings[f"{name}_places"])
            wanted |= {f"{name}_weight_F": (len(FEATURES),), f"{name}_bias_K": (len(places),)}
            classifiers[name] = ExitClassifier(
                places=places,
                weight_F=tensors[f"{name}_weight_F"],
                bias_K=tensors[f"{name}_bias_K"],
                threshold=float(settings[f"{name}_threshold"]),
            )
            fits = all(place in range(len(depths)) for place in places)
            if not fits or not all(0 < depth < len(path) for depth in depths):
                raise ValueError(name)
    except (KeyError, ValueError, SearchClusterError) as error:
        raise unfit(shapes, settings) from error
    if shapes != wanted:
        raise unfit(shapes, settings)
    return LensExitRouter(
        path=path,
        depths=depths,
        weight_KDD=tensors["weight_KDD"],
        bias_KD=tensors["bias_KD"],
        classifiers=classifiers,
    )
