"""The process's arithmetic and memory settings, and what it runs on."""

import ctypes

import torch

from search_cluster.machine import describe_cpus, usable_memory_bytes

GPU_STATE_SHARE = 0.5
"""The share of the free device memory for states of path prefixes; the rest is for one call's
activations."""
CPU_STATE_BYTES = 2**30
"""The bytes for states that each worker has, or a tenth of the memory that this process may have,
where that is less."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""The numbers of two parameters of glibc's ``mallopt``."""


def limit_threads(num_threads: int) -> None:
    """Let the calling thread's arithmetic use that many CPU threads. It is cheap and idempotent."""
    if torch.get_num_threads() != num_threads:
        torch.set_num_threads(num_threads)


def keep_freed_memory() -> None:
    """Let this process reuse the memory that it frees instead of handing it back.

    It does nothing without glibc. Fresh pages cost a fault each, which on a virtual machine took up
    to a seventh of the engine's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**25)  # the most that glibc takes; larger pieces are mapped
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def describe_devices() -> str:
    """The devices that torch sees, in one line."""
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return f"{len(names)} GPU: {', '.join(sorted(set(names)))}; {describe_cpus()}"
    num_threads = torch.get_num_threads()
    return f"no GPU; {describe_cpus()}, {num_threads} thread{'s' if num_threads != 1 else ''}"


def default_state_bytes(device: str) -> int:
    """The bytes that an engine on that device may keep of path prefixes."""
    if device.startswith("cuda"):
        free_bytes, _ = torch.cuda.mem_get_info(torch.device(device))
        return int(free_bytes * GPU_STATE_SHARE)
    return min(CPU_STATE_BYTES, usable_memory_bytes() // 10)
