"""Whether rows have the same bits in any company is found out, said once, and acted upon."""

import gc
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from support import tiny
from support.model_doubles import CAPITAL, ChoiceTask, loaded_tiny
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.model.engine.calls.attention import scores_and_values
from search_cluster.model.engine.calls.call_plan import Layout
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.engine.invariance import arithmetic, attention_probe, products
from search_cluster.model.engine.invariance.arithmetic import probe_arithmetic
from search_cluster.model.engine.rechecks import TIE_THRESHOLDS
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath

linear = torch.nn.functional.linear


@pytest.fixture(autouse=True)
def _attention_is_tried_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found with another kernel counts for no other model."""
    tried = attention_probe.shapes_found.__wrapped__
    monkeypatch.setattr(attention_probe, "shapes_found", tried)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def by_place(rows_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """A product whose every second row is rounded otherwise."""
    out_MN = linear(rows_MK, weight_NK, bias_N)
    out_MN[..., ::2, :] += 1e-3
    return out_MN


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen2_moe"])
def test_this_machine_has_the_property(
    family: str, dtype: torch.dtype, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny.tiny_model(family).to(dtype)
    found = probe_arithmetic(model)
    assert (found.is_invariant, found.reason, caplog.text) == (True, "", "")
    assert found.layout is Layout.PADDED
    assert set(found.call_rows) <= set(products.ROW_COUNTS)
    executor = PathExecutor(replace(loaded_tiny(model), dtype=str(dtype)[6:]), ChoiceTask())
    assert executor.tie_threshold == 0.0


def test_it_is_tried_once_for_a_model_and_a_number_of_threads(two_threads: None) -> None:
    model = tiny.tiny_model()
    with_two = probe_arithmetic(model)
    assert probe_arithmetic(model) is with_two
    torch.set_num_threads(1)
    with_one = probe_arithmetic(model)
    assert with_one is not with_two
    assert with_one.shapes == with_two.shapes
    num_known = len(arithmetic._KNOWN)
    del model
    gc.collect()
    assert len(arithmetic._KNOWN) < num_known


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_products_without_it_are_told_of_once_and_answers_near_a_tie_are_computed_again(
    dtype: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = replace(loaded_tiny(tiny.tiny_model().to(getattr(torch, dtype))), dtype=dtype)
    monkeypatch.setattr(products, "linear", by_place)
    executors = [PathExecutor(loaded, ChoiceTask()) for _ in range(2)]
    monkeypatch.undo()
    assert [executor.tie_threshold for executor in executors] == [TIE_THRESHOLDS[dtype]] * 2
    assert not executors[0].arithmetic.is_invariant
    (line,) = caplog.messages
    assert line.startswith(f"on this cpu a row's {dtype} bits depend on its company (products of ")
    assert "\n" not in line
    shapes = {"32 x 32", "16 x 32", "64 x 32", "32 x 64", f"{tiny.VOCAB_SIZE} x 32"}
    assert all(f"products of {shape}" in line for shape in shapes)
    monkeypatch.setitem(TIE_THRESHOLDS, dtype, 1e9)
    executor, path = PathExecutor(loaded, ChoiceTask()), LayerPath.identity(6)
    expected = evaluate_path(loaded, ChoiceTask(), CAPITAL, path)
    assert executor.evaluate([(CAPITAL, path)]) == [expected]
    assert executor.num_tie_rechecks == 1


def test_a_head_without_it_is_told_of_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def kernel(rows_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
        is_head = len(weight_NK) == tiny.VOCAB_SIZE
        return (by_place if is_head else linear)(rows_MK, weight_NK, bias_N)

    monkeypatch.setattr(products, "linear", kernel)
    found = probe_arithmetic(tiny.tiny_model())
    assert found.reason == f"products of {tiny.VOCAB_SIZE} x 32"
    assert found.call_rows, "the layers have it"
    assert len(caplog.messages) == 1


def test_a_router_without_it_is_told_of_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    num_experts = 12

    def kernel(rows_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
        return (by_place if len(weight_NK) == num_experts else linear)(rows_MK, weight_NK, bias_N)

    monkeypatch.setattr(products, "linear", kernel)
    found = probe_arithmetic(tiny.tiny_model("mixtral", num_local_experts=num_experts))
    assert (found.is_invariant, found.reason) == (False, f"products of {num_experts} x 32")
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("family", ["llama", "mixtral", "olmoe", "qwen2_moe", "qwen3_moe"])
def test_no_product_comes_that_was_not_tried_at_the_start(family: str) -> None:
    loaded = loaded_tiny(family=family)
    executor = PathExecutor(loaded, ChoiceTask())
    tried = set(executor.arithmetic.products.of_shape)
    executor.evaluate([(CAPITAL, LayerPath.identity(6))])
    assert set(executor.arithmetic.products.of_shape) == tried


def test_attention_takes_the_first_shapes_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(query_SHRE: Tensor, *arguments: Tensor) -> Tensor:
        out_SHRE = scores_and_values(query_SHRE, *arguments)  # type: ignore[arg-type]
        return out_SHRE if query_SHRE.shape[2] >= 16 else out_SHRE + query_SHRE.shape[2] * 1e-3

    plain = probe_arithmetic(tiny.tiny_model()).shapes
    monkeypatch.setattr(attention_probe, "scores_and_values", kernel)
    found = probe_arithmetic(tiny.tiny_model())
    assert found.is_invariant
    assert plain.rows == 8
    # Whole prompts have many rows, those that are decoded few.
    assert found.shapes.rows >= 16


def sums_of_192_keys(
    query_SHRE: Tensor,
    key_SGLE: Tensor,
    value_SGLE: Tensor,
    mask_S1RL: Tensor,
    scaling: float,
    *_: object,
) -> Tensor:
    """Attention as a library computes it that halves what is more than 192 and less than 384."""
    repeats = query_SHRE.shape[1] // key_SGLE.shape[1]
    key_SHLE = key_SGLE.repeat_interleave(repeats, dim=1)
    value_SHLE = value_SGLE.repeat_interleave(repeats, dim=1)
    score_SHRL = query_SHRE @ key_SHLE.transpose(2, 3) * scaling + mask_S1RL
    weight_SHRL = score_SHRL.double().softmax(dim=-1).float()
    ends = [0]
    for end in [*range(512, key_SHLE.shape[2], 512), key_SHLE.shape[2]]:
        while (left := end - ends[-1]) > 192:
            ends.append(ends[-1] + (left // 2 if left < 384 else 192))
        ends.append(end)
    out_SHRE = torch.zeros_like(query_SHRE)
    for first, end in pairwise(ends):
        # In float64 one order is as good as another, so that what is left is that of the parts.
        weighed_SHRE = weight_SHRL[..., first:end].double() @ value_SHLE[:, :, first:end].double()
        out_SHRE = out_SHRE + weighed_SHRE.float()
    return out_SHRE


def test_attention_finds_how_many_keys_are_summed_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attention_probe, "scores_and_values", sums_of_192_keys)
    found = probe_arithmetic(tiny.tiny_model())
    assert found.is_invariant
    assert (found.shapes.key_block, found.shapes.key_part) == (512, 192)


def test_attention_without_it_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def kernel(query_SHRE: Tensor, *arguments: Tensor) -> Tensor:
        out_SHRE = scores_and_values(query_SHRE, *arguments)  # type: ignore[arg-type]
        return out_SHRE + len(query_SHRE) * 1e-3  # by the number of segments

    monkeypatch.setattr(attention_probe, "scores_and_values", kernel)
    found = probe_arithmetic(tiny.tiny_model())
    assert (found.is_invariant, found.reason) == (False, "attention")
    assert len(caplog.messages) == 1


def meta(model: PreTrainedModel) -> PreTrainedModel:
    moved: PreTrainedModel = model.to("meta")
    return moved


@pytest.mark.parametrize(
    ("family", "dtype", "layout"),
    [
        ("llama", torch.bfloat16, Layout.PACKED),
        ("mixtral", torch.float16, Layout.PACKED),
        ("llama", torch.float32, Layout.PADDED),
        ("gemma2", torch.bfloat16, Layout.PADDED),
    ],
)
def test_devices_pack_rows_where_there_is_a_kernel(
    family: str, dtype: torch.dtype, layout: Layout
) -> None:
    assert probe_arithmetic(meta(tiny.tiny_model(family).to(dtype))).layout is layout
