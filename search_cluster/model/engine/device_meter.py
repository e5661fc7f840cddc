"""What a worker reads off its device: its kind and peak once, memory and utilisation now and then.

Nothing of it is needed for a verdict, so what can't be read is left out, and said once.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch

from search_cluster.errors import in_one_line
from search_cluster.machine import cpu_name, usable_memory_bytes
from search_cluster.model.device_health import is_device_fault
from search_cluster.model.engine.flops import product_flops_per_s
from search_cluster.model.loaded import LoadedModel
from search_cluster.protocols.counters import DeviceReading

logger = logging.getLogger(__name__)

CPU_PRODUCT_ROWS = 256
"""Rows of the product that is timed on a CPU, where more take no longer each."""
PRODUCT_ROUNDS = 3
INTERVAL_S = 1.0
"""Between two readings; asking the driver costs milliseconds."""
MEMORY_PAGES = Path("/proc/self/statm")
"""Where Linux says how many pages this process has: all, then those in memory."""


class DeviceMeter:
    """Reads one device. Threads may share it: the worst that happens is one reading too many.

    Building it times a product of the model's widths, which takes a moment.

    Args:
        loaded: the model, on the device.
        clock: seconds that only grow.
    """

    def __init__(self, loaded: LoadedModel, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._device = torch.device(loaded.device)
        self._is_cuda = self._device.type == "cuda"
        self._has_driver = self._is_cuda
        self._name = torch.cuda.get_device_name(self._device) if self._is_cuda else cpu_name()
        rows = {} if self._is_cuda else {"num_rows": CPU_PRODUCT_ROWS}
        self._peak = product_flops_per_s(loaded.model, rounds=PRODUCT_ROUNDS, **rows)
        self._reading = self._read()
        self._read_s = clock()

    def reading(self) -> DeviceReading:
        """What the device says; at most `INTERVAL_S` old."""
        if self._clock() - self._read_s >= INTERVAL_S:
            self._read_s = self._clock()
            self._reading = self._read()
        return self._reading

    def _read(self) -> DeviceReading:
        memory_bytes, limit_bytes = _host_memory()
        if self._is_cuda:
            free_bytes, limit_bytes = torch.cuda.mem_get_info(self._device)
            memory_bytes = limit_bytes - free_bytes
        return DeviceReading(
            name=self._name,
            peak_flops_per_s=self._peak,
            memory_bytes=memory_bytes,
            memory_limit_bytes=limit_bytes,
            utilisation=self._utilisation() if self._has_driver else None,
        )

    def _utilisation(self) -> float | None:
        try:
            return torch.cuda.utilization(self._device) / 100.0
        except Exception as error:  # NVML's bindings are optional, and their errors their own
            if is_device_fault(error):
                raise
            self._has_driver = False
            logger.info(
                "%s: its driver's utilisation can't be read (%s: %s); pip install nvidia-ml-py "
                "brings the bindings",
                self._device,
                type(error).__name__,
                in_one_line(error),
            )
            return None


def _host_memory() -> tuple[int, int]:
    """Memory of this process, 0 where the system does not say, and what it may have."""
    try:
        num_pages = int(MEMORY_PAGES.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        num_pages = 0
    return num_pages * os.sysconf("SC_PAGE_SIZE"), usable_memory_bytes()
