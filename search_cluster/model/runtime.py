"""The process's arithmetic settings and what it runs on."""

import torch


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
