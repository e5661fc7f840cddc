"""A router that stops when the model has made up its mind.

This is AdaInfer (arXiv 2403.02181) at the level of a prompt.

After each layer the prompt's last row is read through the model's final norm and head. How sure the
likeliest token is, and how far ahead of the second, tells a classifier whether stopping there
answers no worse than going on. The path is then the layers so far, for the whole answer. A read of
the head costs about as much as some layers of a small model for that one row; it is not in the
count of layer tokens.

Shapes: L layers, D model width, T tokens, 2 readings.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from router_train.routers.base import RoutedPath, Settings
from router_train.routers.online import route_online
from router_train.routers.settings import unfit
from search_cluster.errors import NonFiniteLogitsError
from search_cluster.model.head import float32_logits
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath

TENSOR_NAMES = ("weight_2", "bias_L")


def read_rows(loaded: LoadedModel, hidden_RD: Tensor) -> Tensor:
    """The likeliest next token's probability, and its lead over the second. Shape ``[R, 2]``.

    They are float32 and in main memory.

    Raises:
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    logits_RV = float32_logits(loaded.model, loaded.model.model.norm(hidden_RD))
    if not bool(logits_RV.isfinite().all()):
        raise NonFiniteLogitsError(
            "a logit of the prompt's last row is not finite; check the model's dtype"
        )
    best_R2 = logits_RV.softmax(dim=-1).topk(2).values.cpu()
    return torch.stack([best_R2[:, 0], best_R2[:, 0] - best_R2[:, 1]], dim=-1)


def readings_of(loaded: LoadedModel, context_ids: Sequence[int]) -> Tensor:
    """The readings of the last token after each layer of the plain model. Shape ``[L, 2]``."""
    with torch.inference_mode():
        prompt_pass = LayerwisePass(
            loaded.model, torch.tensor([list(context_ids)], device=loaded.model.device)
        )
        rows = []
        for layer in range(loaded.num_layers):
            prompt_pass.step(layer)
            rows.append(prompt_pass.hidden_BTD[0, -1])
        return read_rows(loaded, torch.stack(rows))  # at once: the head's weights are read once


def exit_path(num_layers_run: int, num_layers: int) -> LayerPath:
    """The first layers of the plain model."""
    return LayerPath(tuple(range(num_layers_run)), num_layers)


@dataclass(frozen=True, slots=True, eq=False)
class EarlyExitRouter:
    """A logistic classifier on the two readings, with a bias per depth."""

    weight_2: Tensor
    bias_L: Tensor
    """The bias of stopping after layer 0, ..., L - 1; the last one is never asked for."""
    threshold: float
    """The threshold that was chosen on validation data; a higher one may be asked for."""

    def probability(self, layer: int, readings_2: Tensor) -> float:
        """The probability that stopping after a layer answers no worse than going on."""
        return float(torch.sigmoid(readings_2 @ self.weight_2 + self.bias_L[layer]))

    def begin_routing(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> Generator[tuple[int, ...], Tensor, RoutedPath]:
        """Yield one layer after the other, and stop when sure.

        It is sent the states ``[T, D]`` that each layer leaves.
        """
        needed, num_layers, surest = max(threshold, self.threshold), loaded.num_layers, 0.0
        for layer in range(num_layers - 1):
            hidden_TD = yield (layer,)
            probability = self.probability(layer, read_rows(loaded, hidden_TD[-1:])[0])
            surest = max(surest, probability)
            if probability >= needed:
                path = exit_path(layer + 1, num_layers)
                return RoutedPath(
                    path=path, confidence=probability, num_fallbacks=0, num_layer_tokens=0
                )
        return RoutedPath(
            path=LayerPath.identity(num_layers),
            confidence=surest,
            num_fallbacks=num_layers,
            num_layer_tokens=0,
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
        """The depth and the threshold."""
        return {"num_layers": len(self.bias_L), "threshold": self.threshold}

    def tensors(self) -> dict[str, Tensor]:
        """The weights of the classifier."""
        return {name: getattr(self, name).contiguous() for name in TENSOR_NAMES}


def restore_early_exit(settings: Settings, tensors: Mapping[str, Tensor]) -> EarlyExitRouter:
    """The router of these settings and tensors.

    Raises:
        ConfigError: they do not fit together.
    """
    num_layers, threshold = settings.get("num_layers"), settings.get("threshold")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if not isinstance(threshold, float) or shapes != {"weight_2": (2,), "bias_L": (num_layers,)}:
        raise unfit(shapes, settings)
    return EarlyExitRouter(tensors["weight_2"], tensors["bias_L"], threshold)
