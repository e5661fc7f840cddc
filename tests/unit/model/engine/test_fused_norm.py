"""Fused norms: only where they compute the same, and without touching the model."""

import pytest
import torch
from support import tiny
from torch import nn

from search_cluster.model.engine.fused_norm import (
    MAX_ROUNDED_OTHERWISE,
    FusedNorm,
    ShiftedNorm,
    TwiceRoundedNorm,
    fused,
)

PLAIN_FAMILIES = ("llama", "mistral", "olmo2", "qwen3", "phi3", "mixtral")


def norms_of(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if "Norm" in type(part).__name__]


@pytest.mark.parametrize("family", PLAIN_FAMILIES)
def test_norms_of_plain_families_are_fused(family: str) -> None:
    layer = tiny.tiny_model(family).model.layers[0]
    before = norms_of(layer)
    twins = [fused(norm) for norm in before]
    assert {type(twin) for twin in twins} == {FusedNorm}
    assert norms_of(layer) == before, "the model itself is not changed"
    assert [twin.weight.data_ptr() for twin in twins if twin is not None] == [
        norm.weight.data_ptr() for norm in before
    ]


def test_values_are_the_same_for_all_sizes() -> None:
    norm = tiny.tiny_model().model.layers[0].input_layernorm
    twin = fused(norm)
    assert twin is not None
    for scale in (1e-4, 1.0, 1e4):
        hidden = scale * torch.randn(1, 7, 32, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(twin(hidden), norm(hidden), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", PLAIN_FAMILIES)
def test_16_bit_norms_are_rounded_as_often_as_the_familys(family: str, dtype: torch.dtype) -> None:
    norm = norms_of(tiny.tiny_model(family).to(dtype).model.layers[0])[-1]
    twin = fused(norm)
    assert twin is not None
    # OLMo 2 multiplies by the weight before it rounds.
    assert type(twin) is (FusedNorm if family == "olmo2" else TwiceRoundedNorm)
    hidden = torch.randn(1, 700, 32, generator=torch.Generator().manual_seed(0)).to(dtype)
    apart = (twin(hidden) != norm(hidden)).float().mean()
    assert float(apart) <= MAX_ROUNDED_OTHERWISE


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["gemma", "gemma2", "gemma3_text"])
def test_norms_whose_weights_are_held_less_one_are_fused(family: str, dtype: torch.dtype) -> None:
    for norm in norms_of(tiny.tiny_model(family).to(dtype).model.layers[0]):
        torch.nn.init.uniform_(norm.weight, -0.5, 0.5)
        twin = fused(norm)
        assert type(twin) is ShiftedNorm
        shape = (1, 700, len(norm.weight))
        hidden = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
        if dtype is torch.float32:
            torch.testing.assert_close(twin(hidden), norm(hidden), rtol=1e-5, atol=1e-6)
        else:
            apart = (twin(hidden) != norm(hidden)).float().mean()
            assert float(apart) <= MAX_ROUNDED_OTHERWISE


def test_what_is_no_norm_stays() -> None:
    layer = tiny.tiny_model().model.layers[0]
    assert fused(layer.mlp) is None
    assert fused(layer.mlp.down_proj) is None
    assert fused(nn.LayerNorm(32)) is None, "it subtracts the mean, too"
