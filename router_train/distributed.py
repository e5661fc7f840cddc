"""Several processes that train one router together; a process alone is a group of one.

Every process holds the whole training set and the same weights. Work is shared out where it costs:
features, and the rows of a batch, whose gradients are added up. This module knows nothing about who
started the processes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """One process among ``size``; its first is 0."""

    rank: int
    size: int

    @property
    def leads(self) -> bool:
        """Whether this process writes what all of them have made."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """This process' part of a batch; the parts of all are the batch."""
        return rows if self.size == 1 else rows[self.rank :: self.size]

    def is_mine(self, number: int) -> bool:
        """Whether this process does job ``number`` of a list that all know."""
        return number % self.size == self.rank

    def add_up_gradients(self, module: nn.Module) -> None:
        """Replace gradients by their sums over all processes; a missing one counts as 0."""
        if self.size == 1:
            return
        for parameter in module.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)

    def add_up(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if self.size == 1:
            return value
        total = value.clone()
        distributed.all_reduce(total)
        return total

    def collect(self, items: Sequence[tuple[int, Item]]) -> list[Item]:
        """Numbered items of all processes, in the order of their numbers."""
        parts: list[Sequence[tuple[int, Item]]] = [items]
        if self.size > 1:
            found: list[Sequence[tuple[int, Item]] | None] = [None] * self.size
            distributed.all_gather_object(found, items)
            parts = [part for part in found if part is not None]
        return [
            item
            for _, item in sorted(
                (pair for part in parts for pair in part), key=lambda pair: pair[0]
            )
        ]

    def wait_for_all(self) -> None:
        """Returns when every process has come here."""
        if self.size > 1:
            distributed.barrier()


def current_process_group() -> ProcessGroup:
    """The group that this process belongs to, by ``torch.distributed``."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return ProcessGroup(0, 1)
    return ProcessGroup(distributed.get_rank(), distributed.get_world_size())
