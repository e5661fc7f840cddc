"""What every router is: something that chooses a layer path for a prompt, once, before decoding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor

from router_train.config import FitConfig
from router_train.data.labels import LabelSet
from router_train.data.path_table import VerdictTable
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.online.token_exits import TokenExits
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task

Settings = dict[str, int | float | str]
"""What a router needs beside its tensors to be built again, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedPath:
    """A router's choice for one prompt."""

    path: LayerPath
    confidence: float
    """How sure the router was of its least sure decision, before fallbacks, in [0, 1]; 1 where
    nothing is decided."""
    num_fallbacks: int
    """The number of layers that run once because the router's decision was below the threshold, or
    would have left no layer."""
    num_layer_tokens: int
    """The number of (layer, token) applications that the choice cost, on top of answering."""
    num_read_layer_tokens: float = 0.0
    """What reading states on the way cost, in applications of a layer to a token."""


class Router(Protocol):
    """A chooser of one path per prompt. Immutable once trained."""

    def route(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> RoutedPath:
        """The path for one prompt.

        Args:
            loaded: the model that the router was trained for.
            context_ids: the prompt's tokens, without padding.
            threshold: a decision with a lower probability falls back to running the layer once; 0
                trusts every one.
        """
        ...

    def settings(self) -> Settings:
        """What `RouterKind.restore` needs beside the tensors."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """The trained weights, contiguous and in main memory; may be empty."""
        ...


@runtime_checkable
class ChoiceReader(Protocol):
    """A router that reads the tokens in question, where a question has choices."""

    def with_choices(self, choice_ids: Sequence[Sequence[int]]) -> Router:
        """The router for one question with these choices, each as tokens.

        Which of them is right is not said.
        """
        ...


@runtime_checkable
class ModelMaker(Protocol):
    """A router whose paths are those of a model of its own making."""

    def model_of(self, loaded: LoadedModel) -> LoadedModel:
        """The model that runs the router's paths: the frozen one with bridges or a shortcut.

        Its plain path answers as the frozen model does, unless it has a shortcut.
        """
        ...


@runtime_checkable
class TokenRouter(Protocol):
    """A router that may let each generated token stop by itself."""

    def token_exits(self, loaded: LoadedModel, *, threshold: float) -> TokenExits | None:
        """Where tokens stop on the router's model; ``None`` if it decides once per prompt.

        Args:
            loaded: the model that the router was trained for.
            threshold: a token stops nowhere of which the router is less sure.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FitInputs:
    """What a router is trained from."""

    labels: LabelSet
    config: FitConfig
    loaded: LoadedModel | None
    """The frozen model; ``None`` for kinds that need none."""
    task: Task
    curve_file: Path
    """The file for a line of JSON per epoch, for kinds that have epochs."""
    table: VerdictTable | None = None
    """The path table; ``None`` if the corpus was not cross-executed."""
    examples: tuple[Example, ...] = ()
    """All examples of the corpus that may teach, whether a path is right on them or not."""
    feature_folder: Path | None = None
    """The folder where features are kept for the next training; ``None`` keeps them nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A trained router and what is known about its training."""

    router: Router
    metrics: Mapping[str, float]
    judged_on: str = ""
    """The questions that the metrics come from, and what these had taught or chosen, after "on";
    whoever shows metrics says so. Empty without metrics."""


class RouterKind(Protocol):
    """One way to train and to restore routers."""

    @property
    def name(self) -> str:
        """The name on command lines and in checkpoints."""
        ...

    @property
    def needs_model(self) -> bool:
        """Whether training reads the model's states."""
        ...

    def fit(self, inputs: FitInputs) -> Fitted:
        """A router trained on the labels."""
        ...

    def restore(self, settings: Settings, tensors: Mapping[str, Tensor]) -> Router:
        """The router that gave these settings and tensors.

        Raises:
            ConfigError: they do not fit together.
        """
        ...
