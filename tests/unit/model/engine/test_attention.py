"""Attention's calls of torch: never a mask with grouped heads where that takes the slow kernel."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from search_cluster.model.engine.calls import attention, capped
from search_cluster.model.engine.calls.attention import scores_and_values

SEGMENTS, HEADS, KEY_HEADS, ROWS, KEYS, WIDTH = 3, 6, 2, 8, 32, 16


class Spy:
    """Takes note of the calls of ``scaled_dot_product_attention``."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, bool, bool]] = []
        """Query heads, key heads, whether they are said to differ, whether there is a mask."""

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, **settings: Any) -> Tensor:
        is_grouped, mask = settings["enable_gqa"], settings["attn_mask"]
        self.calls.append((query.shape[1], key.shape[1], is_grouped, mask is not None))
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, **settings)


def attended(
    device: str, num_key_heads: int, softcap: float | None = None, segments: int = SEGMENTS
) -> Tensor:
    query = torch.randn(segments, HEADS, ROWS, WIDTH, device=device)
    key, value = torch.randn(2, segments, num_key_heads, KEYS, WIDTH, device=device)
    mask = torch.zeros(1, 1, ROWS, KEYS, device=device)
    return scores_and_values(query, key, value, mask, WIDTH**-0.5, softcap, 128)


@pytest.mark.parametrize("num_key_heads", [1, KEY_HEADS, HEADS])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_mask_and_grouped_heads_meet_on_a_cpu_only(
    device: str, num_key_heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy()
    monkeypatch.setattr(attention, "scaled_dot_product_attention", spy)
    assert attended(device, num_key_heads).shape == (SEGMENTS, HEADS, ROWS, WIDTH)
    ((query_heads, key_heads, is_grouped, has_mask),) = spy.calls
    assert has_mask
    assert is_grouped == (key_heads != query_heads)
    if device == "cpu":
        assert key_heads == num_key_heads, "on a CPU nothing is copied"
    else:
        assert not is_grouped


def test_a_soft_cap_changes_little_where_it_is_high() -> None:
    torch.manual_seed(0)
    capped = attended("cpu", KEY_HEADS, softcap=1e4)
    torch.manual_seed(0)
    torch.testing.assert_close(capped, attended("cpu", KEY_HEADS), rtol=1e-5, atol=1e-5)
    torch.manual_seed(0)
    assert not torch.allclose(attended("cpu", KEY_HEADS, softcap=0.1), capped, atol=1e-2)


class Products(TorchDispatchMode):
    """Takes note of how many products run together, and of what shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[torch.Size, torch.Size]] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func.overloadpacket.__name__ == "bmm":
            self.shapes.append((args[0].shape, args[1].shape))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("segments", [1, 2, 10, 11, 32, 33])
def test_off_a_cpu_equally_many_capped_products_run_together(segments: int) -> None:
    with Products() as products:
        out = attended("meta", KEY_HEADS, softcap=5.0, segments=segments)
    assert out.shape == (segments, HEADS, ROWS, WIDTH)
    heads = capped.CAPPED_HEADS
    scores = ((heads, ROWS, WIDTH), (heads, WIDTH, KEYS))
    values = ((heads, ROWS, KEYS), (heads, KEYS, WIDTH))
    assert products.shapes == [scores, values] * -(-segments * HEADS // heads)


@pytest.mark.parametrize("segments", [1, 11])
def test_capped_products_in_equal_calls_are_those_of_one_call(segments: int) -> None:
    torch.manual_seed(0)
    plain = attended("cpu", KEY_HEADS, softcap=0.5, segments=segments)
    torch.manual_seed(0)
    query = torch.randn(segments, HEADS, ROWS, WIDTH)
    key, value = (
        part.repeat_interleave(HEADS // KEY_HEADS, dim=1)
        for part in torch.randn(2, segments, KEY_HEADS, KEYS, WIDTH)
    )
    mask = torch.zeros(segments, 1, ROWS, KEYS)
    out = capped.attend_capped_in_equal_calls(query, key, value, mask, WIDTH**-0.5, 0.5)
    torch.testing.assert_close(out, plain)


@pytest.mark.parametrize("num_keys", [1, 37, 512, 1300])
def test_the_softmax_in_pairs_is_the_softmax_and_masked_keys_change_no_bit(num_keys: int) -> None:
    generator = torch.Generator().manual_seed(num_keys)
    scores = 5 * torch.randn(2, 3, 4, num_keys, generator=generator)
    weights = capped.softmax_in_pairs(scores)
    torch.testing.assert_close(weights, scores.softmax(dim=-1))
    for more in (1, 500, 3000):
        masked = torch.nn.functional.pad(scores, (0, more), value=-torch.inf)
        assert torch.equal(capped.softmax_in_pairs(masked)[..., :num_keys], weights)
