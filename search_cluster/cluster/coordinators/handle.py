"""One coordinator as the driver sees it: its actor, the steps in flight, its workers."""

import math
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.exceptions import RayError

from search_cluster.cluster.coordinators.health import SignsOfLife
from search_cluster.cluster.coordinators.messages import ClosingReport, StepOrder, StepReport
from search_cluster.cluster.worker_handle import ReadyWorker
from search_cluster.protocols.counters import WorkerStats


@dataclass(slots=True, eq=False)
class CoordinatorHandle:
    """One coordinator as the driver sees it."""

    number: int
    """Unique within the run, from 0; a replacement has a number of its own."""
    actor: Any
    replacing: bool
    """Whether it took another one's place."""
    num_starts: int
    """Coordinators that tried to start in this place, this one included."""
    signs: SignsOfLife
    steps: deque[tuple[Any, int]] = field(default_factory=deque)
    """Steps in flight: the reference of the report, and how many examples went with the order."""
    joining: list[tuple[ReadyWorker, float]] = field(default_factory=list)
    """Workers that go with the next order, and since when they wait for it."""
    workers: dict[int, tuple[ReadyWorker, float]] = field(default_factory=dict)
    """Workers that it was given and has not reported lost, and since when, by number."""
    max_workers: int | None = None
    """How many it is to keep; ``None``: all."""
    report: StepReport | None = None
    """The last one, with the last counters of workers that were told."""
    sent_s: float = -math.inf
    """When it was last ordered a step."""
    told_s: float = -math.inf
    """When it last told the counters of its workers."""
    num_new: int = 0
    """Examples that ended between the last two reports."""

    @property
    def node_id(self) -> str:
        """Ray's name of its node; empty as long as it has not reported."""
        return "" if self.report is None else self.report.node_id

    def send(self, order: StepOrder, num_examples: int) -> None:
        """Order a step, which takes the joining workers along."""
        self.joining.clear()
        self.sent_s = time.monotonic()
        self.steps.append((self.actor.step.remote(order), num_examples))

    def take(self) -> StepReport:
        """The report of the oldest step in flight, which is there.

        Raises:
            RayError: the coordinator died, or the step raised (`RayTaskError`).
        """
        ref, _ = self.steps.popleft()
        report: StepReport = ray.get(ref)
        self.num_new = report.num_ended - (self.report.num_ended if self.report else 0)
        if report.stats is not None:
            self.told_s = time.monotonic()
        elif self.report is not None:
            report = replace(report, stats=self.report.stats, load=self.report.load)
        self.report = report
        self.signs.report(with_workers=report.num_workers > 0)
        for number in [
            *(lost.handle.number for lost in report.lost),
            *(idle.number for idle in (*report.let_go, *report.moved)),
        ]:
            self.workers.pop(number, None)
        return report

    def unreported(self, now_s: float) -> list[WorkerStats]:
        """For how long its workers have held their devices beyond what it told.

        Args:
            now_s: of the clock that says since when it has them.
        """
        stats = None if self.report is None else self.report.stats
        told = set() if stats is None else {worker.worker for worker in stats.workers}
        return [
            WorkerStats(
                worker=number,
                node=ready.info.node,
                device=ready.info.device,
                device_held_s=ready.info.device_share
                * (
                    now_s - self.told_s
                    if number in told and since_s < self.told_s
                    else ready.after(now_s - since_s).held_s
                ),
            )
            for number, (ready, since_s) in self.workers.items()
        ]

    def close(self, last: ClosingReport) -> None:
        """Note that it has ended all that it was ordered."""
        self.steps.clear()
        if self.report is not None:
            self.report = replace(self.report, settled=last.settled)


def cause_of_death(error: RayError) -> str:
    """One line: the first of Ray's, or the last one of an error in the actor's constructor."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if "creation task" in lines[0] else lines[0]
