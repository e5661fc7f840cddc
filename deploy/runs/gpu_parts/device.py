"""What the device does while something runs: seconds, launches, copies, waits; what it could do.

On a CPU nothing is launched and nothing waits; only time and torch operations can be told there.
"""

import statistics
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch._C._autograd import DeviceType
from torch.utils._python_dispatch import TorchDispatchMode

Action = Callable[[], object]
CPU_REASON = "a CPU launches no kernels and copies nothing to a device; this needs CUDA"
_SYNC_WARNING = "called a synchronizing CUDA operation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one run of an action asked of the device; ``None``: not to be told on this device."""

    operations: int | None = None
    """Calls of torch's own operations (on the CPU only, where nothing else can be counted)."""
    launches: int | None = None
    """Kernels that ran."""
    kernels: tuple[str, ...] | None = None
    """Their names."""
    copies_in: int | None = None
    """Copies from the host."""
    syncs: int | None = None
    """Calls that waited for the device."""
    device_s: float | None = None
    """Seconds in kernels."""


def is_cuda(device: str) -> bool:
    """Whether it is a GPU of this build of torch."""
    return device.startswith("cuda")


def wait_for(device: str) -> None:
    """Return when the device has done all it was given."""
    if is_cuda(device):
        torch.cuda.synchronize(device)


def seconds_of(action: Action, device: str) -> float:
    """Wall-clock seconds until the device is done with what an action gives it."""
    wait_for(device)
    started_s = time.perf_counter()
    action()
    wait_for(device)
    return time.perf_counter() - started_s


def median_seconds(action: Action, device: str, rounds: int) -> float:
    """The median over some rounds, after one that does not count."""
    action()
    return statistics.median(seconds_of(action, device) for _ in range(rounds))


def work_of(action: Action, device: str) -> Work:
    """What an action asks of the device; it runs twice on a GPU, once on a CPU."""
    if not is_cuda(device):
        with _OperationCount() as count:
            action()
        return Work(operations=count.total)
    with counted_syncs() as syncs:
        action()
    wait_for(device)
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        action()
        wait_for(device)
    on_device = [
        event
        for event in profile.events() or ()
        if event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False)
    ]
    kernels = [event for event in on_device if not event.name.startswith(("Memcpy", "Memset"))]
    return Work(
        launches=len(kernels),
        kernels=tuple(event.name for event in kernels),
        copies_in=sum(event.name.startswith("Memcpy HtoD") for event in on_device),
        syncs=len(syncs),
        device_s=sum(event.time_range.elapsed_us() for event in kernels) / 1e6,
    )


def work_that_is_seen(device: str) -> Work:
    """What `work_of` tells of a sum that is read: two launches at least, and a wait.

    Where it tells less, such as without the rights that the profiler needs, what it says of other
    actions means nothing.
    """
    ones = torch.ones(8, device=device)
    return work_of(lambda: (ones + 1).sum().item(), device)


@contextmanager
def counted_syncs() -> Iterator[list[str]]:
    """Everything that waits for the device inside, as torch's warnings about it."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")
    found += [str(item.message) for item in caught if _SYNC_WARNING in str(item.message)]


class _OperationCount(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the calls of torch's own operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        self.total += 1
        return func(*args, **(kwargs or {}))


def product_flops_per_s(width: int, device: str, dtype: torch.dtype = torch.bfloat16) -> float:
    """What a square product of that width reaches, the median of ten."""
    one, other = (torch.randn(width, width, device=device, dtype=dtype) for _ in range(2))
    return 2.0 * width**3 / median_seconds(lambda: one @ other, device, 10)


def asked_of_nvidia_smi(*fields: str) -> dict[str, str] | None:
    """What the driver's tool says of the first card; ``None`` if there is no such tool."""
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.splitlines()
    values = [value.strip() for value in lines[0].split(",")] if lines else []
    return dict(zip(fields, values, strict=False))
