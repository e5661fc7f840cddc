"""Bridges: affine maps that stand for the layers which a path jumps over.

Where a path goes from layer p to a layer n > p + 1, the layers between them do not run. A bridge
moves the state to about where they would have: ``h + W h + b``, fitted in closed form (Din et al.,
arXiv 2303.09435; ReplaceMe, arXiv 2505.02819) or trained by distillation. A set of bridges belongs
to a model: whoever runs its layers crosses the bridge of a jump wherever there is one, on whatever
path. A bridge of zeros changes no bit.

Shapes: D width; ``...`` any leading shape.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from search_cluster.bridged_spec import BridgeKind
from search_cluster.errors import InvalidValueError
from search_cluster.model.head import Product
from search_cluster.paths.cost import BARE, PathCosts
from search_cluster.paths.jumps import Jump

ATTRIBUTE = "bridges"
"""The name under which a model's decoder holds its bridges, and that of their part of a
fingerprint."""
DIGEST_HEX_DIGITS = 32


class Bridge(nn.Module):
    """The map of one jump, in float32 whatever the model's dtype.

    Raises:
        InvalidValueError: the shapes do not fit together.
    """

    weight_DD: Tensor
    bias_D: Tensor

    def __init__(self, weight_DD: Tensor, bias_D: Tensor) -> None:
        super().__init__()
        width = bias_D.numel()
        if bias_D.dim() != 1 or weight_DD.shape != (width, width):
            raise InvalidValueError(
                f"a bridge has a weight {tuple(weight_DD.shape)} and a bias "
                f"{tuple(bias_D.shape)}; they are [D, D] and [D]"
            )
        self.register_buffer("weight_DD", weight_DD.detach().float(), persistent=False)
        self.register_buffer("bias_D", bias_D.detach().float(), persistent=False)

    def forward(self, hidden: Tensor, product: Product = linear) -> Tensor:
        """The state on the other side, ``[..., D]``, in the dtype of ``hidden``.

        Args:
            hidden: states ``[..., D]`` after the layer before the jump.
            product: computes what ``torch.nn.functional.linear`` does.
        """
        wide = hidden.float()
        return (wide + product(wide, self.weight_DD, self.bias_D)).to(hidden.dtype)

    def enter(self, _: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Cross it before a module runs: a hook before the forward of what comes next."""
        return (self(arguments[0]), *arguments[1:])


class Bridges(nn.Module):
    """The bridges of one model.

    Args:
        maps: weight ``[D, D]`` and bias ``[D]`` of each jump.
        kind: what the maps may do.

    Raises:
        InvalidValueError: there is none, or shapes do not fit together.
    """

    def __init__(
        self, maps: Mapping[Jump, tuple[Tensor, Tensor]], kind: BridgeKind = BridgeKind.LINEAR
    ) -> None:
        super().__init__()
        if not maps or len({bias_D.shape for _, bias_D in maps.values()}) != 1:
            raise InvalidValueError(
                f"{len(maps)} bridges, of widths "
                f"{sorted({tuple(bias_D.shape) for _, bias_D in maps.values()})}; a set has at "
                "least one, and all have the model's width"
            )
        self.kind = kind
        self.jumps: tuple[Jump, ...] = tuple(sorted(maps))
        self._bridges = nn.ModuleList(Bridge(*maps[jump]) for jump in self.jumps)
        # Asking a dict is cheaper than asking a module, and most steps of a path have none.
        self._by_jump: dict[tuple[int, int], Bridge] = {
            jump: bridge  # type: ignore[misc]
            for jump, bridge in zip(self.jumps, self._bridges, strict=True)
        }

    @property
    def width(self) -> int:
        """D."""
        return int(self._by_jump[self.jumps[0]].bias_D.numel())

    @property
    def digest(self) -> str:
        """32 hex digits that are equal for sets that do the same to states.

        Trained maps are told apart from others, so that nobody takes what a descent gave for what
        it began with.
        """
        content = hashlib.sha256()
        if self.kind is BridgeKind.DISTILLED:
            content.update(self.kind.encode())
        for jump in self.jumps:
            content.update(str(jump).encode())
            bridge = self._by_jump[jump]
            for tensor in (bridge.weight_DD, bridge.bias_D):
                content.update(tensor.cpu().contiguous().numpy().data)
        return content.hexdigest()[:DIGEST_HEX_DIGITS]

    def at(self, before: int, after: int) -> Bridge | None:
        """The bridge from one layer to another, as `Jump` counts them, if there is one."""
        return self._by_jump.get((before, after))

    def tensors(self, jump: Jump) -> tuple[Tensor, Tensor]:
        """Weight and bias of a jump that has a bridge."""
        bridge = self._by_jump[jump]
        return bridge.weight_DD, bridge.bias_D

    def placed(self, device_of: Callable[[int], torch.device]) -> "Bridges":
        """These bridges, each moved to the device of the layer that it leads to.

        Args:
            device_of: gives it for a layer, as `Jump` counts them.
        """
        for jump, bridge in zip(self.jumps, self._bridges, strict=True):
            bridge.to(device_of(jump.after))
        return self

    def crossed(self, steps: Iterable[tuple[int, int]]) -> int:
        """How many of these steps cross a bridge."""
        return sum(step in self._by_jump for step in steps)


def bridges_of(model: PreTrainedModel) -> Bridges | None:
    """The bridges that belong to a model, or ``None``."""
    bridges: Bridges | None = getattr(model.model, ATTRIBUTE, None)
    return bridges


def share_of_layer(model: PreTrainedModel) -> float:
    """What crossing a bridge costs in layers of one row, by the sizes of their products."""
    width = int(model.config.hidden_size)
    num_weights = 0.0
    for parameter in model.model.layers[0].parameters():
        share = 1.0
        if parameter.dim() == 3:  # all experts of a mixture, of which a row runs a few
            share = int(model.config.num_experts_per_tok) / parameter.shape[0]
        if parameter.dim() > 1:
            num_weights += share * parameter.numel()
    return width * width / max(1.0, num_weights)


def path_costs(model: PreTrainedModel) -> PathCosts:
    """What paths of a model cost, the bridges that belong to it included."""
    bridges = bridges_of(model)
    if bridges is None:
        return BARE
    return PathCosts(bridged=frozenset(bridges.jumps), share=share_of_layer(model))
