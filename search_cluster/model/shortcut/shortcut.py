"""A shortcut: what is read behind the last layer attends over what chosen layers changed.

After *Adaptive Large Language Models By Layerwise Attention Shortcuts* (Verma and Pilanci, arXiv
2409.10870): small trained maps make keys and values of the states of chosen layers, and the end of
the model attends to them, ``softmax(Q K^T / sqrt(d)) V`` with ``K = V = f_s(.)``. Here the model is
frozen, and three things differ from that paper. The sources are the *changes* that layers make, not
the states behind them, which are nearly alike from layer to layer. A position attends to its own
sources alone: what earlier positions hold, the layers' attention has brought already. So nothing is
cached, and a row's readout depends on that row alone. And the output map begins at zero, so that a
new shortcut is the model.

With x the final state, ``|x|`` the root of its mean square, and d_s the change of source s::

    z_s = U_s relu(A_s (d_s / |d_s|) / size_s + a_s),   0 if the layer did not run
    w   = softmax over s of (Q (x / |x|) / size) . z_s / sqrt(d) + c_s,   per head
    x  <- x + |x| deviation * O sum_s w_s z_s

Sizes (roots of mean squares) and deviations of features are measured once: features of states
differ in size by a thousand, and a descent needs them alike.

The rectifier is the one nonlinearity that rounds nothing, wherever a row stands in a call.

Shapes: S sources, R rank, H heads, E = R / H, D width, C = S R carried numbers; ``...`` any leading
shape.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from search_cluster.errors import InvalidValueError
from search_cluster.model.bridge.bridges import share_of_layer
from search_cluster.model.devices.layer_devices import devices_of
from search_cluster.model.head import Product

ATTRIBUTE = "shortcut"
"""The name under which a model's decoder holds its shortcut, and that of its part of a
fingerprint."""
DIGEST_HEX_DIGITS = 32
SMALLEST_SQUARE = 1e-12
"""Keeps the root of a mean square above 0: the change of a layer may be nothing at all."""


class Shortcut(nn.Module):
    """The readout of one model, in float32 whatever the model's dtype.

    Args:
        sources: the layers that are read, ascending.
        num_heads: H; divides R.
        tensors: see `SHAPES`.

    Raises:
        InvalidValueError: the shapes do not fit together.
    """

    down_SRD: Tensor
    down_bias_SR: Tensor
    up_SRR: Tensor
    query_RD: Tensor
    source_bias_HS: Tensor
    output_DR: Tensor
    change_size_SD: Tensor
    state_size_D: Tensor
    deviation_D: Tensor

    SHAPES: Mapping[str, str] = {
        "down_SRD": "SRD",
        "down_bias_SR": "SR",
        "up_SRR": "SRR",
        "query_RD": "RD",
        "source_bias_HS": "HS",
        "output_DR": "DR",
        "change_size_SD": "SD",
        "state_size_D": "D",
        "deviation_D": "D",
    }
    """The tensors by name, and their dimensions."""
    FIXED = ("change_size_SD", "state_size_D", "deviation_D")
    """Those that are measured and not trained."""

    def __init__(
        self, sources: Sequence[int], num_heads: int, tensors: Mapping[str, Tensor]
    ) -> None:
        super().__init__()
        self.sources, self.num_heads = tuple(sources), num_heads
        if set(tensors) != set(self.SHAPES) or tensors["query_RD"].dim() != 2:
            raise InvalidValueError(
                f"a shortcut has tensors {', '.join(self.SHAPES)}, not {', '.join(tensors)}"
            )
        self.rank, self.width = tensors["query_RD"].shape
        sizes = {
            "S": len(self.sources),
            "R": self.rank,
            "D": self.width,
            "H": num_heads,
        }
        for name, letters in self.SHAPES.items():
            wanted = tuple(sizes[letter] for letter in letters)
            if tuple(tensors[name].shape) != wanted:
                raise InvalidValueError(
                    f"{name} has shape {tuple(tensors[name].shape)}; a shortcut of "
                    f"{len(self.sources)} sources, {num_heads} heads, rank {self.rank} and width "
                    f"{self.width} has {wanted}"
                )
            tensor = tensors[name].detach().float().clone()
            if name in self.FIXED:
                self.register_buffer(name, tensor, persistent=True)
            else:
                self.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
        if not self.sources or list(self.sources) != sorted(set(self.sources)):
            raise InvalidValueError(
                f"sources are {self.sources}; they are layers in ascending order, at least one"
            )
        if num_heads < 1 or self.rank % num_heads:
            raise InvalidValueError(
                f"rank {self.rank} is no multiple of the number of heads, {num_heads}"
            )
        self._places = {layer: place for place, layer in enumerate(self.sources)}

    @property
    def carried_width(self) -> int:
        """C: what a row carries from its sources to the readout."""
        return len(self.sources) * self.rank

    @property
    def digest(self) -> str:
        """32 hex digits that are equal for shortcuts that do the same to states."""
        said = json.dumps([self.sources, self.num_heads])
        content = hashlib.sha256(said.encode())
        for name, tensor in self.tensors().items():
            content.update(name.encode())
            content.update(tensor.numpy().data)
        return content.hexdigest()[:DIGEST_HEX_DIGITS]

    @property
    def is_off(self) -> bool:
        """Whether it changes nothing, as before its training."""
        return not bool(self.output_DR.any())

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors, contiguous and in main memory, in the order of `SHAPES`."""
        return {name: getattr(self, name).detach().cpu().contiguous() for name in self.SHAPES}

    def products(self) -> list[tuple[Tensor, Tensor | None]]:
        """A weight and a bias of each shape that is multiplied."""
        return [
            (self.down_SRD[0], self.down_bias_SR[0]),
            (self.up_SRR[0], None),
            (self.query_RD, None),
            (self.output_DR, None),
        ]

    def nothing_carried(self, hidden: Tensor) -> Tensor:
        """What states ``[..., D]`` carry before any layer ran: zeros ``[..., C]``."""
        return hidden.new_zeros(*hidden.shape[:-1], self.carried_width)

    def carry(
        self,
        layer: int,
        before: Tensor,
        after: Tensor,
        carried: Tensor,
        product: Product = linear,
    ) -> Tensor:
        """What rows carry behind a layer, ``[..., C]`` in their dtype.

        A layer that runs again takes the place of what it left before.

        Args:
            layer: the layer, which may be no source.
            before: its inputs ``[..., D]``, behind the bridge if they crossed one.
            after: its outputs.
            carried: what the rows carried so far.
            product: computes what ``torch.nn.functional.linear`` does.
        """
        place = self._places.get(layer)
        if place is None:
            return carried
        key = self.key(place, after.float() - before.float(), product).to(carried.dtype)
        first = place * self.rank
        return torch.cat([carried[..., :first], key, carried[..., first + self.rank :]], dim=-1)

    def key(self, place: int, change: Tensor, product: Product = linear) -> Tensor:
        """Key and value ``[..., R]`` of the changes ``[..., D]`` of a source."""
        even, _ = even_states(change)
        inner = product(
            even / self.change_size_SD[place],
            self.down_SRD[place],
            self.down_bias_SR[place],
        ).relu()
        return product(inner, self.up_SRR[place], None)

    def forward(self, hidden: Tensor, carried: Tensor, product: Product = linear) -> Tensor:
        """What the final norm reads, ``[..., D]`` in the dtype of ``hidden``.

        Args:
            hidden: final states.
            carried: what they carry, ``[..., C]``.
            product: computes what ``torch.nn.functional.linear`` does.
        """
        wide = hidden.float()
        even, size = even_states(wide)
        weights = self._weights(even, carried, product)
        keys = self._keys(carried)
        # One after the other: sums of few terms are in the same order at every place of a call.
        total = torch.zeros_like(keys[..., 0, :, :])
        for place in range(len(self.sources)):
            total = total + weights[..., place, None] * keys[..., place, :, :]
        moved = product(total.flatten(-2), self.output_DR, None)
        return (wide + moved * self.deviation_D * size).to(hidden.dtype)

    def weights(self, hidden: Tensor, carried: Tensor) -> Tensor:
        """The attention ``[..., H, S]`` of final states to their sources."""
        return self._weights(even_states(hidden.float())[0], carried, linear)

    def _weights(self, even: Tensor, carried: Tensor, product: Product) -> Tensor:
        query = product(even / self.state_size_D, self.query_RD, None)
        query = query.reshape(*query.shape[:-1], self.num_heads, -1)
        scores = torch.stack(
            [
                (query * self._keys(carried)[..., place, :, :]).sum(dim=-1)
                for place in range(len(self.sources))
            ],
            dim=-1,
        )
        scale = float(self.rank // self.num_heads) ** -0.5
        weights: Tensor = (scores * scale + self.source_bias_HS).softmax(dim=-1)
        return weights

    def _keys(self, carried: Tensor) -> Tensor:
        """``[..., S, H, E]``."""
        shape = (len(self.sources), self.num_heads, -1)
        return carried.float().reshape(*carried.shape[:-1], *shape)


def even_states(states: Tensor) -> tuple[Tensor, Tensor]:
    """States ``[..., D]`` of size 1, and the size ``[..., 1]`` that they had."""
    size = (states.square().mean(dim=-1, keepdim=True) + SMALLEST_SQUARE).sqrt()
    return states / size, size


def shortcut_of(model: PreTrainedModel) -> Shortcut | None:
    """The shortcut that belongs to a model, or ``None``."""
    shortcut: Shortcut | None = getattr(model.model, ATTRIBUTE, None)
    return shortcut


def shortcuts_of(model: PreTrainedModel) -> dict[torch.device, Shortcut]:
    """The model's shortcut on each of its devices; empty without one.

    Its sources are read where their layers are, and it is small.
    """
    own = shortcut_of(model)
    if own is None:
        return {}
    return {
        device: own
        if device == own.query_RD.device
        else Shortcut(own.sources, own.num_heads, own.tensors()).to(device)
        for device in devices_of(model).distinct
    }


def num_products(num_sources: int, rank: int, width: int) -> int:
    """What one row of a shortcut multiplies."""
    return num_sources * rank * (width + rank) + 2 * rank * width


def shortcut_cost(model: PreTrainedModel, layers: Iterable[int]) -> float:
    """What the shortcut of a path costs, in layers of one row; 0 without a shortcut.

    Args:
        model: the model.
        layers: the layers that run, in order.
    """
    shortcut = shortcut_of(model)
    if shortcut is None:
        return 0.0
    num_read = sum(layer in shortcut.sources for layer in layers)
    products = num_products(num_read, shortcut.rank, shortcut.width)
    return products / shortcut.width**2 * share_of_layer(model)
