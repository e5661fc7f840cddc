"""Routers that send every prompt down one path: the baselines that a learned router has to beat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from router_train.config import STATIC_PATH
from router_train.data.labels import most_common_path
from router_train.data.static_path import choose_static
from router_train.routers.base import FitInputs, Fitted, RoutedPath, Settings
from search_cluster.errors import ConfigError
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath


@dataclass(frozen=True, slots=True)
class FixedRouter:
    """A router that always gives the same path."""

    path: LayerPath

    def route(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> RoutedPath:
        """The one path, at no cost and without any doubt."""
        return RoutedPath(path=self.path, confidence=1.0, num_fallbacks=0, num_layer_tokens=0)

    def settings(self) -> Settings:
        """The path as text and the model's depth."""
        return {"path": str(self.path), "num_layers": self.path.num_layers}

    def tensors(self) -> dict[str, Tensor]:
        """An empty mapping: there are no weights."""
        return {}


@dataclass(frozen=True, slots=True)
class IdentityKind:
    """The plain model, as a router."""

    name: str = "identity"
    needs_model: bool = False

    def fit(self, inputs: FitInputs) -> Fitted:
        """The identity path, whatever the labels are."""
        return Fitted(router=FixedRouter(LayerPath.identity(inputs.labels.num_layers)), metrics={})

    def restore(self, settings: Settings, tensors: Mapping[str, Tensor]) -> FixedRouter:
        """The router of the saved path."""
        return _restore(settings)


@dataclass(frozen=True, slots=True)
class StaticKind:
    """One path for every prompt, the best of the menu.

    Without a path table it is the most common label.
    """

    name: str = "static"
    needs_model: bool = False

    def fit(self, inputs: FitInputs) -> Fitted:
        """The path of the menu that meets aim, floor and budget on its table.

        Without a table: the most common label, with its share of the training and validation
        labels.
        """
        if inputs.table is not None:
            path, point = choose_static(
                inputs.table.limited(inputs.config.train_limit, inputs.config.seed), inputs.config
            )
            return Fitted(
                router=FixedRouter(path),
                metrics=point.metrics(),
                judged_on="the questions that chose this path and whose corpus made the menu",
            )
        path = most_common_path(inputs.labels.train, inputs.labels.num_layers)
        decisions = path.decisions()
        metrics = {
            f"{side}_path_accuracy": sum(label.decisions == decisions for label in labels)
            / len(labels)
            for side, labels in (
                ("train", inputs.labels.train),
                ("validation", inputs.labels.validation),
            )
        }
        return Fitted(
            router=FixedRouter(path),
            metrics=metrics,
            judged_on="labels, not answers: the share whose best path is this one, of the training "
            "labels that chose it and of the validation labels that did not",
        )

    def restore(self, settings: Settings, tensors: Mapping[str, Tensor]) -> FixedRouter:
        """The router of the saved path."""
        return _restore(settings)


def path_of_config(inputs: FitInputs) -> LayerPath:
    """The path that ``--path`` names, which several kinds of routers take."""
    named, num_layers = inputs.config.exit_path, inputs.labels.num_layers
    if named is None:
        return LayerPath.identity(num_layers)
    if named != STATIC_PATH:
        return parse_path(named, num_layers)
    fixed = StaticKind().fit(inputs).router
    assert isinstance(fixed, FixedRouter), "a static router has one path"
    return fixed.path


def _restore(settings: Settings) -> FixedRouter:
    path, num_layers = settings.get("path"), settings.get("num_layers")
    if not isinstance(path, str) or not isinstance(num_layers, int):
        raise ConfigError(
            f"router settings {settings} lack a path or the number of layers; fit the router again"
        )
    return FixedRouter(parse_path(path, num_layers))
