"""Which kernels compute: what 16-bit arithmetic depends on beside the numbers that go in.

Two machines with the same line round their sums alike. Float32 has no line: machines differ in the
last of its 24 binary digits, and their verdicts may stand side by side.
"""

import importlib.metadata
import os
import re

import torch

from search_cluster.machine import cpu_features
from search_cluster.model.engine.invariance.head import HEAD_CALL_ROWS

_CPU_FLAGS = re.compile(r"(avx512|amx|avx|sve|bf16|fma|fp16|asimdhp)")
"""How the names of those features begin that kernels for products are chosen by."""
_CPU_LIBRARIES = (
    ("oneDNN", re.compile(r"MKL-DNN v(\S+)")),
    ("MKL", re.compile(r"Math Kernel Library Version (\S+)")),
)
_CPU_SETTINGS = (
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_CBWR",
)
"""The variables by which a user makes these libraries choose other kernels."""
_CUDA_SETTINGS = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUBLASLT_WORKSPACE_SIZE",
    "TORCH_BLAS_PREFER_CUBLASLT",
    "DISABLE_ADDMM_CUDA_LT",
    "PYTORCH_TUNABLEOP_ENABLED",
)
"""The same on a GPU: room for partial sums, another library, kernels chosen by time."""


def kernels_of(device: str, dtype: str) -> str:
    """One line that names device, libraries and settings; empty for float32.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:1``, as torch names devices.
        dtype: the name of the model's dtype.
    """
    if dtype == "float32":
        return ""
    kind = torch.device(device).type
    if kind == "cpu":
        parts = _of_cpu()
    else:
        parts = _of_cuda(device) if kind == "cuda" else [kind]
        parts.append(f"{HEAD_CALL_ROWS} rows of the head")
    return "; ".join([*parts, f"torch {torch.__version__}"])


def _of_cpu() -> list[str]:
    built_with = torch.__config__.show()
    libraries = [
        f"{name} {found[1]}"
        for name, pattern in _CPU_LIBRARIES
        if (found := pattern.search(built_with))
    ]
    settings = [f"{name}={os.environ[name]}" for name in _CPU_SETTINGS if name in os.environ]
    maker, features = cpu_features()
    used = sorted(name for name in features if _CPU_FLAGS.match(name))
    return [
        " ".join(["cpu", torch.backends.cpu.get_cpu_capability(), maker, *used]),
        *libraries,
        *settings,
    ]


def _of_cuda(device: str) -> list[str]:
    major, minor = torch.cuda.get_device_capability(device)
    # Shares of a card (MPS, MIG) leave fewer processors, by which kernels are chosen, too.
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    settings = [f"{name}={os.environ[name]}" for name in _CUDA_SETTINGS if name in os.environ]
    products = torch.backends.cuda.matmul
    reduced = [
        name
        for name, allowed in (
            ("bfloat16", products.allow_bf16_reduced_precision_reduction),
            ("float16", products.allow_fp16_reduced_precision_reduction),
            ("float16 throughout", products.allow_fp16_accumulation),
        )
        if allowed
    ]
    return [
        f"{torch.cuda.get_device_name(device)} ({major}.{minor}), {processors} processors",
        f"CUDA {torch.version.cuda}",
        f"cuBLAS {_cublas_version()}",
        f"cuDNN {torch.backends.cudnn.version()}",  # type: ignore[no-untyped-call]
        f"products by {_blas_library()}",
        f"reduced sums of {' and '.join(reduced) or 'none'}",
        *settings,
    ]


def _blas_library() -> str:
    """What torch multiplies by, where it has more than one library."""
    return str(torch.backends.cuda.preferred_blas_library()).rpartition(".")[2]


def _cublas_version() -> str:
    """The version of the wheel that torch loads it from; without one it is CUDA's own."""
    for name in (f"nvidia-cublas-cu{str(torch.version.cuda).partition('.')[0]}", "nvidia-cublas"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "of CUDA"
