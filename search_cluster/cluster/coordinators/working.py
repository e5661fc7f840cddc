"""The coordinators that work: their handles, and how workers and examples are shared out."""

import heapq
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from search_cluster.cluster.coordinators.actor import CoordinatorActor
from search_cluster.cluster.coordinators.example_leases import ExampleLeases
from search_cluster.cluster.coordinators.handle import CoordinatorHandle
from search_cluster.cluster.coordinators.health import SignsOfLife
from search_cluster.cluster.coordinators.messages import (
    ClosingReport,
    Lease,
    StepOrder,
    StepReport,
)
from search_cluster.cluster.coordinators.partition import PartitionFactory
from search_cluster.cluster.coordinators.settings import CoordinatorSettings
from search_cluster.cluster.coordinators.staffing import CoordinatorLoad, Staffing, fair_share
from search_cluster.cluster.fleet_actors import other_nodes
from search_cluster.cluster.nodes import num_alive_outside
from search_cluster.cluster.worker_handle import ReadyWorker, WorkerHandle
from search_cluster.corpus.encoded_shard import EncodedShard
from search_cluster.corpus.record import PathVerdict
from search_cluster.errors import in_one_line
from search_cluster.workers.batch_size import BATCHES_PER_WORKER, MIN_REQUESTS

logger = logging.getLogger(__name__)

STEP_S, MAX_STEP_S = 0.25, 2.0
"""How long a step of a coordinator lasts at most: one of a few, and one of very many."""
REPORTS_PER_S = 64
"""Steps of many coordinators are longer, so that no more of them end: what reports cost the driver
grows with their number, and little with what is in them."""
STEPS_IN_FLIGHT = 2
"""Steps of one coordinator that were ordered and not reported: the next one waits there, so that it
follows at once."""
IDLE_STEP_S = 2.0
"""Seconds between two steps of a coordinator that has workers and no example."""
REPEAT_S = 60.0
"""Seconds between two equal warnings: all coordinators say when the cache server is lost."""
CLOSE_S = 10.0
"""Seconds that coordinators have to write what waits, at the end."""


class WorkingCoordinators:
    """Starts coordinators, gives them work, and ends them.

    Args:
        factory: builds what a coordinator hosts.
        leases: the run's examples; owned by the group.
        known: verdicts of earlier invocations, by the ids of the examples that they wrote.
        settings: what coordinators are told of workers.
    """

    def __init__(
        self,
        factory: PartitionFactory,
        leases: ExampleLeases,
        known: Mapping[str, Sequence[PathVerdict]],
        settings: CoordinatorSettings,
    ) -> None:
        self._factory = factory
        self._leases = leases
        self._known = known
        self._settings = settings
        self._handles: dict[int, CoordinatorHandle] = {}
        """By number."""
        self.next_number = 0
        """Of the coordinator that is started next."""
        self.closed_nodes = frozenset[str]()
        """Nodes that get no more work, and no coordinators if there are others."""
        self._staffing = Staffing()
        self._has_grown = False
        """Whether there are more than at the start, so that workers may have to move."""
        self._moving: set[int] = set()
        """Workers that one coordinator let go and another one is about to get."""
        self._has_ended = False
        self._said: dict[str, float] = {}
        """Warnings of coordinators, and when they were last passed on."""

    def __len__(self) -> int:
        return len(self._handles)

    def __iter__(self) -> Iterator[CoordinatorHandle]:
        # A copy: the group replaces coordinators while it looks at all of them.
        return iter(list(self._handles.values()))

    def __contains__(self, coordinator: CoordinatorHandle) -> bool:
        return coordinator.number in self._handles

    @property
    def _step_s(self) -> float:
        return min(MAX_STEP_S, max(STEP_S, len(self._handles) / REPORTS_PER_S))

    @property
    def reports(self) -> list[StepReport]:
        """The last report of each coordinator that has reported."""
        return [other.report for other in self._handles.values() if other.report is not None]

    @property
    def loads(self) -> dict[int, CoordinatorLoad]:
        """What those with workers last said of their load, by number."""
        return {
            other.number: other.report.load
            for other in self._handles.values()
            if other.report is not None and other.report.load is not None and other.workers
        }

    def hire(self, *, replacing: bool, num_starts: int = 1) -> None:
        """Start a coordinator; whether it works is seen when it reports.

        Args:
            replacing: whether it takes the place of one that did this work before.
            num_starts: as `CoordinatorHandle` has it.
        """
        avoid = self.closed_nodes
        if avoid and not num_alive_outside(avoid):
            avoid = frozenset()
        actor_class = ray.remote(CoordinatorActor).options(
            num_cpus=0, max_restarts=0, scheduling_strategy="SPREAD",
            label_selector=other_nodes(avoid), enable_task_events=False,
        )  # fmt: skip
        coordinator = CoordinatorHandle(
            number=self.next_number,
            actor=actor_class.remote(
                self._factory,
                self._settings.requests_per_batch,
                self._settings.worker_timeout_s,
                replacing=replacing,
            ),
            replacing=replacing,
            num_starts=num_starts,
            signs=SignsOfLife(alone_since_s=time.monotonic()),
        )
        self._handles[coordinator.number] = coordinator
        self.next_number += 1
        # Without examples: one that can't even start must not be taken for an example's victim.
        self._send(coordinator, ())

    def assign(self, workers: Iterable[ReadyWorker]) -> None:
        """Give each worker to the coordinator with the fewest."""
        now_s = time.monotonic()
        fewest = [(len(other.workers), other.number, other) for other in self]
        heapq.heapify(fewest)
        for ready in workers:
            num_workers, number, coordinator = fewest[0]
            self._moving.discard(ready.handle.number)
            coordinator.workers[ready.handle.number] = (ready, now_s)
            coordinator.joining.append((ready, now_s))
            heapq.heapreplace(fewest, (num_workers + 1, number, coordinator))

    def note_moving(self, workers: Iterable[WorkerHandle]) -> None:
        """Note that a coordinator let workers go, which are about to be ready for another one."""
        self._moving.update(worker.number for worker in workers)

    def give_company(self, room: Callable[[], int]) -> None:
        """Add a coordinator for each that is full while its workers wait, which takes some of them.

        Args:
            room: tells how many coordinators there may be; asked when it makes a difference.
        """
        full = self._staffing.look(self.loads)
        for number in full[: max(0, room() - len(self._handles))] if full else ():
            logger.info("coordinator %d is full while its workers wait: one more starts", number)
            self.hire(replacing=True)
            self._has_grown = True
        if self._has_grown:
            self._spread()

    def _spread(self) -> None:
        """Let those with more workers than their share give idle ones to the others."""
        # Whoever has not started would only keep workers waiting.
        started = [other for other in self._handles.values() if other.report is not None]
        if not started:
            return
        share = fair_share([len(other.workers) for other in started], len(self._moving))
        for coordinator in started:
            coordinator.max_workers = share

    def order_steps(self) -> dict[Any, CoordinatorHandle]:
        """Order steps of all that have something to do; who reports, by the references awaited."""
        num_workers = sum(len(coordinator.workers) for coordinator in self)
        for coordinator in self:
            # The first report says that it has started: only then it is trusted with examples.
            if not coordinator.workers or coordinator.report is None:
                continue
            share = len(coordinator.workers) / num_workers
            while len(coordinator.steps) < STEPS_IN_FLIGHT:
                examples = self._lease(coordinator, coordinator.report, share)
                if not (self._leases.num_held(coordinator.number) or self._is_to_look(coordinator)):
                    break
                self._send(coordinator, examples)
        return {ref: coordinator for coordinator in self for ref, _ in coordinator.steps}

    @staticmethod
    def _is_to_look(coordinator: CoordinatorHandle) -> bool:
        """Whether one without examples is due to let workers go, and to tell of the others."""
        return not coordinator.steps and time.monotonic() - coordinator.sent_s >= IDLE_STEP_S

    def _lease(
        self, coordinator: CoordinatorHandle, report: StepReport, share: float
    ) -> list[Lease]:
        """Examples for a coordinator's next step; ``share``: its part of all workers."""
        num_wanted = self._num_wanted(coordinator, report)
        return [
            Lease(
                example=example,
                known=tuple(self._known.get(example.example_id, ())),
                is_written=example.example_id in self._known,
            )
            for example in self._leases.take(coordinator.number, num_wanted, share)
        ]

    def _num_wanted(self, coordinator: CoordinatorHandle, report: StepReport) -> int:
        """Examples that it could use beyond those that are on their way to it."""
        num_on_the_way = sum(num_examples for _, num_examples in coordinator.steps)
        size = self._settings.requests_per_batch or MIN_REQUESTS
        to_join = BATCHES_PER_WORKER * size * len(coordinator.joining)
        at_least = 0 if self._leases.num_held(coordinator.number) else 1
        return max(report.num_wanted + to_join, at_least) - num_on_the_way

    def _send(self, coordinator: CoordinatorHandle, leases: Sequence[Lease]) -> None:
        now_s = time.monotonic()
        order = StepOrder(
            workers=tuple(ready.after(now_s - since_s) for ready, since_s in coordinator.joining),
            leases=tuple(leases),
            more=self._leases.num_waiting > 0,
            may_hold=self._leases.has_company(coordinator.number),
            duration_s=self._step_s,
            idle_s=self._settings.idle_s,
            max_workers=coordinator.max_workers,
            closed_nodes=self.closed_nodes,
        )
        coordinator.send(order, len(leases))

    def kill(self, coordinator: CoordinatorHandle) -> None:
        """End a coordinator at once."""
        ray.kill(coordinator.actor)
        del self._handles[coordinator.number]

    def close(
        self, coordinators: Iterable[CoordinatorHandle]
    ) -> list[tuple[CoordinatorHandle, EncodedShard]]:
        """Let coordinators write what waits and give their claims back, and wait for it a while.

        Returns:
            What they found and had not handed over, and who found it.
        """
        closing = {coordinator.actor.close.remote(): coordinator for coordinator in coordinators}
        if not closing:
            return []
        shards = []
        for ref in ray.wait(list(closing), num_returns=len(closing), timeout=CLOSE_S)[0]:
            coordinator = closing[ref]
            try:
                last: ClosingReport = ray.get(ref)
                # Steps that it was ordered before have ended before.
                reports: list[StepReport] = ray.get([step for step, _ in coordinator.steps])
            except RayError as error:
                logger.warning(
                    "a coordinator did not end well (%s); nothing found is lost", in_one_line(error)
                )
            else:
                self.say(last.messages)
                coordinator.close(last)
                found = [*(report.finished.shard for report in reports), last.shard]
                shards += [(coordinator, shard) for shard in found if shard is not None]
        return shards

    def end(self) -> list[EncodedShard]:
        """Close all, and kill them; what they said last stays. Idempotent.

        Returns:
            What they found and had not handed over.
        """
        if self._has_ended:
            return []
        self._has_ended = True
        try:
            return [shard for _, shard in self.close(self)]
        finally:
            for coordinator in self:
                ray.kill(coordinator.actor)

    def say(self, messages: Iterable[str]) -> None:
        """Pass on what coordinators warn of; what several say at a time, once."""
        now_s = time.monotonic()
        for text in messages:
            if now_s - self._said.get(text, -math.inf) > REPEAT_S:
                self._said[text] = now_s
                logger.warning("%s", text)
