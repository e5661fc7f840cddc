"""Counting what the workers of an evaluator pool delivered."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from search_cluster.evaluation.messages import EngineWork, EvaluationResult, EvaluatorStats, Failure, WorkerStats


@dataclass(slots=True)
class WorkerTally:
    """Counters of one worker."""

    node: str = ""
    device: str = ""
    num_evaluated: int = 0
    num_failures: int = 0
    num_layer_tokens: int = 0
    device_busy_s: float = 0.0
    num_restarts: int = 0
    work: EngineWork = field(default_factory=EngineWork)


@dataclass(slots=True)
class Tally:
    """Counters of one pool; its devices count as held from `started_s` until `stop`."""

    num_devices: int
    started_s: float = field(default_factory=time.perf_counter)
    stopped_s: float | None = None
    workers: list[WorkerTally] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.workers = [WorkerTally() for _ in range(self.num_devices)]

    def place(self, worker: int, *, node: str, device: str) -> None:
        """Say where a worker runs, and on what."""
        self.workers[worker].node, self.workers[worker].device = node, device

    def add(self, worker: int, results: Sequence[EvaluationResult], work: EngineWork | None = None) -> None:
        """Count what a worker delivered, and the work that its engine did for it."""
        tally = self.workers[worker]
        for result in results:
            tally.device_busy_s += result.device_busy_s
            if isinstance(result.outcome, Failure):
                tally.num_failures += 1
            else:
                tally.num_evaluated += 1
                tally.num_layer_tokens += result.outcome.num_layer_tokens
        if work is not None:
            tally.work = tally.work.plus(work)

    def add_restart(self, worker: int) -> None:
        """Count a worker that died."""
        self.workers[worker].num_restarts += 1

    def stop(self) -> None:
        """The devices are given back. Idempotent."""
        if self.stopped_s is None:
            self.stopped_s = time.perf_counter()

    def stats(self, *, num_in_flight: int = 0) -> EvaluatorStats:
        """The counters as a message."""
        held_s = (time.perf_counter() if self.stopped_s is None else self.stopped_s) - self.started_s
        workers = tuple(
            WorkerStats(
                worker=number,
                node=tally.node,
                device=tally.device,
                num_evaluated=tally.num_evaluated,
                num_failures=tally.num_failures,
                device_held_s=held_s,
                device_busy_s=tally.device_busy_s,
                num_layer_tokens=tally.num_layer_tokens,
                num_restarts=tally.num_restarts,
                work=tally.work,
            )
            for number, tally in enumerate(self.workers)
        )
        work = EngineWork()
        for worker in workers:
            work = work.plus(worker.work)
        return EvaluatorStats(
            num_devices=self.num_devices,
            num_evaluated=sum(worker.num_evaluated for worker in workers),
            num_failures=sum(worker.num_failures for worker in workers),
            device_held_s=held_s * self.num_devices,
            device_busy_s=sum(worker.device_busy_s for worker in workers),
            num_layer_tokens=sum(worker.num_layer_tokens for worker in workers),
            num_worker_restarts=sum(worker.num_restarts for worker in workers),
            num_in_flight=num_in_flight,
            work=work,
            workers=workers,
        )
