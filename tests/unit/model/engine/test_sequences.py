"""Where the kernel for sequences runs, and that a window never changes which kernel it is."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import tiny
from support.sequences import flash_varlen_attn, plain_varlen_attn
from torch import Tensor

from search_cluster.model.engine.calls import sequences
from search_cluster.model.engine.calls.call_plan import Layout, Shapes
from search_cluster.model.engine.calls.sequences import attend_to_sequences, has_sequence_kernel
from search_cluster.model.engine.invariance import arithmetic, attention_probe
from search_cluster.model.engine.invariance.arithmetic import untried_arithmetic
from search_cluster.model.engine.invariance.attention_probe import AttentionKind, attention_shapes

CARD = torch.device("cuda", 0)
CAPABILITIES = {0: (9, 0), 1: (8, 0), 2: (7, 5), 3: (7, 0)}
"""Of cards by number: an H100, an A100, a T4, a V100."""


@pytest.fixture(autouse=True)
def cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with several cards."""
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device: CAPABILITIES[device.index]
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", [8, 64, 80, 128, 256])
def test_cards_from_ampere_on_have_the_kernel(dtype: torch.dtype, width: int) -> None:
    has = [has_sequence_kernel(torch.device("cuda", number), dtype, width) for number in range(4)]
    assert has == [True, True, False, False]


@pytest.mark.parametrize("width", [4, 100, 264, 512])
def test_the_kernel_takes_multiples_of_8_up_to_256(width: int) -> None:
    assert not has_sequence_kernel(CARD, torch.bfloat16, width)


@pytest.mark.parametrize("device", ["cpu", "mps", "xpu"])
def test_other_devices_have_no_such_kernel(device: str) -> None:
    assert not has_sequence_kernel(torch.device(device), torch.bfloat16, 64)


def test_float32_and_amd_and_builds_without_it_have_no_such_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not has_sequence_kernel(CARD, torch.float32, 64)
    with monkeypatch.context() as patch:
        patch.setattr(torch.version, "hip", "7.0")
        assert not has_sequence_kernel(CARD, torch.bfloat16, 64)
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: False)
    assert not has_sequence_kernel(CARD, torch.bfloat16, 64)


def without_splits(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
) -> Tensor:
    """The function as torch 2.11 has it."""
    raise AssertionError("it is not asked")


@pytest.mark.parametrize("function", [None, without_splits])
def test_a_torch_that_can_not_be_told_one_split_has_no_such_kernel(
    function: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequences, "varlen_attn", function)
    assert not has_sequence_kernel(CARD, torch.bfloat16, 64)


@pytest.mark.parametrize(
    ("numbers", "layout"),
    [((0,), Layout.PACKED), ((2,), Layout.PADDED), ((1, 2), Layout.PADDED)],
)
def test_a_model_is_packed_where_all_its_cards_have_the_kernel(
    numbers: tuple[int, ...], layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    distinct = tuple(torch.device("cuda", number) for number in numbers)
    monkeypatch.setattr(arithmetic, "devices_of", lambda model: SimpleNamespace(distinct=distinct))
    assert untried_arithmetic(tiny.tiny_model().to(torch.bfloat16)).layout is layout


@pytest.mark.parametrize(("window", "num_keys"), [(5, 4), (5, 5), (5, 6), (5, 9), (None, 4)])
def test_a_window_is_never_longer_than_what_is_said_of_the_keys(
    window: int | None, num_keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[int, tuple[int, int]]] = []

    def spy(*arguments: Any, **settings: Any) -> Tensor:
        said.append((arguments[6], settings["window_size"]))
        return plain_varlen_attn(*arguments, **settings)

    monkeypatch.setattr(sequences, "varlen_attn", spy)
    parts = [torch.randn(num_keys, 2, 8) for _ in range(3)]
    ends = torch.tensor([0, num_keys], dtype=torch.int32)
    out = attend_to_sequences(
        parts[0], parts[1], parts[2], ends, ends, (num_keys, num_keys), window=window, scaling=1.0
    )
    assert out.isfinite().all()
    ((max_keys, (before, behind)),) = said
    assert behind == 0
    if window is None:
        assert (max_keys, before) == (num_keys, -1)
    else:
        assert before == window - 1
        # FlashAttention 2 drops a window of `max_keys`, 3 one of `max_keys - 1`.
        assert before < max_keys - 1
        assert max_keys >= num_keys


@pytest.mark.parametrize("window", [None, 256])
def test_short_and_long_sequences_with_a_window_are_one_kernel(
    window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequences, "varlen_attn", flash_varlen_attn)
    kind = AttentionKind(1, 2, 8, None, torch.device("cpu"), torch.float32, window)
    tried = attention_probe.shapes_found.__wrapped__
    assert tried(kind, Layout.PACKED, 1) is not None


def test_a_kernel_that_differs_with_a_window_only_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def kernel(*arguments: Any, **settings: Any) -> Tensor:
        by_longest = arguments[6] * 1e-3 * (settings["window_size"][0] >= 0)
        return plain_varlen_attn(*arguments, **settings) + by_longest

    monkeypatch.setattr(sequences, "varlen_attn", kernel)
    tried = attention_probe.shapes_found.__wrapped__
    found = [
        tried(
            AttentionKind(1, 2, 8, None, torch.device("cpu"), torch.float32, window),
            Layout.PACKED,
            1,
        )
        for window in (None, 256)
    ]
    assert [shapes is not None for shapes in found] == [True, False]


@pytest.mark.parametrize(
    ("family", "windows"),
    [("llama", {None}), ("mistral", {5}), ("gemma3_text", {5, None}), ("qwen3", {5, None})],
)
def test_attention_is_tried_with_each_window_of_a_model(
    family: str, windows: set[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int | None] = []

    def found(kind: AttentionKind, layout: Layout, num_threads: int) -> Shapes:
        tried.append(kind.window)
        return attention_probe.USUAL_SHAPES

    monkeypatch.setattr(attention_probe, "shapes_found", found)
    model = tiny.tiny_model(family)
    assert attention_shapes(model, Layout.PACKED, [model.device]) == attention_probe.USUAL_SHAPES
    assert set(tried) == windows
    tried.clear()
    attention_shapes(model, Layout.PADDED, [model.device])
    assert tried == [None]
