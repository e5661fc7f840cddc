"""What a broken device says, and a product that it has to get right."""

import pytest
import torch

from search_cluster.errors import DeviceBrokenError, ModelError
from search_cluster.model.device_health import (
    is_device_fault,
    naming_device_faults,
    require_sound_device,
)


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA`",
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA driver error: unknown error",
        "HIP error: unspecified launch failure",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
        "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus",
        "No CUDA GPUs are available, CUDA-capable device(s) is/are busy or unavailable",
    ],
)
def test_errors_of_a_broken_device(text: str) -> None:
    assert is_device_fault(RuntimeError(text))
    wrapped = ModelError("it can't be loaded")
    wrapped.__cause__ = RuntimeError(text)
    assert is_device_fault(wrapped)
    with (
        pytest.raises(DeviceBrokenError, match="device cuda is broken: "),
        naming_device_faults("cuda"),
    ):
        raise RuntimeError(text)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB"),
        RuntimeError("CUDA error: out of memory"),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("no answer about oxidation of maxids"),
        ValueError("CUDA error: said by a text that a grader read"),
        None,
    ],
)
def test_errors_of_others(error: Exception | None) -> None:
    assert not is_device_fault(error)
    if error is not None:
        with pytest.raises(type(error)), naming_device_faults("cuda"):
            raise error


def test_an_accelerator_s_error_is_one_whatever_it_says() -> None:
    assert is_device_fault(torch.AcceleratorError("something new"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_sound_device_passes(dtype: str) -> None:
    require_sound_device("cpu", dtype)


def test_a_device_that_computes_wrong_or_not_at_all_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = torch.Tensor.__matmul__

    def wrong(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        product = times(one, other)
        if product.is_floating_point():
            product[7, 9] += 1
        return product

    monkeypatch.setattr(torch.Tensor, "__matmul__", wrong)
    with pytest.raises(DeviceBrokenError, match="wrong in 1 of 65536 places"):
        require_sound_device("cpu", "float32")

    def fail(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("CUDA error: misaligned address")

    monkeypatch.setattr(torch.Tensor, "__matmul__", fail)
    with pytest.raises(DeviceBrokenError, match="small product: CUDA error: misaligned address"):
        require_sound_device("cpu", "bfloat16")


def test_lack_of_memory_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.Tensor, "__matmul__", fail)
    require_sound_device("cpu", "float32")
