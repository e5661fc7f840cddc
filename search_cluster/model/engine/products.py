"""Products whose rows have the same bits in any company.

A library's product picks its kernel by the number of rows, and another kernel sums in another
order. So the rows of a call are cut, and filled up with zeros, to numbers of rows that were tried on
this machine (`measure_row_counts`): there a row has the same bits at every place, beside all
neighbours, for each of these numbers, with one thread and with all of them.

Shapes: M rows of a call, N outputs, K inputs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, pad
from torch.overrides import TorchFunctionMode

ROW_COUNTS = (8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
"""The numbers of rows that are tried."""
WIDE_ENOUGH = 256
"""Kernels that are never chosen for as many rows are no use for long calls."""
CALL_COST_ROWS = 16
"""What one more call costs, in rows."""
MAX_PROBE_FLOPS = {"cpu": 1.6e10}
"""The work that may go into trying one shape; of a larger product fewer numbers of rows are tried.
It depends on the kind of device and on the shape alone, so that all workers choose alike."""
MAX_ACCELERATOR_PROBE_FLOPS = 5e11
"""The same for devices that are not named there."""
MAX_COPIED_WEIGHTS = 4_000_000
"""Weights up to that size are also tried where they lie at another place in memory."""

Shape = tuple[int, int, bool, torch.dtype]
"""Outputs, inputs, whether there is a bias, and the type of the numbers."""


@dataclass(frozen=True, slots=True)
class RowCounts:
    """For one shape of a product the numbers of rows that have the same bits, in rising order.

    There are none if the library lacks the property for it.
    """

    counts: tuple[int, ...]
    one_thread: bool = False
    """Whether they have them with one thread only."""


@cache
def cover(num_rows: int, counts: tuple[int, ...]) -> tuple[int, ...]:
    """The cheapest numbers of rows whose sum is at least ``num_rows``.

    Only the last one may reach beyond.
    """
    fitting = [count for count in counts if count >= num_rows]
    best = (fitting[0],) if fitting else ()
    smaller = [count for count in counts if count < num_rows]
    # One or two sizes less than the largest that fits are worth a try, never all of them.
    for count in smaller[-2:]:
        rest = num_rows - count
        repeats = max(1, num_rows // count) if count == counts[-1] else 1
        rest = num_rows - repeats * count
        split = (count,) * repeats + (cover(rest, counts) if rest else ())
        if not best or _cost(split) < _cost(best):
            best = split
    return best


def _cost(counts: tuple[int, ...]) -> int:
    return sum(counts) + CALL_COST_ROWS * len(counts)


def measure_row_counts(weight_NK: Tensor, bias_N: Tensor | None, *, num_threads: int) -> RowCounts:
    """The numbers of rows for which a product's rows have the same bits.

    What they are filled with, where a row stands, where small weights lie in memory and whether
    there are one or ``num_threads`` threads makes no difference to them.
    """
    probe = _Probe(weight_NK, bias_N)
    found: dict[bytes, list[int]] = {}
    for count in probe.tried:
        bits = probe.bits(count, num_threads=1)
        if bits is not None:
            found.setdefault(bits, []).append(count)
    # Of two kernels the one that also serves shorter calls, if it serves long ones at all. The
    # choice is made with one thread, so that it is the same with any number.
    useful = [
        bits for bits, counts in found.items() if counts[-1] >= min(WIDE_ENOUGH, probe.tried[-1])
    ]
    if not useful:
        return RowCounts(())
    chosen = min(useful, key=lambda bits: found[bits][0])
    if num_threads == 1 or weight_NK.device.type != "cpu":
        return RowCounts(tuple(found[chosen]))
    alike = tuple(
        count for count in found[chosen] if probe.bits(count, num_threads=num_threads) == chosen
    )
    if alike and alike[-1] >= min(WIDE_ENOUGH, found[chosen][-1]):
        return RowCounts(alike)
    return RowCounts(tuple(found[chosen]), one_thread=True)


class _Probe:
    """One product with a known row among others."""

    def __init__(self, weight_NK: Tensor, bias_N: Tensor | None) -> None:
        num_outputs, num_inputs = weight_NK.shape
        max_flops = MAX_PROBE_FLOPS.get(weight_NK.device.type, MAX_ACCELERATOR_PROBE_FLOPS)
        # What is tried adds up, so the last number alone may take half of it.
        limit = max(ROW_COUNTS[3], max_flops / (4.0 * num_outputs * num_inputs))
        self.tried = [count for count in ROW_COUNTS if count <= limit]
        generator = torch.Generator().manual_seed(0)
        self._others_MK = torch.randn(self.tried[-1], num_inputs, generator=generator).to(weight_NK)
        self._row_K = torch.randn(num_inputs, generator=generator).to(weight_NK)
        self._weight_NK, self._bias_N = weight_NK, bias_N

    def bits(self, count: int, *, num_threads: int) -> bytes | None:
        """The bits of the row in calls of ``count`` rows; ``None`` if they differ among them."""
        rows_MK = self._others_MK[:count].clone()
        places = [0, count // 3, count // 2, count - 1]
        rows_MK[places] = self._row_K
        threads = torch.get_num_threads()
        try:
            if threads != num_threads and self._weight_NK.device.type == "cpu":
                torch.set_num_threads(num_threads)
            outputs = [linear(rows_MK, self._weight_NK, self._bias_N)[places]]
            if count in (self.tried[0], self.tried[-1]):
                outputs += self._elsewhere(count)
        finally:
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
        output_MN = torch.cat(outputs)
        if not bool((output_MN == output_MN[0]).all()):
            return None
        return output_MN[0].cpu().view(torch.uint8).numpy().tobytes()

    def _elsewhere(self, count: int) -> list[Tensor]:
        """The row at all places, and with weights that lie at another place in memory."""
        alike_MK = self._row_K.expand(count, -1).contiguous()
        outputs = [linear(alike_MK, self._weight_NK, self._bias_N)]
        if self._weight_NK.numel() <= MAX_COPIED_WEIGHTS:
            memory = self._weight_NK.new_empty(self._weight_NK.numel() + 1)
            moved_NK = memory[1:].view_as(self._weight_NK).copy_(self._weight_NK)
            outputs.append(linear(alike_MK[:count], moved_NK, self._bias_N))
        return outputs


class InvariantProducts(TorchFunctionMode):
    """While it is entered, each ``linear`` runs with numbers of rows that have the same bits.

    Layers of any family call ``torch.nn.functional.linear``, the experts of a mixture included, so
    none of their code is touched. Shapes that nobody has tried yet are tried when they come.

    Args:
        num_threads: the threads of a call.
    """

    def __init__(self, num_threads: int) -> None:
        super().__init__()
        self.of_shape: dict[Shape, RowCounts] = {}
        """What was found so far."""
        self._num_threads = num_threads

    @property
    def common_counts(self) -> tuple[int, ...]:
        """The numbers of rows that all shapes have that were tried so far."""
        sets = [set(item.counts) for item in self.of_shape.values()]
        return tuple(sorted(set.intersection(*sets))) if sets else ()

    def row_counts(self, weight: Tensor, bias: Tensor | None) -> RowCounts:
        """The numbers of rows for a product, which are tried if nobody has yet."""
        shape = (weight.shape[0], weight.shape[1], bias is not None, weight.dtype)
        known = self.of_shape.get(shape)
        if known is None:
            known = self.of_shape[shape] = measure_row_counts(
                weight, bias, num_threads=self._num_threads
            )
        return known

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run any other function as it is."""
        if func is linear:
            return self._linear(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        found = self.row_counts(weight, bias)
        num_rows = input.numel() // weight.shape[1]
        sizes = cover(num_rows, found.counts) if num_rows and found.counts else (num_rows,)
        if not found.one_thread:
            return _in_parts(input, weight, bias, sizes)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return _in_parts(input, weight, bias, sizes)
        finally:
            torch.set_num_threads(threads)


def _in_parts(input: Tensor, weight: Tensor, bias: Tensor | None, sizes: tuple[int, ...]) -> Tensor:
    num_rows = input.numel() // weight.shape[1]
    if sizes == (num_rows,):
        return linear(input, weight, bias)
    rows_MK = input.reshape(num_rows, -1)
    if sum(sizes) > num_rows:
        rows_MK = pad(rows_MK, (0, 0, 0, sum(sizes) - num_rows))
    parts = [linear(part, weight, bias) for part in rows_MK.split(sizes)]
    output_MN = parts[0] if len(parts) == 1 else torch.cat(parts)
    return output_MN[:num_rows].view(*input.shape[:-1], -1)
