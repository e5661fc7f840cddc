"""The process's settings of arithmetic and memory, and what it runs on."""

import ctypes
import logging
import os
from typing import Any

import torch

from search_cluster.errors import ModelError
from search_cluster.machine import describe_cpus

logger = logging.getLogger(__name__)

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""The numbers of two parameters of glibc's ``mallopt``."""


def limit_threads(num_threads: int) -> None:
    """Let the calling thread's arithmetic use that many CPU threads. It is cheap and idempotent."""
    if torch.get_num_threads() != num_threads:
        torch.set_num_threads(num_threads)


def use_exact_products(device: str) -> None:
    """Let this process multiply float32 numbers with all their digits.

    Containers and programs set TF32 or bfloat16 in their place, which keep ten and seven binary
    digits of 23; verdicts of such a process would stand beside exact ones.

    Raises:
        ModelError: a variable below torch's reach asks for TF32 on a GPU.
    """
    if device.startswith("cuda") and os.environ.get("NVIDIA_TF32_OVERRIDE") == "1":
        raise ModelError(
            "NVIDIA_TF32_OVERRIDE is 1, which rounds float32 products on the GPU whatever torch is "
            "told; unset it, or set it to 0"
        )
    backends: tuple[Any, ...] = (torch.backends.cuda, torch.backends.mkldnn)
    reduced = {backend.matmul.fp32_precision for backend in backends} & {"tf32", "bf16"}
    if reduced:
        logger.warning(
            "float32 products were set to %s; they are exact in this process from now on",
            " and ".join(sorted(reduced)),
        )
    torch.set_float32_matmul_precision("highest")


def keep_freed_memory() -> None:
    """Let this process reuse the memory that it frees instead of handing it back.

    It does nothing without glibc. Fresh pages cost a fault each, which on a virtual machine took up
    to a seventh of the engine's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**25)  # the most that glibc takes; larger pieces are mapped
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def num_visible_gpus() -> int:
    """The GPUs that this process may use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def gpu_names() -> list[str]:
    """What these are called."""
    return [torch.cuda.get_device_name(index) for index in range(num_visible_gpus())]


def describe_devices() -> str:
    """The devices that torch sees, in one line."""
    if names := gpu_names():
        kinds = sorted(
            {
                f"{name} ({torch.cuda.get_device_properties(index).total_memory / 1e9:.0f} GB)"
                for index, name in enumerate(names)
            }
        )
        line = f"{len(names)} GPU: {', '.join(kinds)}; {describe_cpus()}"
        if len(names) == 1:
            return line
        if len(kinds) > 1:
            return f"{line}; layers of one worker go on alike GPUs only (--devices-per-worker)"
        return (
            f"{line}; a worker may have up to {len(names)} of them, for a model larger than one "
            f"(--devices-per-worker {len(names)})"
        )
    num_threads = torch.get_num_threads()
    return f"no GPU; {describe_cpus()}, {num_threads} thread{'s' if num_threads != 1 else ''}"


def wait_for_device(device: torch.device) -> None:
    """Wait until a device has done what it was given, so that a clock tells the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
