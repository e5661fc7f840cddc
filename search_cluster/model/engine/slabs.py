"""Rows of states in preallocated memory, known by their slot numbers.

A node of the trie holds slot numbers and no tensors, so a call of a layer gathers and writes all
rows of all nodes with one operation each, whatever the number of nodes.

Shapes: M slots, W width of a row.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Slots = NDArray[np.int64]
"""Numbers of slots, or of rows."""
NO_SLOTS: Slots = np.empty(0, dtype=np.int64)
ZERO_SLOT = 0
"""The slot whose row is all zeros. It stands for rows that only fill a shape up."""
FIRST_ROWS = 4096
"""The smallest number of rows that is allocated."""
LATE_GROWTH = 8
"""Beyond what is enough, a slab grows by one part in so many, or by what is needed if that is more.
Each growth copies all rows: by what is needed alone, every call would copy a full store."""


class NoRoomError(torch.OutOfMemoryError):
    """States that are needed together have no room in memory that can't grow."""


class Slab:
    """Rows of one kind, in one tensor or in several that share their slot numbers.

    Args:
        widths: the width of a row in each tensor.
        dtype: the type of the numbers.
        device: where the rows are.
        num_rows: the number of rows to begin with; it doubles whenever more are taken.
        enough_rows: the number of rows up to which it doubles; beyond, it grows less.
        can_grow: whether there may ever be more rows than at first.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        dtype: torch.dtype,
        device: torch.device,
        num_rows: int = FIRST_ROWS,
        enough_rows: int = 2**62,
        can_grow: bool = True,
    ) -> None:
        self._enough_rows = enough_rows
        self.can_grow = can_grow
        self.bytes_per_row = sum(widths) * dtype.itemsize
        self.device = device
        self.parts_MW = [
            torch.empty(num_rows + 1, width, dtype=dtype, device=device) for width in widths
        ]
        for part_MW in self.parts_MW:
            part_MW[ZERO_SLOT].zero_()
        # A stack whose top is at its end. New slots are taken in rising order.
        self._free: Slots = np.arange(num_rows, ZERO_SLOT, -1)
        self._num_free = num_rows

    @property
    def num_used(self) -> int:
        """The number of slots that are taken."""
        return len(self._free) - self._num_free

    @property
    def num_bytes(self) -> int:
        """The memory of the rows that there is room for."""
        return len(self._free) * self.bytes_per_row

    def take(self, count: int) -> Slots:
        """Slots that nobody else has.

        Raises:
            torch.OutOfMemoryError: there is no room for more rows; nothing has been taken.
        """
        if count > self._num_free:
            if not self.can_grow:
                raise NoRoomError(f"{count} rows: {self._num_free} of {len(self._free)} are free")
            held = len(self._free)
            usual = max(min(held, self._enough_rows - held), held // LATE_GROWTH)
            self._grow(max(count - self._num_free, usual))
        self._num_free -= count
        return self._free[self._num_free : self._num_free + count][::-1].copy()

    def give(self, slots: Slots) -> None:
        """Take back slots; their rows are lost."""
        self._free[self._num_free : self._num_free + len(slots)] = slots[::-1]
        self._num_free += len(slots)

    def free(self) -> None:
        """Let the memory go; there is room for no row from then on."""
        self.parts_MW = []
        self._free, self._num_free = NO_SLOTS, 0

    def _grow(self, count: int) -> None:
        held = len(self._free)
        larger = [
            part_MW.new_empty(held + count + 1, part_MW.shape[1]) for part_MW in self.parts_MW
        ]
        for new_MW, old_MW in zip(larger, self.parts_MW, strict=True):
            new_MW[: held + 1].copy_(old_MW)
        self.parts_MW = larger
        free = np.empty(held + count, dtype=np.int64)
        free[:count] = np.arange(held + count, held, -1)
        free[count : count + self._num_free] = self._free[: self._num_free]
        self._free, self._num_free = free, self._num_free + count

    def gather(self, slots_N: Tensor, part: int = 0) -> Tensor:
        """The rows of some slots, ``[N, W]``."""
        return self.parts_MW[part].index_select(0, slots_N)

    def write(self, slots_N: Tensor, rows_NW: Tensor, part: int = 0) -> None:
        """Write rows to their slots."""
        self.parts_MW[part].index_copy_(0, slots_N, rows_NW)


class LayerSlabs:
    """Where the rows of each layer are: layers whose rows are on one device share a slab.

    Args:
        of_layers: the slab of each layer; slots are taken from it and given back to it.
        more: slabs of devices that have no layer's rows, and zeros nevertheless.
    """

    def __init__(self, of_layers: Sequence[Slab], more: Sequence[Slab] = ()) -> None:
        self._of_layers = tuple(of_layers)
        self._distinct = tuple(dict.fromkeys((*self._of_layers, *more)))
        self.bytes_per_row = self._of_layers[0].bytes_per_row

    @property
    def num_used(self) -> int:
        """The number of slots that are taken, of all slabs."""
        return sum(slab.num_used for slab in self._distinct)

    def free(self) -> None:
        """Let the memory of all slabs go."""
        for slab in self._distinct:
            slab.free()

    def of(self, layer: int) -> Slab:
        """The slab that has the rows of a layer."""
        return self._of_layers[layer]

    def on(self, device: torch.device) -> Slab:
        """The slab on a device; there is one."""
        return next(slab for slab in self._distinct if slab.device == device)
