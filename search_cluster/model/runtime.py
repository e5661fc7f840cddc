"""The process's arithmetic settings and what it runs on."""

import os

import torch

GPU_STATE_SHARE = 0.5
"""Of the free device memory, for states of path prefixes; the rest is for one call's activations."""
CPU_STATE_BYTES = 2**30
"""Per worker, or a tenth of the machine's memory where that is less."""


def limit_threads(num_threads: int) -> None:
    """Let the calling thread's arithmetic use that many CPU threads. Cheap; idempotent."""
    if torch.get_num_threads() != num_threads:
        torch.set_num_threads(num_threads)


def describe_devices() -> str:
    """The devices that torch sees, in one line."""
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return f"{len(names)} GPU: {', '.join(sorted(set(names)))}"
    return f"CPU, {torch.get_num_threads()} threads"


def default_state_bytes(device: str) -> int:
    """What an engine on that device may keep of path prefixes."""
    if device.startswith("cuda"):
        free_bytes, _ = torch.cuda.mem_get_info(torch.device(device))
        return int(free_bytes * GPU_STATE_SHARE)
    return min(CPU_STATE_BYTES, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10)
