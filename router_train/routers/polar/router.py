"""A router that cuts the layers into segments, each skipped, run or run twice.

This is PoLar (arXiv 2606.06574), at top-1.

The path begins with the layers that the router reads, so that choosing costs no pass of its own.
Operations repeat layers one by one; repeating a block as such re-orders layers and is not
expressed.

Shapes: T tokens, D model width, M layers that are decided, C = 3 operations.
"""

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from router_train.data.labels import NUM_DECISIONS
from router_train.data.prompt_states import prompt_states
from router_train.routers.base import RoutedPath, Settings
from router_train.routers.online import cost_on_top
from router_train.routers.polar.network import PolarNetwork
from search_cluster.errors import ConfigError, NonFiniteLogitsError
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import EXECUTE, LayerPath

SIZES = ("num_layers", "num_layers_read", "width", "hidden", "beam")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """The likeliest sequence of operations."""

    operations: tuple[int, ...]
    """The operation of each decided layer. Length M."""
    least_sure: float
    """The probability of its least sure step."""


def decode_segments(start_logits_M: Tensor, operation_logits_MC: Tensor, beam: int) -> Decoded:
    """The likeliest segments by beam search from the first decided layer on.

    Before that layer, layers run once.

    A step starts a segment with another operation than the one before (its probability shared among
    those), or goes on with the segment. With a beam of 3 or more nothing better is lost, since
    steps depend on the last operation alone.
    """
    starts = start_logits_M.sigmoid().tolist()
    operations_MC = operation_logits_MC.softmax(dim=-1).tolist()
    beams: list[tuple[float, tuple[int, ...], float]] = [(0.0, (), 1.0)]
    for start, shares in zip(starts, operations_MC, strict=True):
        grown: dict[int, list[tuple[float, tuple[int, ...], float]]] = {}
        for score, done, least in beams:
            last = done[-1] if done else EXECUTE
            others = max(1e-12, 1.0 - shares[last])
            for operation in range(NUM_DECISIONS):
                step = 1.0 - start if operation == last else start * shares[operation] / others
                entry = (score + math.log(max(step, 1e-30)), (*done, operation), min(least, step))
                grown.setdefault(operation, []).append(entry)
        # Of those that end alike only the best can win.
        beams = sorted((max(entries) for entries in grown.values()), reverse=True)[:beam]
    _, best, least_sure = beams[0]
    return Decoded(operations=best, least_sure=least_sure)


@dataclass(frozen=True, slots=True)
class PolarRouter:
    """The network and what it reads."""

    network: PolarNetwork
    num_layers: int
    num_layers_read: int
    """The number of layers of the plain model that every path begins with."""
    beam: int
    threshold: float = 0.0
    """The threshold that was chosen on validation data; a higher one may be asked for."""

    def route(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> RoutedPath:
        """The choice after one pass over the prompt through the first layers.

        Raises:
            NonFiniteLogitsError: a logit of the router is NaN or infinite.
        """
        routed = self.choose(
            prompt_states(loaded, context_ids, self.num_layers_read), threshold=threshold
        )
        cost = cost_on_top(routed.path, range(self.num_layers_read), len(context_ids))
        return replace(routed, num_layer_tokens=cost)

    def begin_routing(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> Generator[tuple[int, ...], Tensor, RoutedPath]:
        """Yield the layers to read, and return the choice.

        It is sent the states ``[T, D]`` that these layers leave.
        """
        hidden_TD = yield tuple(range(self.num_layers_read))
        return self.choose(hidden_TD, threshold=threshold)

    def choose(self, hidden_TD: Tensor, *, threshold: float) -> RoutedPath:
        """The choice for a prompt's states.

        It is identity where its least sure step is below the threshold.

        Raises:
            NonFiniteLogitsError: a logit of the router is NaN or infinite.
        """
        self.network.to(hidden_TD.device)
        padding_1T = torch.zeros(1, len(hidden_TD), dtype=torch.bool, device=hidden_TD.device)
        with torch.no_grad():
            start_logits, operation_logits = self.network(hidden_TD[None], padding_1T)
        if not bool(start_logits.isfinite().all() & operation_logits.isfinite().all()):
            raise NonFiniteLogitsError(
                "a logit of the segment router is not finite; check the model's dtype"
            )
        decoded = decode_segments(start_logits[0], operation_logits[0], self.beam)
        decisions = (EXECUTE,) * self.num_layers_read + decoded.operations
        unsure = decoded.least_sure < max(threshold, self.threshold) or not any(decisions)
        return RoutedPath(
            path=LayerPath.identity(self.num_layers)
            if unsure
            else LayerPath.from_decisions(decisions),
            confidence=decoded.least_sure,
            num_fallbacks=self.num_layers if unsure else 0,
            num_layer_tokens=0,
        )

    def settings(self) -> Settings:
        """The sizes, the beam and the threshold."""
        return {
            "num_layers": self.num_layers,
            "num_layers_read": self.num_layers_read,
            "width": self.network.project.in_features,
            "hidden": self.network.project.out_features,
            "beam": self.beam,
            "threshold": self.threshold,
        }

    def tensors(self) -> dict[str, Tensor]:
        """The network's weights."""
        return {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in self.network.state_dict().items()
        }


def restore_polar(settings: Settings, tensors: Mapping[str, Tensor]) -> PolarRouter:
    """The router of these settings and tensors.

    Raises:
        ConfigError: they do not fit together.
    """
    sizes, threshold = [settings.get(name) for name in SIZES], settings.get("threshold")
    if not all(isinstance(size, int) and size >= 0 for size in sizes) or not isinstance(
        threshold, float
    ):
        raise ConfigError(
            f"router settings {settings} lack a size or the threshold; fit the router again"
        )
    num_layers, num_layers_read, width, hidden, beam = (int(size or 0) for size in sizes)
    try:
        network = PolarNetwork(num_layers - num_layers_read, width, hidden)
        network.load_state_dict(dict(tensors))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"the router's weights do not fit its settings {settings}: {error}"
        ) from error
    return PolarRouter(
        network.eval().requires_grad_(False), num_layers, num_layers_read, beam, threshold
    )
