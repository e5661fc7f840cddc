"""Fused norms: only where they compute the same, and without touching the model."""

import pytest
import torch
from support import tiny
from torch import nn

from search_cluster.model.engine.fused_norm import FusedNorm, with_fused_norms

PLAIN_FAMILIES = ("llama", "mistral", "olmo2", "qwen3", "phi3", "mixtral")


def norms_of(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if "Norm" in type(part).__name__]


@pytest.mark.parametrize("family", PLAIN_FAMILIES)
def test_norms_of_plain_families_are_fused(family: str) -> None:
    layer = tiny.tiny_model(family).model.layers[0]
    before = norms_of(layer)
    fused = with_fused_norms(layer)
    assert {type(norm) for norm in norms_of(fused)} == {FusedNorm}
    assert norms_of(layer) == before, "the model itself is not changed"
    assert {norm.weight.data_ptr() for norm in norms_of(fused)} == {
        norm.weight.data_ptr() for norm in before
    }


def test_values_are_the_same_for_all_sizes() -> None:
    layer = tiny.tiny_model().model.layers[0]
    fused = with_fused_norms(layer).input_layernorm
    for scale in (1e-4, 1.0, 1e4):
        hidden = scale * torch.randn(1, 7, 32, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(
            fused(hidden), layer.input_layernorm(hidden), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("family", ["gemma", "gemma2", "gemma3_text"])
def test_norms_with_another_formula_stay(family: str) -> None:
    layer = tiny.tiny_model(family).model.layers[0]
    assert not any(isinstance(norm, FusedNorm) for norm in norms_of(with_fused_norms(layer)))


def test_other_dtypes_stay() -> None:
    layer = tiny.tiny_model().to(torch.bfloat16).model.layers[0]
    assert not any(isinstance(norm, FusedNorm) for norm in norms_of(with_fused_norms(layer)))
