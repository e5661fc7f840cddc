"""Products: which numbers of rows are found, and that rows have the same bits with these."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from search_cluster.model.engine.calls.call_limits import ACCELERATOR_CALL_ROWS
from search_cluster.model.engine.invariance import products
from search_cluster.model.engine.invariance.covers import (
    ACCELERATOR_CALL_COST_ROWS,
    CALL_COST_ROWS,
    cover,
)
from search_cluster.model.engine.invariance.modules import InvariantLinear
from search_cluster.model.engine.invariance.products import (
    ACCELERATOR_ROW_COUNTS,
    ROW_COUNTS,
    InvariantProducts,
    RowCounts,
    measure_row_counts,
)

Kernel = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def forwards(rows_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """A product whose rows know nothing of each other."""
    sums_MN = (rows_MK[..., None, :] * weight_NK).sum(dim=-1)
    return sums_MN if bias_N is None else sums_MN + bias_N


def backwards(rows_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """The same with sums in another order."""
    return forwards(rows_MK.flip(-1), weight_NK.flip(-1), bias_N)


def measured(monkeypatch: pytest.MonkeyPatch, kernel: Kernel, *, num_threads: int = 1) -> RowCounts:
    monkeypatch.setattr(products, "linear", kernel)
    weight_NK = torch.randn(8, 64, generator=torch.Generator().manual_seed(1))
    return measure_row_counts(weight_NK, None, num_threads=num_threads)


@given(
    num_rows=st.integers(1, 20_000),
    call_cost=st.sampled_from([CALL_COST_ROWS, ACCELERATOR_CALL_COST_ROWS]),
    counts=st.sets(st.sampled_from(ROW_COUNTS), min_size=1).map(lambda some: tuple(sorted(some))),
)
def test_allowed_numbers_cover_the_rows_and_only_the_last_reaches_beyond(
    num_rows: int, counts: tuple[int, ...], call_cost: int
) -> None:
    sizes = cover(num_rows, counts, call_cost)
    assert set(sizes) <= set(counts)
    assert sum(sizes[:-1]) < num_rows <= sum(sizes)


def test_no_call_of_an_accelerator_is_cut_in_more_than_two() -> None:
    for num_rows in range(1, ACCELERATOR_CALL_ROWS + 1):
        sizes = cover(num_rows, ACCELERATOR_ROW_COUNTS, ACCELERATOR_CALL_COST_ROWS)
        assert len(sizes) <= 2, num_rows
        assert sum(sizes) <= max(1.5 * num_rows, num_rows + ACCELERATOR_CALL_COST_ROWS)


def test_a_kernel_like_any_other_leaves_all_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(monkeypatch, forwards) == RowCounts(ROW_COUNTS)


@pytest.mark.parametrize("odd", [{48}, {8, 16}, {96, 256, 2048}])
def test_numbers_with_another_kernel_are_left_out(
    odd: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def kernel(rows_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
        return (backwards if len(rows_MK) in odd else forwards)(rows_MK, weight_NK, bias_N)

    assert set(measured(monkeypatch, kernel).counts) == set(ROW_COUNTS) - odd


def test_numbers_whose_bits_depend_on_the_place_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def kernel(rows_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
        out_MN = forwards(rows_MK, weight_NK, bias_N)
        if len(rows_MK) in (16, 64):
            out_MN[-3:] = backwards(rows_MK[-3:], weight_NK, bias_N)
        return out_MN

    assert set(measured(monkeypatch, kernel).counts) == set(ROW_COUNTS) - {16, 64}


def test_numbers_whose_bits_depend_on_the_weights_alignment_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def kernel(rows_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
        is_odd = len(rows_MK) == 32 and weight_NK.data_ptr() % 16 != 0
        return (backwards if is_odd else forwards)(rows_MK, weight_NK, bias_N)

    assert set(measured(monkeypatch, kernel).counts) == set(ROW_COUNTS) - {32}


def test_numbers_that_threads_share_otherwise_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(rows_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
        is_odd = len(rows_MK) in (8, 128) and torch.get_num_threads() > 1
        return (backwards if is_odd else forwards)(rows_MK, weight_NK, bias_N)

    before = torch.get_num_threads()
    assert measured(monkeypatch, kernel) == RowCounts(ROW_COUNTS)
    found = measured(monkeypatch, kernel, num_threads=2)
    assert found == RowCounts(tuple(count for count in ROW_COUNTS if count not in (8, 128)))
    assert torch.get_num_threads() == before


def test_a_kernel_that_threads_change_runs_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def kernel(rows_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
        seen.append(torch.get_num_threads())
        return (backwards if seen[-1] > 1 else forwards)(rows_MK, weight_NK, bias_N)

    assert measured(monkeypatch, kernel, num_threads=2) == RowCounts(ROW_COUNTS, one_thread=True)
    ours, weight_NK = InvariantProducts(num_threads=2), torch.randn(8, 64)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        ours.linear(torch.randn(5, 64), weight_NK)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen[-1] == 1


def test_a_kernel_that_depends_on_all_places_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(rows_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
        out_MN = forwards(rows_MK, weight_NK, bias_N)
        out_MN[::2] = backwards(rows_MK[::2], weight_NK, bias_N)
        return out_MN

    assert measured(monkeypatch, kernel).counts == ()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@settings(max_examples=20)
@given(num_rows=st.integers(1, 600), place=st.integers(0, 599), wide=st.booleans())
def test_a_row_has_the_same_bits_alone_and_in_company(
    dtype: torch.dtype, num_rows: int, place: int, wide: bool
) -> None:
    place %= num_rows
    generator = torch.Generator().manual_seed(num_rows)
    # One output alone, as a mixture's shared expert has for its gate, would take another kernel.
    linear = nn.Linear(96, 160 if wide else 1, bias=wide).to(dtype)
    ours = InvariantLinear(linear, InvariantProducts(num_threads=1))
    rows_1MK = torch.randn(1, num_rows, 96, generator=generator).to(dtype)
    with torch.inference_mode():
        out_1MN = ours(rows_1MK)
        alone_11N = ours(rows_1MK[:, place : place + 1])
        expected_1MN = linear(rows_1MK)
    assert torch.equal(out_1MN[:, place], alone_11N[:, 0])
    torch.testing.assert_close(out_1MN, expected_1MN, rtol=2e-2, atol=2e-2)
