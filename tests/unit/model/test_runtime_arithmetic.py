"""Float32 products have all their digits, whatever the process was told before."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support import tiny

from search_cluster.errors import ModelError
from search_cluster.model.load.loading import load_model
from search_cluster.model.runtime import use_exact_products


@pytest.fixture(autouse=True)
def _exact_again() -> Iterator[None]:
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("setting", ["high", "medium"])
def test_products_of_fewer_digits_are_made_exact_and_told_of(
    setting: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tiny.save_tiny_model(tmp_path / "model")
    torch.set_float32_matmul_precision(setting)
    with caplog.at_level(logging.WARNING):
        load_model(str(folder), device="cpu")
    assert torch.get_float32_matmul_precision() == "highest"
    assert "float32 products were set to " in caplog.text
    caplog.clear()
    use_exact_products("cpu")
    assert not caplog.text


def test_a_variable_that_torch_does_not_see_is_refused_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    use_exact_products("cpu")
    with pytest.raises(ModelError, match=r"NVIDIA_TF32_OVERRIDE is 1, .* unset it"):
        use_exact_products("cuda:0")
