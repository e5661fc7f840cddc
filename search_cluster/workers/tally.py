"""Counting what the workers of a pool delivered."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from search_cluster.protocols.counters import (
    UNREAD,
    DeviceReading,
    EngineWork,
    EvaluatorStats,
    WorkerStats,
)
from search_cluster.protocols.messages import EvaluationResult, Failure


@dataclass(slots=True)
class WorkerTally:
    """Counters of one worker."""

    node: str = ""
    device: str = ""
    share: float = 1.0
    """The part of a device that it has; seconds of the device are its seconds times this part."""
    num_evaluated: int = 0
    num_failures: int = 0
    num_layer_tokens: int = 0
    device_busy_s: float = 0.0
    num_restarts: int = 0
    work: EngineWork = field(default_factory=EngineWork)
    reading: DeviceReading = UNREAD
    """Of its last report."""
    held_before_s: float = 0.0
    """Seconds for which the device was held before the stretch that goes on."""
    held_since_s: float | None = None
    """When the stretch began that goes on; ``None``: the device is not held."""


class Tally:
    """Counters of one pool, by worker. A device counts as held from `hold` to `give_back`.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._workers: dict[int, WorkerTally] = {}

    def hold(
        self, worker: int, *, node: str, device: str, share: float = 1.0, held_s: float = 0.0
    ) -> None:
        """A worker has its device, for ``held_s`` already; says where it runs, and on what.

        Args:
            worker: its number.
            node: the machine's name.
            device: the kind of device.
            share: the part of it that the worker has, the same whenever it comes back.
            held_s: for how long.
        """
        tally = self._workers.setdefault(worker, WorkerTally())
        tally.node, tally.device, tally.share = node, device, share
        tally.held_since_s = self._clock() - held_s

    def give_back(self, worker: int) -> None:
        """A worker has no device any more. Idempotent."""
        tally = self._workers[worker]
        if tally.held_since_s is not None:
            tally.held_before_s += self._clock() - tally.held_since_s
            tally.held_since_s = None

    def add(
        self,
        worker: int,
        results: Sequence[EvaluationResult],
        work: EngineWork | None = None,
        reading: DeviceReading = UNREAD,
    ) -> None:
        """Count what a worker delivered, and the work that its engine did for it."""
        tally = self._workers[worker]
        for result in results:
            tally.device_busy_s += result.device_busy_s
            if isinstance(result.outcome, Failure):
                tally.num_failures += 1
            else:
                tally.num_evaluated += 1
                tally.num_layer_tokens += result.outcome.num_layer_tokens
        if work is not None:
            tally.work = tally.work.plus(work)
        if reading != UNREAD:
            tally.reading = reading

    def add_restart(self, worker: int) -> None:
        """Count a worker that died."""
        self._workers[worker].num_restarts += 1

    def stop(self) -> None:
        """All devices are given back. Idempotent."""
        for worker in self._workers:
            self.give_back(worker)

    def stats(self, *, num_in_flight: int = 0) -> EvaluatorStats:
        """The counters as a message; its devices are those that are held now."""
        now_s = self._clock()
        workers = tuple(
            WorkerStats(
                worker=number,
                node=tally.node,
                device=tally.device,
                num_evaluated=tally.num_evaluated,
                num_failures=tally.num_failures,
                device_held_s=tally.share
                * (
                    tally.held_before_s
                    + (0.0 if tally.held_since_s is None else now_s - tally.held_since_s)
                ),
                device_busy_s=tally.share * tally.device_busy_s,
                num_layer_tokens=tally.num_layer_tokens,
                num_restarts=tally.num_restarts,
                work=tally.work,
                reading=tally.reading,
            )
            for number, tally in sorted(self._workers.items())
        )
        shares = (item.share for item in self._workers.values() if item.held_since_s is not None)
        num_held = math.ceil(round(sum(shares), 6))  # a third, three times, is one
        return EvaluatorStats.of_workers(workers, num_devices=num_held, num_in_flight=num_in_flight)
