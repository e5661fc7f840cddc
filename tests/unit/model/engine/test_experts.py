"""Experts of a mixture: what the family computes, the same in any company, hardly read back."""

from collections.abc import Callable

import pytest
import torch
from support import tiny
from torch import Tensor, nn

from search_cluster.model.engine.invariance import experts
from search_cluster.model.engine.invariance.experts import (
    NUM_KNOWN_ROWS,
    GroupedKernel,
    InvariantExperts,
    has_usual_form,
    measure_group_counts,
)
from search_cluster.model.engine.invariance.products import (
    ACCELERATOR_ROW_COUNTS,
    InvariantProducts,
)

FAMILIES = ("mixtral", "olmoe", "qwen2_moe", "qwen3_moe")
NUM_EXPERTS = 6


def experts_of(family: str, dtype: torch.dtype, num_taken: int) -> nn.Module:
    number = {"num_local_experts" if family == "mixtral" else "num_experts": NUM_EXPERTS}
    model = tiny.tiny_model(family, **number, num_experts_per_tok=num_taken).to(dtype)
    (found, *_) = (module for module in model.model.layers.modules() if has_usual_form(module))
    return found


def routed(num_rows: int, num_taken: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """States, the experts of each, of which one has none, and their weights."""
    generator = torch.Generator().manual_seed(num_rows)
    scores = torch.rand(num_rows, NUM_EXPERTS - 1, generator=generator)
    weights, chosen = scores.topk(num_taken, dim=-1)
    hidden = torch.randn(num_rows, 32, generator=generator)
    return hidden.to(dtype), chosen, weights.to(dtype)


def row_by_row(rows_MI: Tensor, weight_EIO: Tensor, ends_E: Tensor) -> Tensor:
    """A product of all experts whose rows know nothing of each other."""
    assert ends_E.dtype == torch.int32
    output_MO = rows_MI.new_full((len(rows_MI), weight_EIO.shape[2]), float("nan"))
    start = 0
    for expert, end in enumerate(ends_E.tolist()):
        columns_OI = weight_EIO[expert].T
        output_MO[start:end] = (rows_MI[start:end, None, :] * columns_OI).sum(dim=-1)
        start = end
    return output_MO


@pytest.fixture
def torch_has(monkeypatch: pytest.MonkeyPatch) -> Callable[[GroupedKernel | None], None]:
    """Puts a kernel in the place of torch's."""

    def put(kernel: GroupedKernel | None) -> None:
        monkeypatch.setattr(experts, "grouped_kernel", lambda: kernel)

    return put


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("num_taken", [1, 2, 3, 4])
def test_they_say_what_the_familys_own_say(
    family: str, num_taken: int, torch_has: Callable[[GroupedKernel], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    inner = experts_of(family, torch.float32, num_taken)
    inputs = routed(37, num_taken, torch.float32)
    with torch.inference_mode():
        expected_ND = inner(*inputs)
        one_by_one_ND = InvariantExperts(inner, InvariantProducts(1))(*inputs)
        torch_has(row_by_row)
        counts = tuple(num_taken * count for count in ACCELERATOR_ROW_COUNTS)
        monkeypatch.setattr(experts, "group_counts", lambda *_: counts)
        together_ND = InvariantExperts(inner, InvariantProducts(1))(*inputs)
    torch.testing.assert_close(one_by_one_ND, expected_ND, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(together_ND, expected_ND, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("together", [False, True])
def test_a_row_has_the_same_bits_in_any_company(
    dtype: torch.dtype, together: bool, torch_has: Callable[[GroupedKernel], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if together:
        torch_has(row_by_row)
        # Calls of more rows than the largest number are cut.
        monkeypatch.setattr(experts, "group_counts", lambda *_: (8, 16, 24, 48))
    mixture = InvariantExperts(experts_of("olmoe", dtype, 3), InvariantProducts(1))
    inputs = routed(50, 3, dtype)
    with torch.inference_mode():
        whole_ND = mixture(*inputs)
        for rows in (torch.arange(50).flip(0), torch.tensor([17]), torch.arange(3, 44, 4)):
            some_ND = mixture(*(item[rows] for item in inputs))
            assert torch.equal(some_ND, whole_ND[rows])


def test_nothing_is_read_back_where_one_kernel_serves_all(
    torch_has: Callable[[GroupedKernel], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def reading(item: Tensor) -> list[int]:
        read.append("ends")
        return list(map(int, item.numpy()))

    monkeypatch.setattr(Tensor, "tolist", reading)
    inner, inputs = experts_of("qwen3_moe", torch.float32, 2), routed(9, 2, torch.float32)
    with torch.inference_mode():
        InvariantExperts(inner, InvariantProducts(1))(*inputs)
        assert read == ["ends"], "once for both products of all experts"
        torch_has(lambda rows_MI, weight_EIO, _: rows_MI @ weight_EIO[0])
        monkeypatch.setattr(experts, "group_counts", lambda *_: (16, 32))
        InvariantExperts(inner, InvariantProducts(1))(*inputs)
    assert read == ["ends"]


def measured(num_taken: int = 2) -> tuple[int, ...]:
    weight_EOI = torch.randn(5, 8, 32, generator=torch.Generator().manual_seed(0))
    return measure_group_counts(weight_EOI, num_taken)


@pytest.fixture
def few_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experts, "ACCELERATOR_ROW_COUNTS", (8, 64, 128, 256))


@pytest.mark.usefixtures("few_counts")
def test_all_numbers_are_left_of_a_kernel_like_any_other(
    torch_has: Callable[[GroupedKernel], None],
) -> None:
    torch_has(row_by_row)
    assert measured() == (16, 128, 256, 512)
    assert measured(num_taken=1) == (8, 64, 128, 256)


@pytest.mark.usefixtures("few_counts")
@pytest.mark.parametrize("odd", [16, 128, 512])
def test_numbers_with_another_order_of_sums_are_left_out(
    odd: int, torch_has: Callable[[GroupedKernel], None]
) -> None:
    def kernel(rows_MI: Tensor, weight_EIO: Tensor, ends_E: Tensor) -> Tensor:
        if len(rows_MI) == odd:
            return row_by_row(rows_MI.flip(-1), weight_EIO.flip(1), ends_E)
        return row_by_row(rows_MI, weight_EIO, ends_E)

    torch_has(kernel)
    assert set(measured()) == {16, 128, 256, 512} - {odd}


@pytest.mark.usefixtures("few_counts")
def test_none_is_left_where_experts_of_few_rows_are_summed_in_another_order(
    torch_has: Callable[[GroupedKernel], None],
) -> None:
    def kernel(rows_MI: Tensor, weight_EIO: Tensor, ends_E: Tensor) -> Tensor:
        output_MO = row_by_row(rows_MI, weight_EIO, ends_E)
        other_MO = row_by_row(rows_MI.flip(-1), weight_EIO.flip(1), ends_E)
        start = 0
        for end in ends_E.tolist():
            if end - start < 3:
                output_MO[start:end] = other_MO[start:end]
            start = end
        return output_MO

    torch_has(kernel)
    assert measured() == ()


@pytest.mark.usefixtures("few_counts")
def test_torch_without_such_a_kernel_runs_experts_one_by_one(
    torch_has: Callable[[GroupedKernel | None], None],
) -> None:
    def refusing(rows_MI: Tensor, weight_EIO: Tensor, ends_E: Tensor) -> Tensor:
        raise RuntimeError("grouped_mm: expected bfloat16")

    torch_has(refusing)
    assert measured() == ()
    torch_has(None)
    assert measured() == ()


@pytest.mark.usefixtures("few_counts")
def test_what_is_found_does_not_depend_on_free_memory(
    torch_has: Callable[[GroupedKernel], None],
) -> None:
    def full(rows_MI: Tensor, weight_EIO: Tensor, ends_E: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    torch_has(full)
    with pytest.raises(torch.OutOfMemoryError):
        measured()


def test_enough_rows_are_known() -> None:
    assert max(ACCELERATOR_ROW_COUNTS) >= NUM_KNOWN_ROWS


def test_experts_of_another_form_are_the_familys() -> None:
    inner = experts_of("mixtral", torch.float32, 2)
    inner.has_bias = True  # type: ignore[assignment]
    assert not has_usual_form(inner)
    assert not has_usual_form(nn.Linear(2, 2))


def test_torchs_own_kernel_takes_what_it_is_given() -> None:
    kernel = experts.grouped_kernel()
    if kernel is None:
        pytest.skip("this torch has none")
    rows_MI, weight_EOI = torch.randn(12, 16), torch.randn(3, 8, 16)
    ends_E = torch.tensor([4, 4, 9], dtype=torch.int32)
    output_MO = kernel(rows_MI, weight_EOI.transpose(-2, -1), ends_E)
    expected_MO = torch.cat([rows_MI[:4] @ weight_EOI[0].T, rows_MI[4:9] @ weight_EOI[2].T])
    torch.testing.assert_close(output_MO[:9], expected_MO)
