"""The readouts that are compared: a shortcut, and simpler ones of the same cost.

Each of them begins as nothing at all, so that the path alone is where every descent starts.

Shapes: S sources, R rank, H heads, N rows, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from search_cluster.model.bridge.bridges import Bridge
from search_cluster.model.shortcut.shortcut import Shortcut, even_states, num_products

NUM_HEADS = 4
RANK_STEP = 8
"""Ranks are multiples of it: products with fewer outputs are filled up."""
SMALLEST_SIZE = 1e-6


class Readout(Protocol):
    """Something that is read in the place of a path's final states."""

    @property
    def num_products(self) -> int:
        """What one row multiplies."""
        ...

    def trained(self) -> list[Tensor]:
        """The tensors that a descent moves."""
        ...

    def read(self, final_ND: Tensor, change_NSD: Tensor) -> Tensor:
        """What the final norm reads, ``[N, D]``."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PathAlone:
    """The path as it is, or the full model's own final states."""

    def trained(self) -> list[Tensor]:
        """Nothing."""
        return []

    @property
    def num_products(self) -> int:
        """None."""
        return 0

    def read(self, final_ND: Tensor, change_NSD: Tensor) -> Tensor:
        """The final states themselves."""
        return final_ND


@dataclass(frozen=True, slots=True, eq=False)
class BridgeReadout:
    """A map in closed form, from the end of the path to the end of the full model."""

    bridge: Bridge

    def trained(self) -> list[Tensor]:
        """Nothing: it is solved for."""
        return []

    @property
    def num_products(self) -> int:
        """D x D."""
        return self.bridge.weight_DD.numel()

    def read(self, final_ND: Tensor, change_NSD: Tensor) -> Tensor:
        """The final states on the other side."""
        crossed: Tensor = self.bridge(final_ND)
        return crossed


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LinearReadout:
    """Any affine map of the final state of size 1, which is trained as the shortcut is."""

    weight_DD: Tensor
    bias_D: Tensor
    state_size_D: Tensor
    deviation_D: Tensor

    @property
    def num_products(self) -> int:
        """D x D."""
        return self.weight_DD.numel()

    def trained(self) -> list[Tensor]:
        """Weight and bias."""
        return [self.weight_DD, self.bias_D]

    def read(self, final_ND: Tensor, change_NSD: Tensor) -> Tensor:
        """The final states, moved."""
        even_ND, size_N1 = even_states(final_ND)
        # A step of AdamW moves all D inputs of an output: scaled, the rate of shortcuts suits it.
        inputs_ND = even_ND / self.state_size_D * len(self.bias_D) ** -0.5
        moved_ND = inputs_ND @ self.weight_DD.T + self.bias_D
        read_ND: Tensor = final_ND + moved_ND * self.deviation_D * size_N1
        return read_ND


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ShortcutReadout:
    """A shortcut, of all sources or of some, with attention or with constant weights."""

    shortcut: Shortcut
    places: tuple[int, ...]
    """Which of the recorded sources it reads."""
    is_mixed: bool = False
    """Whether the weights of sources are constant: a scalar mix of what is made of each."""

    @property
    def num_products(self) -> int:
        """Those of its sources, of the query, which a mix multiplies by zeros, and of the output.

        That is what `search_cluster.model.shortcut.shortcut.shortcut_cost` counts where it runs.
        """
        return num_products(len(self.places), self.shortcut.rank, self.shortcut.width)

    def trained(self) -> list[Tensor]:
        """Its maps; a query that asks nothing stays zero."""
        return [
            getattr(self.shortcut, name)
            for name in Shortcut.SHAPES
            if name not in Shortcut.FIXED and not (self.is_mixed and name == "query_RD")
        ]

    def carried(self, change_NSD: Tensor) -> Tensor:
        """What rows carry to the readout."""
        return torch.cat(
            [
                self.shortcut.key(number, change_NSD[:, place])
                for number, place in enumerate(self.places)
            ],
            dim=-1,
        )

    def read(self, final_ND: Tensor, change_NSD: Tensor) -> Tensor:
        """The final states with what was read on top."""
        read_ND: Tensor = self.shortcut(final_ND, self.carried(change_NSD))
        return read_ND


def rank_of_cost(num_sources: int, width: int) -> int:
    """The largest rank with which a shortcut costs no more than one map of the whole state."""
    rank = RANK_STEP
    while num_products(num_sources, rank + RANK_STEP, width) <= width**2:
        rank += RANK_STEP
    return rank


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Sizes:
    """How large features are in the rows that teach."""

    change_size_SD: Tensor
    state_size_D: Tensor
    deviation_D: Tensor

    @classmethod
    def of(cls, final_ND: Tensor, change_NSD: Tensor) -> "Sizes":
        """The sizes in these rows."""
        even_ND, _ = even_states(final_ND)
        even_NSD, _ = even_states(change_NSD)
        return cls(
            change_size_SD=_at_least(even_NSD.square().mean(dim=0).sqrt()),
            state_size_D=_at_least(even_ND.square().mean(dim=0).sqrt()),
            deviation_D=_at_least(even_ND.std(dim=0, correction=0)),
        )

    def to(self, device: torch.device) -> "Sizes":
        """The same on a device."""
        return Sizes(
            change_size_SD=self.change_size_SD.to(device),
            state_size_D=self.state_size_D.to(device),
            deviation_D=self.deviation_D.to(device),
        )


def _at_least(size: Tensor) -> Tensor:
    """Entries that hardly vary keep a scale, so that rounding is not blown up into a feature."""
    least = 1e-3 * size.median(dim=-1, keepdim=True).values
    return size.maximum(least).clamp(min=SMALLEST_SIZE)


def new_shortcut(
    sources: Sequence[int],
    sizes: Sizes,
    *,
    places: Sequence[int] | None = None,
    is_mixed: bool = False,
    seed: int,
) -> ShortcutReadout:
    """A shortcut that changes nothing yet, at the cost of one map of the whole state.

    Args:
        sources: the layers that were recorded.
        sizes: of their rows.
        places: which of them it reads; ``None``: all.
        is_mixed: whether the weights of sources are constant.
        seed: draws the maps.
    """
    places = tuple(range(len(sources))) if places is None else tuple(places)
    width = sizes.deviation_D.numel()
    rank = rank_of_cost(len(places), width)
    generator = torch.Generator().manual_seed(seed)
    device = sizes.deviation_D.device

    def drawn(*shape: int, variance: float) -> Tensor:
        normal: Tensor = torch.randn(*shape, generator=generator)
        return normal * float(variance**0.5)

    query_RD = drawn(rank, width, variance=1 / width)
    tensors = {
        "down_SRD": drawn(len(places), rank, width, variance=1 / width),
        "down_bias_SR": torch.zeros(len(places), rank),
        "up_SRR": drawn(len(places), rank, rank, variance=2 / rank),
        "query_RD": torch.zeros(rank, width) if is_mixed else query_RD,
        "source_bias_HS": torch.zeros(NUM_HEADS, len(places)),
        "output_DR": torch.zeros(width, rank),
        "change_size_SD": sizes.change_size_SD[list(places)],
        "state_size_D": sizes.state_size_D,
        "deviation_D": sizes.deviation_D,
    }
    return ShortcutReadout(
        shortcut=Shortcut([sources[place] for place in places], NUM_HEADS, tensors).to(device),
        places=places,
        is_mixed=is_mixed,
    )


def new_linear(sizes: Sizes) -> LinearReadout:
    """A map that changes nothing yet."""
    width, device = sizes.deviation_D.numel(), sizes.deviation_D.device
    return LinearReadout(
        weight_DD=torch.zeros(width, width, device=device),
        bias_D=torch.zeros(width, device=device),
        state_size_D=sizes.state_size_D,
        deviation_D=sizes.deviation_D,
    )
