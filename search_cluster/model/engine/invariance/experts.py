"""The experts of a mixture, where each row's bits are the same in any company.

Rows are sorted by their experts on the device. Where torch has one kernel for all experts, and it
was seen to give a row the same bits beside all others, two such products do and nothing is read
back. Elsewhere the experts run one after the other by invariant products, for which the host must
know how many rows each one has: it reads that back once for a call.

Shapes: N rows of a call, K experts of a row, E experts, M = N * K rows of experts, D width of a
state, O outputs and I inputs of an expert's product, R rows that are known.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from search_cluster.model.engine.invariance.products import (
    ACCELERATOR_ROW_COUNTS,
    LEFT_OVER,
    MAX_ACCELERATOR_PROBE_FLOPS,
    MAX_DRAWN_WEIGHTS,
    InvariantProducts,
)
from search_cluster.model.engine.invariance.sums import sum_in_pairs

NUM_KNOWN_ROWS = 128
"""So many rows are drawn; others are the same again."""
MAX_DRAWN_EXPERTS = 64
"""So many experts are tried; that there are more changes no row."""

GroupedKernel = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Rows ``[M, I]`` in the order of their experts, weights ``[E, I, O]`` and where each expert's rows
end, ``[E]``, to outputs ``[M, O]``. Rows behind the last end are nobody's and cost nothing."""


def grouped_kernel() -> GroupedKernel | None:
    """Torch's product of many experts in one call, if it has one."""
    known: Any = getattr(nn.functional, "grouped_mm", None)
    if known is None:
        return None

    def kernel(rows_MI: Tensor, weight_EIO: Tensor, ends_E: Tensor) -> Tensor:
        output_MO: Tensor = known(rows_MI, weight_EIO, offs=ends_E)
        return output_MO

    return kernel


def has_usual_form(module: nn.Module) -> bool:
    """Whether a module holds experts of the form that all families here have.

    A gate and what it opens in one product, another product behind, and no biases.
    """
    odd = ("has_bias", "is_transposed", "has_post_expert_norm", "_is_expert_parallel")
    usual = ("has_gate", "is_concatenated")
    return all(getattr(module, name, False) for name in usual) and not any(
        getattr(module, name, False) for name in odd
    )


class InvariantExperts(nn.Module):
    """A mixture's experts with invariant products; weights are shared.

    Args:
        inner: the family's module, of which `has_usual_form` is true.
        products: how products are computed.
    """

    def __init__(self, inner: nn.Module, products: InvariantProducts) -> None:
        super().__init__()
        self.inner = inner
        self._products = products
        weight_EDI: Any = inner.down_proj
        self._numbers_E = torch.arange(len(weight_EDI), device=weight_EDI.device)

    def forward(self, hidden_ND: Tensor, experts_NK: Tensor, weights_NK: Tensor) -> Tensor:
        """What the experts of each row say, weighted and added by the order of their numbers."""
        num_rows, num_taken = experts_NK.shape
        counts = group_counts(self._products, self.inner, num_taken)
        if counts and experts_NK.numel() > counts[-1]:
            inputs, most = (hidden_ND, experts_NK, weights_NK), counts[-1] // num_taken
            parts = zip(*(torch.split(item, most) for item in inputs), strict=True)
            return torch.cat([self(*part) for part in parts])
        experts_NK, order_NK = experts_NK.sort(dim=-1)
        weights_NK = weights_NK.gather(-1, order_NK)
        sorted_M, places_M = experts_NK.flatten().sort(stable=True)
        ends_E = torch.searchsorted(sorted_M, self._numbers_E, right=True, out_int32=True)
        taken_M = places_M // num_taken
        if counts:
            count = next(count for count in counts if count >= len(taken_M))
            taken_M = taken_M if count == len(taken_M) else pad(taken_M, (0, count - len(taken_M)))
            said_MD = self._together(hidden_ND.index_select(0, taken_M), ends_E)
        else:
            said_MD = self._one_by_one(hidden_ND.index_select(0, taken_M), ends_E.tolist())
        back_MD = said_MD.new_empty(len(places_M), said_MD.shape[1])
        back_MD.index_copy_(0, places_M, said_MD[: len(places_M)])
        weighted_NKD = back_MD.view(num_rows, num_taken, -1) * weights_NK[..., None]
        return sum_in_pairs(weighted_NKD.to(hidden_ND.dtype), dim=1)

    def _together(self, rows_MD: Tensor, ends_E: Tensor) -> Tensor:
        kernel, inner = grouped_kernel(), _weights_of(self.inner)
        assert kernel is not None, "numbers of rows were found for it"
        opened_MI = kernel(rows_MD, inner.gate_up_proj.transpose(-2, -1), ends_E)
        return kernel(inner._apply_gate(opened_MI), inner.down_proj.transpose(-2, -1), ends_E)

    def _one_by_one(self, rows_MD: Tensor, ends: list[int]) -> Tensor:
        inner, linear = _weights_of(self.inner), self._products.linear
        said_MD, start = torch.empty_like(rows_MD), 0
        for expert, end in enumerate(ends):
            if end > start:
                opened_RI = linear(rows_MD[start:end], inner.gate_up_proj[expert])
                said_RD = linear(inner._apply_gate(opened_RI), inner.down_proj[expert])
                said_MD[start:end] = said_RD
            start = end
        return said_MD


def _weights_of(module: nn.Module) -> Any:
    """The module; what it holds has no types."""
    return module


def group_counts(
    products: InvariantProducts, experts: nn.Module, num_taken: int
) -> tuple[int, ...]:
    """The numbers of rows for which the kernel of all experts gives a row the same bits.

    They are tried if nobody has yet. There are none on a CPU, where nothing is gained, and where
    torch lacks such a kernel or the property.

    Args:
        products: the products of the model, and what was found of them.
        experts: a mixture's experts of the usual form.
        num_taken: the number of experts that a row takes.

    Raises:
        torch.OutOfMemoryError: there is no room to try them.
    """
    weights = (_weights_of(experts).gate_up_proj, _weights_of(experts).down_proj)
    if weights[0].device.type == "cpu" or not products.tries:
        return ()
    shape = (num_taken, *weights[0].shape, *weights[1].shape, weights[0].dtype, weights[0].device)
    known = products.of_experts.get(shape)
    if known is None:
        opens, closes = (measure_group_counts(weight, num_taken) for weight in weights)
        known = tuple(count for count in opens if count in closes)
        products.of_experts[shape] = known
    return known


def measure_group_counts(weight_EOI: Tensor, num_taken: int) -> tuple[int, ...]:
    """The numbers of rows of all experts together for which each row has the same bits.

    How many rows each expert has, and which, makes no difference to them.

    Args:
        weight_EOI: the experts' weights.
        num_taken: the number of experts that a row takes.

    Raises:
        torch.OutOfMemoryError: there is no room to try them.
    """
    kernel = grouped_kernel()
    if kernel is None:
        return ()
    counts = [num_taken * count for count in ACCELERATOR_ROW_COUNTS]
    if weight_EOI.device.type == "meta":  # where there are no bits
        return tuple(counts)
    most_rows = MAX_ACCELERATOR_PROBE_FLOPS / (6.0 * weight_EOI[0].numel())
    tried = [count for count in counts if count <= max(most_rows, NUM_KNOWN_ROWS * num_taken)]
    found: tuple[int, ...] = ()
    try:
        probe = _GroupedProbe(kernel, weight_EOI)
        # The numbers may fall to two kernels; the one is taken that serves more of them.
        for reference in reversed([count for count in tried if count >= NUM_KNOWN_ROWS]):
            if reference not in found:
                expected_RO = probe.reference(reference)
                alike = tuple(count for count in tried if probe.gives(count, expected_RO))
                found = max(found, alike, key=len)
    except torch.OutOfMemoryError:
        raise  # what is found must not depend on what else is held
    except RuntimeError:
        return ()  # no such kernel for these shapes, these numbers or this device
    return found


class _GroupedProbe:
    """Known rows, each of one expert, in calls where the experts have few and many of them.

    Sums nearly cancel, so that the order in which they are taken shows (`products`).
    """

    def __init__(self, kernel: GroupedKernel, weight_EOI: Tensor) -> None:
        self._kernel = kernel
        half = weight_EOI.shape[2] // 2
        most = max(2, MAX_DRAWN_WEIGHTS // weight_EOI[0].numel())
        weight_EOI = weight_EOI[: min(MAX_DRAWN_EXPERTS, most)]
        generator = torch.Generator().manual_seed(0)
        rows_RI = torch.randn(NUM_KNOWN_ROWS, weight_EOI.shape[2], generator=generator)
        if weight_EOI.numel() <= MAX_DRAWN_WEIGHTS:
            rows_RI[:, half : 2 * half] *= LEFT_OVER
            rows_RI[:, half : 2 * half] -= rows_RI[:, :half]
            drawn_EOI = torch.randn(weight_EOI.shape, generator=generator)
            drawn_EOI[..., half : 2 * half] = drawn_EOI[..., :half]
            weight_EOI = drawn_EOI.to(weight_EOI)
        self._rows_RI, self._weight_EIO = rows_RI.to(weight_EOI), weight_EOI.transpose(-2, -1)
        self._numbers_E = torch.arange(len(weight_EOI), device=weight_EOI.device)

    def reference(self, count: int) -> Tensor:
        """What a call of so many rows gives for each known row, ``[R, O]``."""
        return self._outputs(self._even(count), count)[:NUM_KNOWN_ROWS]

    def gives(self, count: int, expected_RO: Tensor) -> bool:
        """Whether calls of so many rows give these, however they are spread over the experts."""
        num_experts, even_M = len(self._numbers_E), self._even(count)
        # All rows but a few are the first expert's; of the others every second one has one row.
        one_M = even_M % (NUM_KNOWN_ROWS // num_experts) * num_experts
        others = self._numbers_E[1::2][: count // 2]
        one_M[-len(others) :] = others
        generator = torch.Generator().manual_seed(count)
        drawn_M = torch.randint(NUM_KNOWN_ROWS, (count,), generator=generator).to(even_M)
        not_full_M = drawn_M[: max(1, count // 3)]
        return all(
            torch.equal(self._outputs(rows_M, count), expected_RO[rows_M])
            for rows_M in (even_M, one_M, drawn_M, not_full_M)
        )

    def _even(self, count: int) -> Tensor:
        return torch.arange(count, device=self._rows_RI.device) % NUM_KNOWN_ROWS

    def _outputs(self, rows_M: Tensor, count: int) -> Tensor:
        """The outputs of some of the known rows, in a call that is filled up to ``count`` rows."""
        sorted_M, order_M = (rows_M % len(self._numbers_E)).sort(stable=True)
        ends_E = torch.searchsorted(sorted_M, self._numbers_E, right=True, out_int32=True)
        filled_MI = pad(self._rows_RI[rows_M[order_M]], (0, 0, 0, count - len(rows_M)))
        output_MO = self._kernel(filled_MI, self._weight_EIO, ends_E)[: len(rows_M)]
        return torch.empty_like(output_MO).index_copy_(0, order_M, output_MO)
