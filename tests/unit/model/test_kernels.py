from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from search_cluster import machine
from search_cluster.model.kernels import kernels_of

CPU_INFO = (
    "processor : 0\nvendor_id : GenuineIntel\nmodel name : x\n"
    "flags : fpu sse2 fma avx2 avx512f avx512_bf16 amx_bf16\n\nprocessor : 1\nvendor_id : Other\n"
)


@pytest.fixture
def cpu_info(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    file = tmp_path / "cpuinfo"
    file.write_text(CPU_INFO)
    monkeypatch.setattr(machine, "CPU_INFO", file)
    return file


def test_float32_has_no_line() -> None:
    assert kernels_of("cpu", "float32") == kernels_of("cuda", "float32") == ""


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_cpu_is_named_by_what_its_kernels_are_chosen_by(cpu_info: Path, dtype: str) -> None:
    capability = torch.backends.cpu.get_cpu_capability()
    line = kernels_of("cpu", dtype)
    assert line.startswith(f"cpu {capability} GenuineIntel amx_bf16 avx2 avx512_bf16 avx512f fma; ")
    assert line.endswith(f"; torch {torch.__version__}")
    assert "sse2" not in line
    assert line == kernels_of("cpu", dtype)


def test_a_cpu_without_a_flag_another_torch_and_a_setting_have_other_lines(
    cpu_info: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [kernels_of("cpu", "bfloat16")]
    cpu_info.write_text(CPU_INFO.replace(" amx_bf16", ""))
    lines.append(kernels_of("cpu", "bfloat16"))
    monkeypatch.setattr(torch, "__version__", "2.14.0")
    lines.append(kernels_of("cpu", "bfloat16"))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    lines.append(kernels_of("cpu", "bfloat16"))
    assert len(set(lines)) == 4


def test_a_machine_that_describes_no_cpu_is_named_by_its_kind(
    cpu_info: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu_info.unlink()
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert " arm64; " in kernels_of("cpu", "bfloat16")


def test_a_gpu_is_named_by_its_kind_libraries_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda device: SimpleNamespace(multi_processor_count=132),
    )
    monkeypatch.setattr(
        torch.backends.cuda, "preferred_blas_library", lambda: "_BlasBackend.Cublas"
    )
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    monkeypatch.setattr(
        "importlib.metadata.version", {"nvidia-cublas-cu12": "12.8.4.1"}.__getitem__
    )
    products = torch.backends.cuda.matmul
    before = products.allow_bf16_reduced_precision_reduction
    lines = []
    try:
        for allowed in (True, False):
            products.allow_bf16_reduced_precision_reduction = allowed
            lines.append(kernels_of("cuda:1", "bfloat16"))
    finally:
        products.allow_bf16_reduced_precision_reduction = before
    assert lines[1] == (
        "NVIDIA H100 (9.0), 132 processors; CUDA 12.8; cuBLAS 12.8.4.1; cuDNN 91002; "
        "products by Cublas; reduced sums of float16; "
        f"128 rows of the head; torch {torch.__version__}"
    )
    assert "reduced sums of bfloat16 and float16" in lines[0]
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    assert "; CUBLAS_WORKSPACE_CONFIG=:4096:8; " in kernels_of("cuda:1", "bfloat16")
