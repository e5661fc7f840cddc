"""A router that stops where a lens can read the answer, and lets the lens read it.

This is AdaInfer (arXiv 2403.02181) at the level of a prompt, with a tuned lens (arXiv 2303.08112)
in the place of the bare head. At some depths the prompt's last row is read through the translator
of that depth. What is read tells a classifier whether stopping there answers no worse than going
on. The path is then the layers so far, for the whole answer, and every state that it ends in passes
the translator before the final norm: the translators are bridges from a layer to the final norm
(see `search_cluster.model.bridge.bridges`), so whoever runs the path on the router's model reads
through them. A prompt of which nothing is sure goes on to the last layer.

The path holds for all tokens that are generated after the prompt, so that no key is ever missing.

Shapes: K depths, F features, D width, T tokens, V vocabulary.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from router_train.routers.base import RoutedPath, Settings
from router_train.routers.early_exit.router import exit_path
from router_train.routers.lens_exit.readings import (
    FEATURES,
    features_of,
    first_tokens,
    read_cost,
    read_logits_of,
    told_apart,
)
from router_train.routers.online import route_online
from search_cluster.errors import ConfigError
from search_cluster.model.bridge.bridged import with_bridges
from search_cluster.model.bridge.bridges import Bridges
from search_cluster.model.head import float32_logits, logits_of_tokens
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.jumps import Jump

NEVER = 1.0
"""The threshold with which nothing stops early, and nothing is read."""
MOST_SURE = 1 - 1e-6
"""The highest probability, so that rounding makes nothing as sure as `NEVER`."""
CHOICES, VOCABULARY = "choices", "vocabulary"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ExitClassifier:
    """A logistic classifier of what is read in one way, with a bias per depth."""

    places: tuple[int, ...]
    """The translators that it reads through, ascending."""
    weight_F: Tensor
    bias_K: Tensor
    """The bias of each place."""
    threshold: float
    """The threshold that was chosen on training questions; a higher one may be asked for."""

    def probabilities(self, features_NKF: Tensor) -> Tensor:
        """The probability ``[N, K]`` that stopping at a place answers no worse than going on."""
        score_NK = features_NKF @ self.weight_F + self.bias_K[: features_NKF.shape[1]]
        return torch.sigmoid(score_NK).clamp(max=MOST_SURE)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LensExitRouter:
    """Translators, and a classifier for each way of reading through them."""

    num_layers: int
    depths: tuple[int, ...]
    """The number of layers behind which each translator reads, ascending, in 1..L-1."""
    weight_KDD: Tensor
    bias_KD: Tensor
    classifiers: Mapping[str, ExitClassifier]
    """By what is read: `CHOICES` or `VOCABULARY`."""
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
        return with_bridges(loaded, exit_bridges(self.depths, self.lens, self.num_layers))

    @property
    def lens(self) -> Lens:
        """The translators; that of ``depths[k]`` has number k."""
        return Lens(kind=LensKind.RIDGE, weight_LDD=self.weight_KDD, bias_LD=self.bias_KD)

    def begin_routing(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> Generator[tuple[int, ...], Tensor, RoutedPath]:
        """Yield the layers to the next depth that is read, and stop when sure.

        It is sent the states ``[T, D]`` that these layers leave.

        Raises:
            NonFiniteLogitsError: a logit is NaN or infinite.
        """
        model, lens = loaded.model, self.lens
        classifier = self.classifiers[CHOICES if self.choice_ids else VOCABULARY]
        tokens = first_tokens(self.choice_ids)
        cost = read_cost(model, len(tokens) or int(model.config.vocab_size))
        apart = torch.tensor([told_apart(self.choice_ids)])
        needed, surest, num_run, readings = max(threshold, classifier.threshold), 0.0, 0, []
        for place in classifier.places if needed < NEVER else ():
            depth = self.depths[place]
            hidden_TD = yield tuple(range(num_run, depth))
            num_run = depth
            final_1D = model.model.norm(lens.translate(hidden_TD[-1:], place))
            logits_1V = (
                logits_of_tokens(model, final_1D, tokens)
                if tokens
                else float32_logits(model, final_1D)
            )
            readings.append(read_logits_of(logits_1V, tokens))
            features_NKF = features_of(torch.stack(readings, dim=1), apart)
            probability = float(classifier.probabilities(features_NKF)[0, -1])
            surest = max(surest, probability)
            if probability >= needed:
                return RoutedPath(
                    path=exit_path(depth, self.num_layers),
                    confidence=probability,
                    num_fallbacks=0,
                    num_layer_tokens=0,
                    num_read_layer_tokens=cost * len(readings),
                )
        return RoutedPath(
            path=exit_path(self.num_layers, self.num_layers),
            confidence=surest,
            num_fallbacks=self.num_layers,
            num_layer_tokens=0,
            num_read_layer_tokens=cost * len(readings),
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
        """The depths, and of each classifier the depths that it reads and its threshold."""
        of_classifiers: Settings = {}
        for name, classifier in self.classifiers.items():
            of_classifiers[f"{name}_places"] = _text(classifier.places)
            of_classifiers[f"{name}_threshold"] = classifier.threshold
        return {
            "num_layers": self.num_layers,
            "depths": _text(self.depths),
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


def exit_bridges(depths: Sequence[int], lens: Lens, num_layers: int) -> Bridges:
    """The translators of some depths as bridges from their last layer to the final norm.

    ``lens`` has one translator for each of the depths, in their order.
    """
    return Bridges(
        {
            Jump(depth - 1, num_layers): (lens.weight_LDD[place], lens.bias_LD[place])
            for place, depth in enumerate(depths)
        }
    )


def restore_lens_exit(settings: Settings, tensors: Mapping[str, Tensor]) -> LensExitRouter:
    """The router of these settings and tensors.

    Raises:
        ConfigError: they do not fit together.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        num_layers, depths = int(settings["num_layers"]), _numbers(settings["depths"])
        classifiers = {}
        width = shapes["bias_KD"][-1]
        wanted = {
            "weight_KDD": (len(depths), width, width),
            "bias_KD": (len(depths), width),
        }
        for name in (CHOICES, VOCABULARY):
            places = _numbers(settings[f"{name}_places"])
            wanted |= {f"{name}_weight_F": (len(FEATURES),), f"{name}_bias_K": (len(places),)}
            classifiers[name] = ExitClassifier(
                places=places,
                weight_F=tensors[f"{name}_weight_F"],
                bias_K=tensors[f"{name}_bias_K"],
                threshold=float(settings[f"{name}_threshold"]),
            )
            fits = all(place in range(len(depths)) for place in places)
            if not fits or not all(0 < depth < num_layers for depth in depths):
                raise ValueError(name)
    except (KeyError, ValueError) as error:
        raise _unfit(shapes, settings) from error
    if shapes != wanted:
        raise _unfit(shapes, settings)
    return LensExitRouter(
        num_layers=num_layers,
        depths=depths,
        weight_KDD=tensors["weight_KDD"],
        bias_KD=tensors["bias_KD"],
        classifiers=classifiers,
    )


def _unfit(shapes: Mapping[str, tuple[int, ...]], settings: Settings) -> ConfigError:
    return ConfigError(
        f"the router's weights {dict(shapes)} do not fit its settings {settings}; fit the router "
        "again"
    )


def _text(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def _numbers(text: int | float | str) -> tuple[int, ...]:
    return tuple(int(part) for part in str(text).split(",") if part)
