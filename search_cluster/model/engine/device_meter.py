"""What a worker reads off its devices and engines: kind and peak once, the rest now and then.

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
from search_cluster.model.devices.layer_devices import device_names
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.engine.flops import FlopRates, product_flops_per_s
from search_cluster.model.loaded import LoadedModel
from search_cluster.protocols.counters import DeviceReading, EngineWork

logger = logging.getLogger(__name__)

CPU_PRODUCT_ROWS = 256
"""Rows of the product that is timed on a CPU, where more take no longer each."""
PRODUCT_ROUNDS = 3
INTERVAL_S = 1.0
"""Between two readings; asking the driver costs milliseconds."""
MEMORY_PAGES = Path("/proc/self/statm")
"""Where Linux says how many pages this process has: all, then those in memory."""


class DeviceMeter:
    """Reads the device of a worker, or the several that its layers are on.

    Of several, bytes are sums, utilisation is the mean, kind and peak are the first one's. Threads
    may share it: the worst that happens is one reading too many.

    Building it times a product of the model's widths, which takes a moment.

    Args:
        loaded: the model, on the device.
        clock: seconds that only grow.
    """

    def __init__(self, loaded: LoadedModel, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        names = device_names(loaded.device, loaded.num_devices)
        self._devices = [torch.device(name) for name in names]
        self._is_cuda = self._devices[0].type == "cuda"
        self._has_driver = self._is_cuda
        self._name = torch.cuda.get_device_name(self._devices[0]) if self._is_cuda else cpu_name()
        self._rates = FlopRates.of(loaded.model)
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

    def work_of(self, executor: PathExecutor) -> EngineWork:
        """What an engine did so far, cut answers apart."""
        return EngineWork(
            num_layer_runs=executor.counters.layer_runs,
            num_tie_rechecks=executor.num_tie_rechecks,
            num_evictions=executor.store.num_evictions,
            recheck_s=executor.recheck_seconds,
            num_layer_rows=executor.counters.layer_tokens,
            flops=self._rates.flops(executor.counters),
        )

    def work_of_rows(self, num_rows: int) -> EngineWork:
        """What the materialised model did for so many (layer, row) applications."""
        return EngineWork(num_layer_rows=num_rows, flops=num_rows * self._rates.layer_row)

    def _read(self) -> DeviceReading:
        memory_bytes, limit_bytes = _host_memory()
        if self._is_cuda:
            told = [torch.cuda.mem_get_info(device) for device in self._devices]
            limit_bytes = sum(total_bytes for _, total_bytes in told)
            memory_bytes = limit_bytes - sum(free_bytes for free_bytes, _ in told)
        return DeviceReading(
            name=self._name,
            peak_flops_per_s=self._peak,
            memory_bytes=memory_bytes,
            memory_limit_bytes=limit_bytes,
            utilisation=self._utilisation() if self._has_driver else None,
        )

    def _utilisation(self) -> float | None:
        try:
            told = [torch.cuda.utilization(device) for device in self._devices]
            return sum(told) / len(told) / 100.0
        except Exception as error:  # NVML's bindings are optional, and their errors their own
            if is_device_fault(error):
                raise
            self._has_driver = False
            logger.info(
                "%s: its driver's utilisation can't be read (%s: %s); pip install nvidia-ml-py "
                "brings the bindings",
                self._devices[0],
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
