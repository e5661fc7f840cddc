"""A router that stops where a lens can read the answer, and lets the lens read it.

This is AdaInfer (arXiv 2403.02181) with a tuned lens (arXiv 2303.08112) in the place of the bare
head. At some depths of a path (the plain one, or a static path) a row is read through the
translator of that depth. What is read tells a classifier whether stopping there answers no worse
than going on. States that end there pass the translator before the final norm: the translators are
bridges from a layer to the final norm (see `search_cluster.model.bridge.bridges`), so whoever runs
the path on the router's model reads through them. What nothing is sure of goes on to the end.

*Per prompt* the path is the layers so far, for the whole answer, so that no key is ever missing.
*Per token* each generated token stops by itself (`search_cluster.model.online.lazy_pass` has what
becomes of the layers that it leaves out). A router that does so still answers questions with
choices per prompt, since nothing is generated there.

Shapes: K depths, D width, T tokens.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from router_train.routers.base import RoutedPath, Settings
from router_train.routers.lens_exit.classifier import (
    CHOICES,
    TOKENS,
    VOCABULARY,
    ExitClassifier,
)
from router_train.routers.lens_exit.evidence import NEVER
from router_train.routers.lens_exit.exit_paths import exit_bridges, path_to
from router_train.routers.lens_exit.reader import ExitReader
from router_train.routers.lens_exit.token_exits import LensTokenExits
from router_train.routers.online import route_online
from router_train.routers.settings import text_of
from search_cluster.model.bridge.bridged import with_bridges
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.online.token_exits import TokenExits
from search_cluster.paths.layer_path import LayerPath


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LensExitRouter:
    """Translators, and a classifier for each way of reading through them."""

    path: LayerPath
    """What runs where nothing is sure."""
    depths: tuple[int, ...]
    """The number of its layers behind which each translator reads, ascending, below its length."""
    weight_KDD: Tensor
    bias_KD: Tensor
    classifiers: Mapping[str, ExitClassifier]
    """By what is read: `CHOICES`, `VOCABULARY`, and `TOKENS` if tokens stop by themselves."""
    choice_ids: tuple[tuple[int, ...], ...] = ()
    """The choices of the question at hand, if it has any and they are known."""

    def with_choices(self, choice_ids: Sequence[Sequence[int]]) -> "LensExitRouter":
        """The router for one question, of which it knows the choices."""
        return replace(self, choice_ids=tuple(map(tuple, choice_ids)))

    def model_of(self, loaded: LoadedModel) -> LoadedModel:
        """The model with the translators as bridges to the final norm.

        Raises:
            ModelError: it has bridges already.
        """
        return with_bridges(loaded, exit_bridges(self.path, self.depths, self.lens))

    @property
    def lens(self) -> Lens:
        """The translators; that of ``depths[k]`` has number k."""
        return Lens(kind=LensKind.RIDGE, weight_LDD=self.weight_KDD, bias_LD=self.bias_KD)

    def token_exits(self, loaded: LoadedModel, *, threshold: float) -> TokenExits | None:
        """Where each generated token stops; ``None`` if the router decides once per prompt."""
        if TOKENS not in self.classifiers:
            return None
        return LensTokenExits(
            loaded=loaded,
            path=self.path,
            depths=self.depths,
            lens=self.lens,
            classifier=self.classifiers[TOKENS],
            threshold=threshold,
        )

    def begin_routing(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> Generator[tuple[int, ...], Tensor, RoutedPath]:
        """Yield the layers to the next depth that is read, and stop when sure.

        It is sent the states ``[T, D]`` that these layers leave.

        Raises:
            NonFiniteLogitsError: a logit is NaN or infinite.
        """
        classifier = self.classifiers[CHOICES if self.choice_ids else VOCABULARY]
        reader = ExitReader(loaded, self.lens, classifier, self.choice_ids)
        needed, num_run = max(threshold, classifier.threshold), 0
        for place in classifier.places if needed < NEVER else ():
            depth = self.depths[place]
            hidden_TD = yield self.path.layers[num_run:depth]
            num_run = depth
            probability, _ = reader.read(hidden_TD[-1:], place)
            if probability >= needed:
                return RoutedPath(
                    path=path_to(self.path, depth),
                    confidence=probability,
                    num_fallbacks=0,
                    num_layer_tokens=0,
                    num_read_layer_tokens=reader.cost * reader.num_reads,
                )
        return RoutedPath(
            path=self.path,
            confidence=reader.surest,
            num_fallbacks=len(self.path),
            num_layer_tokens=0,
            num_read_layer_tokens=reader.cost * reader.num_reads,
        )

    def route(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> RoutedPath:
        """The choice after a pass over the prompt that goes as far as the path does.

        Raises:
            NonFiniteLogitsError: a logit is NaN or infinite.
        """
        return route_online(
            loaded, context_ids, self.begin_routing(loaded, context_ids, threshold=threshold)
        )

    def settings(self) -> Settings:
        """The path, the depths, and of each classifier the depths that it reads and its threshold.

        A router of the plain path that decides per prompt has the settings that it always had.
        """
        of_classifiers: Settings = {}
        for name, classifier in self.classifiers.items():
            of_classifiers[f"{name}_places"] = text_of(classifier.places)
            of_classifiers[f"{name}_threshold"] = classifier.threshold
        return {
            "num_layers": self.path.num_layers,
            "depths": text_of(self.depths),
            **({} if self.path.is_identity else {"path": str(self.path)}),
            **of_classifiers,
        }

    def tensors(self) -> dict[str, Tensor]:
        """The translators, and the weights of the classifiers."""
        of_classifiers = {
            f"{name}_{part}": getattr(classifier, part).contiguous()
            for name, classifier in self.classifiers.items()
            for part in ("weight_F", "bias_K")
        }
        return {
            "weight_KDD": self.weight_KDD.contiguous(),
            "bias_KD": self.bias_KD.contiguous(),
            **of_classifiers,
        }
