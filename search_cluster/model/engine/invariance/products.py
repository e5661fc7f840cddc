"""Products whose rows have the same bits in any company.

A library's product picks its kernel by the number of rows, and another kernel sums in another
order. So the rows of a call are cut, and filled up with zeros, to numbers that were tried on this
machine (`measure_row_counts`): there a row has the same bits at every place, beside all
neighbours, for each of these numbers, with one thread and with all of them.

Shapes: M rows of a call, N outputs, K inputs.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from search_cluster.model.engine.invariance.covers import call_cost_rows, cost_rows, cover

ROW_COUNTS = (8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048)
"""The numbers of rows that are tried."""
ACCELERATOR_ROW_COUNTS = tuple(sorted({*ROW_COUNTS, 768, 1536, 3072, 4096, 5120, 6144, 7168, 8192}))
"""The same elsewhere than on a CPU: no call of up to 8192 rows is cut in more than two."""
MAX_DRAWN_ROWS = 2048
"""So many rows are drawn; others are the same again."""
USUAL_LENGTHS = (24, 48, 100, 200, 400, 800, 1600)
"""The numbers of rows of calls as they come. Of two kernels the one is taken that serves them at
the least cost."""
MAX_PROBE_FLOPS = {"cpu": 2.4e10}
"""The work that may go into trying one shape; of a larger product fewer numbers of rows are tried.
It depends on the kind of device and on the shape alone, so that all workers choose alike."""
MAX_ACCELERATOR_PROBE_FLOPS = 2e13
"""The same for devices that are not named there."""
MOST_MOVED_ROWS = 128
"""Calls of up to so many rows, and the longest, are also tried with their rows at other places."""
MIN_OUTPUTS = 8
"""The smallest number of outputs of a product on a CPU; smaller ones are filled up."""
MAX_DRAWN_WEIGHTS = 2**26
"""Weights up to that size are tried with random ones in their place."""
DRAWN_OUTPUTS = 96
"""So many outputs are drawn; others are the same again."""
MAX_MOVED_WEIGHTS = 2**23
"""Weights up to that size are also tried elsewhere in memory."""
ALIGNED_BYTES = 256
"""Off the CPU weights lie at multiples of it at least, and kernels are chosen by that."""
LEFT_OVER = 2.0**-6
"""What is left of a sum whose terms cancel each other."""

Shape = tuple[int, int, bool, torch.dtype, torch.device]
"""Outputs, inputs, whether there is a bias, the type of the numbers, and where they are."""


@dataclass(frozen=True, slots=True)
class RowCounts:
    """For one shape of a product the numbers of rows that have the same bits, in rising order.

    There are none if the library lacks the property for it.
    """

    counts: tuple[int, ...]
    one_thread: bool = False
    """Whether they have them with one thread only."""


def measure_row_counts(weight_NK: Tensor, bias_N: Tensor | None, *, num_threads: int) -> RowCounts:
    """The numbers of rows for which a product's rows have the same bits.

    What they are filled with, where a row stands, where small weights lie in memory and whether
    there are one or ``num_threads`` threads makes no difference to them.
    """
    if weight_NK.device.type == "meta":  # where there are no bits
        return RowCounts(ACCELERATOR_ROW_COUNTS)
    probe = _Probe(weight_NK, bias_N)
    with _threads(1, weight_NK.device):
        kernels = probe.kernels()
    if not kernels:
        return RowCounts(())
    # The choice is made with one thread, so that it is the same with any number.
    call_cost = call_cost_rows(weight_NK.device)
    chosen = min(kernels, key=lambda kernel: _mean_cost(tuple(kernel.counts), call_cost))
    if num_threads == 1 or weight_NK.device.type != "cpu":
        return RowCounts(tuple(chosen.counts))
    with _threads(num_threads, weight_NK.device):
        alike = tuple(count for count in chosen.counts if probe.gives(count, chosen))
    one_thread = tuple(chosen.counts)
    if alike and _mean_cost(alike, call_cost) <= num_threads * _mean_cost(one_thread, call_cost):
        return RowCounts(alike)
    return RowCounts(one_thread, one_thread=True)


def _mean_cost(counts: tuple[int, ...], call_cost: int) -> float:
    """What a row costs in calls as they come."""
    return sum(
        cost_rows(cover(length, counts, call_cost), call_cost) / length for length in USUAL_LENGTHS
    )


@contextmanager
def _threads(number: int, device: torch.device) -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        if device.type == "cpu" and number != before:
            torch.set_num_threads(number)
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


@dataclass(slots=True)
class _Kernel:
    """Numbers of rows that give the same bits, in rising order, and what they give."""

    output_MN: Tensor
    counts: list[int]


class _Probe:
    """One product of known rows, each tried in calls of several lengths.

    The terms of a sum nearly cancel each other, so that the order in which they are added shows in
    what is left, also where it is rounded to 16 bits. It would be hidden there otherwise: of
    ordinary sums not one in ten thousand differs.
    """

    def __init__(self, weight_NK: Tensor, bias_N: Tensor | None) -> None:
        num_outputs, num_inputs = weight_NK.shape
        max_flops = MAX_PROBE_FLOPS.get(weight_NK.device.type, MAX_ACCELERATOR_PROBE_FLOPS)
        # What is tried adds up, so the last number alone may take a third of it.
        limit = max(ROW_COUNTS[3], max_flops / (6.0 * num_outputs * num_inputs))
        counts = ROW_COUNTS if weight_NK.device.type == "cpu" else ACCELERATOR_ROW_COUNTS
        self.tried = [count for count in counts if count <= limit]
        generator = torch.Generator().manual_seed(0)
        num_drawn = min(self.tried[-1], MAX_DRAWN_ROWS)
        rows_MK = torch.randn(num_drawn, num_inputs, generator=generator)
        half = num_inputs // 2
        if weight_NK.numel() <= MAX_DRAWN_WEIGHTS and half:
            rows_MK[:, half : 2 * half] *= LEFT_OVER
            rows_MK[:, half : 2 * half] -= rows_MK[:, :half]
            block_NK = torch.randn(DRAWN_OUTPUTS, num_inputs, generator=generator).to(weight_NK)
            block_NK[:, half : 2 * half] = block_NK[:, :half]
            weight_NK = block_NK.repeat(-(-num_outputs // DRAWN_OUTPUTS), 1)[:num_outputs]
        self._rows_MK = rows_MK.to(weight_NK).repeat(-(-self.tried[-1] // num_drawn), 1)
        self._weight_NK, self._bias_N = weight_NK, bias_N

    def kernels(self) -> list[_Kernel]:
        """The kernels, as far as they can be told apart; what depends on the place is left out.

        Numbers that are not tried at other places count if they give what one gives that is.
        """
        found: list[_Kernel] = []
        for count in reversed(self.tried):
            output_MN = self._output(count)
            if not self._is_same_elsewhere(count, output_MN):
                continue
            for kernel in found:
                if torch.equal(kernel.output_MN[: len(output_MN)], output_MN):
                    kernel.counts.insert(0, count)
                    break
            else:
                found.append(_Kernel(output_MN, [count]))
        return [kernel for kernel in found if any(map(self._is_moved, kernel.counts))]

    def gives(self, count: int, kernel: _Kernel) -> bool:
        """Whether calls of so many rows give what the kernel does."""
        output_MN = self._output(count)
        return torch.equal(kernel.output_MN[: len(output_MN)], output_MN)

    def _output(self, count: int) -> Tensor:
        """The first rows' outputs in calls of ``count`` rows: one call, or several short ones."""
        calls = max(1, min(MOST_MOVED_ROWS, self.tried[-1]) // count)
        parts = self._rows_MK[: calls * count].split(count)  # type: ignore[no-untyped-call]
        return torch.cat([linear(part_MK, self._weight_NK, self._bias_N) for part_MK in parts])

    def _is_moved(self, count: int) -> bool:
        """Whether calls of so many rows are tried with their rows at other places."""
        return count <= MOST_MOVED_ROWS or count == self.tried[-1]

    def _is_same_elsewhere(self, count: int, output_MN: Tensor) -> bool:
        """Whether rows at other places, or weights elsewhere in memory, give the same."""
        if not self._is_moved(count):
            return True
        moved_MK = self._rows_MK[:count].roll(count // 2 - 1, dims=0)
        weight_NK = self._weight_NK
        if weight_NK.numel() <= MAX_MOVED_WEIGHTS:
            moved = 1 if weight_NK.device.type == "cpu" else ALIGNED_BYTES // weight_NK.itemsize
            memory = weight_NK.new_empty(weight_NK.numel() + moved)
            weight_NK = memory[moved:].view_as(weight_NK).copy_(weight_NK)
        moved_MN = linear(moved_MK, weight_NK, self._bias_N)
        return torch.equal(moved_MN.roll(1 - count // 2, dims=0), output_MN[:count])


class InvariantProducts:
    """Products that run with numbers of rows that have the same bits.

    Shapes that nobody has tried yet are tried when they come.

    Args:
        num_threads: the threads of a call.
        tries: whether shapes are tried; otherwise products run as they are.
    """

    def __init__(self, num_threads: int, *, tries: bool = True) -> None:
        self.tries = tries
        self.of_shape: dict[Shape, RowCounts] = {}
        """What was found so far."""
        self.of_experts: dict[tuple[object, ...], tuple[int, ...]] = {}
        """The same of products of all experts in one call (`experts`)."""
        self._num_threads = num_threads
        self._wide: dict[int, tuple[Tensor, Tensor]] = {}

    def common_counts(self) -> tuple[int, ...]:
        """The numbers of rows that all shapes have that were tried so far."""
        sets = [set(item.counts) for item in self.of_shape.values()]
        return tuple(sorted(set.intersection(*sets))) if sets else ()

    def row_counts(self, weight: Tensor, bias: Tensor | None) -> RowCounts:
        """The numbers of rows for a product, which are tried if nobody has yet."""
        weight, bias = self._widened(weight, bias)
        shape = (weight.shape[0], weight.shape[1], bias is not None, weight.dtype, weight.device)
        known = self.of_shape.get(shape)
        if known is None:
            known = RowCounts(())
            if self.tries:
                known = measure_row_counts(weight, bias, num_threads=self._num_threads)
            self.of_shape[shape] = known
        return known

    def linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """What ``torch.nn.functional.linear`` computes."""
        num_outputs, num_inputs = weight.shape
        weight, bias = self._widened(weight, bias)
        found = self.row_counts(weight, bias)
        num_rows = input.numel() // num_inputs
        sizes: tuple[int, ...] = (num_rows,)
        if num_rows and found.counts:
            sizes = cover(num_rows, found.counts, call_cost_rows(weight.device))
        with _threads(1, weight.device) if found.one_thread else nullcontext():
            output = _in_parts(input, weight, bias, sizes)
        return output if output.shape[-1] == num_outputs else output[..., :num_outputs]

    def _widened(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The weight with outputs of zero, where there are few on a CPU.

        Products with one output alone take other kernels.
        """
        if weight.shape[0] >= MIN_OUTPUTS or weight.device.type != "cpu":
            return weight, bias
        known = self._wide.get(weight.data_ptr())
        if known is None or known[0] is not weight:
            missing = MIN_OUTPUTS - weight.shape[0]
            known = self._wide[weight.data_ptr()] = (weight, pad(weight, (0, 0, 0, missing)))
        return known[1], None if bias is None else pad(bias, (0, MIN_OUTPUTS - len(bias)))


def _in_parts(input: Tensor, weight: Tensor, bias: Tensor | None, sizes: tuple[int, ...]) -> Tensor:
    num_rows = input.numel() // weight.shape[1]
    if sizes == (num_rows,):
        return linear(input, weight, bias)
    rows_MK = input.reshape(num_rows, -1)
    if sum(sizes) > num_rows:
        rows_MK = pad(rows_MK, (0, 0, 0, sum(sizes) - num_rows))
    ends = list(accumulate(sizes))
    parts = [
        linear(rows_MK[end - size : end], weight, bias)
        for end, size in zip(ends, sizes, strict=True)
    ]
    output_MN = parts[0] if len(parts) == 1 else torch.cat(parts)
    return output_MN[:num_rows].view(*input.shape[:-1], -1)
