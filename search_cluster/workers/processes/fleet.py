"""The worker processes of a run: one for each device, started again when they are lost."""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from search_cluster.errors import DeviceBrokenError, EvaluatorError, in_one_line
from search_cluster.workers.group.breaks import BreakCount
from search_cluster.workers.group.suspects import Break
from search_cluster.workers.group.worker import Loss, Lost, Ready, WorkerLostError
from search_cluster.workers.messages import (
    WorkerInfo,
    WorkerSpec,
    difference_of,
    require_alike,
)
from search_cluster.workers.processes.process import SentBatch, WorkerProcess, receive_from
from search_cluster.workers.wire import PackedBatch

logger = logging.getLogger(__name__)

MAX_BUILD_FAILURES = 3
"""How often in a row a process may fail to come back before it is given up."""
WAIT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessHandle:
    """A worker in a process of this machine."""

    number: int
    process: WorkerProcess
    place: int
    """Which of the process' workers."""
    generation: int
    """The process that it was in when it was ready."""

    def evaluate(self, batch: PackedBatch) -> SentBatch:
        """Send a batch."""
        return self.process.evaluate(self.place, self.generation, batch)


class ProcessFleet:
    """Implements `search_cluster.workers.group.fleet_pool.Fleet`; used by one thread.

    Args:
        spec: what every worker builds.
        devices: of each process one, by the name of its first device.
        num_workers: at least one for each process; those of one share its model.
        placement_timeout_s: how long a process may take until it is ready, at the start and
            whenever it is started again; then it is killed.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        devices: Sequence[str],
        num_workers: int,
        *,
        placement_timeout_s: float = math.inf,
    ) -> None:
        # Of seven workers in two processes four share a device, and plans are made for four.
        most = -(-num_workers // len(devices))
        spec = replace(spec, workers_per_gpu=most, shares_weights=True)
        self.num_workers = num_workers
        self._placement_timeout_s = placement_timeout_s
        self._processes = [
            WorkerProcess(
                replace(spec, device=device), len(range(place, num_workers, len(devices)))
            )
            for place, device in enumerate(devices)
        ]
        self._breaks = BreakCount()
        self._charged = [0] * len(devices)
        """Of each process the generation whose end was counted as a failure of its device."""
        self._failures = [0] * len(devices)
        """How often in a row a process could not be built."""
        self._given_up: dict[int, str] = {}
        """Processes that are not started again, and why."""
        self._building = set[int]()
        """Processes that are not ready yet."""
        self._awaited = set(range(num_workers))
        """Workers that have left, or were never there."""
        self._doubtful = set[int]()
        """Workers whose device failed."""
        self._counted = set[int]()
        """Workers whose first seconds on their device were handed on."""

    def wait(self) -> WorkerInfo:
        """Wait for all processes.

        Raises:
            DeviceBrokenError: a device is broken.
            EvaluatorError: a process died, or was not ready in time, or devices compute unlike each
                other.
            ModelError: the model can't be loaded (or `TaskError`, and so on: what building a
                worker raises).
        """
        for place in range(len(self._processes)):
            self._start(place)
        while any(process.built is None for process in self._processes):
            receive_from(self._processes, WAIT_S)
            if late := [process for process in self._processes if self._is_late(process)]:
                raise EvaluatorError(
                    f"the worker process on {late[0].spec.device} was not ready after "
                    f"{self._placement_timeout_s:g} s; raise placement_timeout_s in the file of "
                    "--config if loading the model takes longer, else look whether the device "
                    "hangs (nvidia-smi, dmesg)"
                )
        infos = []
        for process in self._processes:
            if isinstance(process.built, WorkerLostError):
                raise EvaluatorError(f"a worker died while it was built: {process.built.cause}")
            if isinstance(process.built, Exception):
                raise process.built
            assert process.built is not None, "all are built"
            infos += process.built
        self._info = require_alike(infos)
        return self._info

    def ready(self) -> list[Ready[ProcessHandle]]:
        """Workers that became ready since the last call, or came back; does not wait.

        One whose verdicts must not be mixed with the others' is reported and left out.
        """
        if self._building:
            receive_from((self._processes[place] for place in self._building), 0.0)
        for place in list(self._building):
            process = self._processes[place]
            if self._is_late(process):
                process.kill(f"it was not ready after {self._placement_timeout_s:g} s")
            built = process.built
            if built is None:
                continue
            self._building.discard(place)
            if isinstance(built, Exception):
                self._retry(place, built)
            elif (difference := difference_of(self._info, built[0])) is not None:
                self._give_up(place, difference)
            else:
                self._failures[place] = 0
        found = []
        for number in sorted(self._awaited):
            place = number % len(self._processes)
            process = self._processes[place]
            if not process.is_over and place not in self._building | self._given_up.keys():
                found.append(self._ready(number, process))
        return found

    def _ready(self, number: int, process: WorkerProcess) -> Ready[ProcessHandle]:
        assert isinstance(process.built, list), "it is ready"
        place = number // len(self._processes)
        is_doubtful = number in self._doubtful
        self._awaited.discard(number)
        self._doubtful.discard(number)
        # Counted once: the group counts what comes after.
        held_s = 0.0 if number in self._counted else time.monotonic() - process.started_s
        self._counted.add(number)
        return Ready(
            handle=ProcessHandle(
                number=number, process=process, place=place, generation=process.generation
            ),
            # A device is to a machine what a node is to a cluster.
            info=replace(process.built[place], node_id=process.spec.device, pid=process.pid),
            held_s=held_s,
            is_doubtful=is_doubtful,
        )

    @property
    def num_awaited(self) -> int:
        """Workers that may become ready yet."""
        lost = self._given_up
        return sum(number % len(self._processes) not in lost for number in self._awaited)

    @property
    def closed_nodes(self) -> frozenset[str]:
        """Devices that are given up."""
        return self._breaks.given_up

    def lost(self, worker: Lost[ProcessHandle]) -> None:
        """Start another process in the place of one that was lost, unless that was done already."""
        number, process = worker.handle.number, worker.handle.process
        place = number % len(self._processes)
        self._awaited.add(number)
        if worker.kind is Loss.DEVICE:
            self._doubtful.add(number)
        if process.is_over and place not in self._building and place not in self._given_up:
            self._start(place)

    def count_break(self, failure: Break) -> None:
        """Note that a device failed and that no request is to blame."""
        for place, process in enumerate(self._processes):
            # All workers of a process end with it, and each of them is told of.
            if process.spec.device != failure.node_id or self._charged[place] == process.generation:
                continue
            self._charged[place] = process.generation
            num_breaks = self._breaks.count(failure.node_id)
            if num_breaks is not None:
                why = f"device {failure.node_id} failed {num_breaks} times, at last: "
                self._give_up(place, why + failure.cause)

    def missing(self) -> str:
        """Which workers are not there, and why, in one line."""
        num_ready = self.num_workers - len(self._awaited)
        causes = "; ".join(dict.fromkeys(self._given_up.values())) or "others are being started"
        return f"{num_ready} of {self.num_workers} workers are ready ({causes})"

    def close(self) -> None:
        """End the processes. Idempotent."""
        for process in self._processes:
            process.close()

    def _is_late(self, process: WorkerProcess) -> bool:
        """Whether a process has not been ready for too long."""
        lasts_s = time.monotonic() - process.started_s
        return process.built is None and lasts_s > self._placement_timeout_s

    def _start(self, place: int) -> None:
        self._building.add(place)
        self._processes[place].start()

    def _retry(self, place: int, error: Exception) -> None:
        process = self._processes[place]
        process.close()
        if isinstance(error, DeviceBrokenError):
            self.count_break(Break(node_id=process.spec.device, cause=in_one_line(error)))
        else:
            self._failures[place] += 1
            if self._failures[place] >= MAX_BUILD_FAILURES:
                self._give_up(place, f"it can't be built again: {in_one_line(error)}")
        if place not in self._given_up:
            self._start(place)

    def _give_up(self, place: int, why: str) -> None:
        if place not in self._given_up:
            self._given_up[place] = why
            self._building.discard(place)
            device = self._processes[place].spec.device
            logger.error("the worker process on %s is not started again: %s", device, why)
