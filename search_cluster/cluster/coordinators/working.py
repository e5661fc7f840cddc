"""The coordinators that work: their handles, and how workers and examples are shared out."""

import logging
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from search_cluster.cluster.coordinators.actor import CoordinatorActor
from search_cluster.cluster.coordinators.example_leases import ExampleLeases
from search_cluster.cluster.coordinators.health import SignsOfLife
from search_cluster.cluster.coordinators.messages import Lease, StepOrder, StepReport
from search_cluster.cluster.coordinators.partition import PartitionFactory
from search_cluster.cluster.coordinators.settings import CoordinatorSettings
from search_cluster.cluster.worker_handle import ReadyWorker, WorkerHandle
from search_cluster.corpus.record import PathVerdict
from search_cluster.errors import in_one_line
from search_cluster.workers.batch_size import BATCHES_PER_WORKER, MIN_REQUESTS

logger = logging.getLogger(__name__)

STEP_S = 0.25
"""How long a step of a coordinator lasts at most."""
STEPS_IN_FLIGHT = 2
"""Steps of one coordinator that were ordered and not reported: the next one waits there, so that it
follows at once."""
REPEAT_S = 60.0
"""Seconds between two equal warnings: all coordinators say when the cache server is lost."""
CLOSE_S = 10.0
"""Seconds that coordinators have to write what waits, at the end."""


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
    workers: dict[int, WorkerHandle] = field(default_factory=dict)
    """Workers that it was given and has not reported lost, by number."""
    report: StepReport | None = None
    """The last one."""

    def send(self, order: StepOrder, num_examples: int) -> None:
        """Order a step, which takes the joining workers along."""
        self.joining.clear()
        self.steps.append((self.actor.step.remote(order), num_examples))

    def take(self) -> StepReport:
        """The report of the oldest step in flight, which is there.

        Raises:
            RayError: the coordinator died, or the step raised (`RayTaskError`).
        """
        ref, _ = self.steps.popleft()
        report: StepReport = ray.get(ref)
        self.report = report
        self.signs.report(with_workers=report.num_workers > 0)
        for number in [
            *(lost.handle.number for lost in report.lost),
            *(idle.number for idle in report.let_go),
        ]:
            self.workers.pop(number, None)
        return report


class WorkingCoordinators:
    """Starts coordinators, gives them work, and ends them.

    Args:
        factory: builds what a coordinator hosts.
        leases: the run's examples; owned by the group.
        known: verdicts of earlier invocations, by example id.
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
        self._handles: list[CoordinatorHandle] = []
        self._next_number = 0
        self._said: dict[str, float] = {}
        """Warnings of coordinators, and when they were last passed on."""

    def __len__(self) -> int:
        return len(self._handles)

    def __iter__(self) -> Iterator[CoordinatorHandle]:
        # A copy: the group replaces coordinators while it looks at all of them.
        return iter(list(self._handles))

    def __contains__(self, coordinator: CoordinatorHandle) -> bool:
        return coordinator in self._handles

    @property
    def reports(self) -> list[StepReport]:
        """The last report of each coordinator that has reported."""
        return [other.report for other in self._handles if other.report is not None]

    def hire(self, *, replacing: bool, num_starts: int = 1) -> None:
        """Start a coordinator; whether it works is seen when it reports.

        Args:
            replacing: whether it takes the place of one that did this work before.
            num_starts: as `CoordinatorHandle` has it.
        """
        actor_class = ray.remote(CoordinatorActor).options(
            num_cpus=0, max_restarts=0, scheduling_strategy="SPREAD", enable_task_events=False
        )
        coordinator = CoordinatorHandle(
            number=self._next_number,
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
        self._handles.append(coordinator)
        self._next_number += 1
        # Without examples: one that can't even start must not be taken for an example's victim.
        self._send(coordinator, ())

    def assign(self, ready: ReadyWorker) -> None:
        """Give a worker to the coordinator with the fewest."""
        coordinator = min(self._handles, key=lambda other: len(other.workers))
        coordinator.workers[ready.handle.number] = ready.handle
        coordinator.joining.append((ready, time.monotonic()))

    def order_steps(self, closed_nodes: frozenset[str]) -> dict[Any, CoordinatorHandle]:
        """Order steps of all that have something to do; who reports, by the references awaited.

        Args:
            closed_nodes: nodes whose workers get no more work.
        """
        for coordinator in self._handles:
            while len(coordinator.steps) < STEPS_IN_FLIGHT and self._order(
                coordinator, closed_nodes
            ):
                pass
        return {ref: coordinator for coordinator in self._handles for ref, _ in coordinator.steps}

    def _order(self, coordinator: CoordinatorHandle, closed_nodes: frozenset[str]) -> bool:
        """Order a coordinator's next step, if it has anything to do."""
        # The first report says that it has started: only then it is trusted with examples.
        if not coordinator.workers or coordinator.report is None:
            return False
        share = len(coordinator.workers) / sum(len(other.workers) for other in self._handles)
        num_wanted = self._num_wanted(coordinator, coordinator.report)
        examples = self._leases.take(coordinator.number, num_wanted, share)
        if not self._leases.num_held(coordinator.number):
            return False
        leases = [
            Lease(example=example, known=tuple(self._known.get(example.example_id, ())))
            for example in examples
        ]
        self._send(coordinator, leases, closed_nodes)
        return True

    def _num_wanted(self, coordinator: CoordinatorHandle, report: StepReport) -> int:
        """Examples that it could use beyond those that are on their way to it."""
        num_on_the_way = sum(num_examples for _, num_examples in coordinator.steps)
        size = self._settings.requests_per_batch or MIN_REQUESTS
        to_join = BATCHES_PER_WORKER * size * len(coordinator.joining)
        at_least = 0 if self._leases.num_held(coordinator.number) else 1
        return max(report.num_wanted + to_join, at_least) - num_on_the_way

    def _send(
        self,
        coordinator: CoordinatorHandle,
        leases: Sequence[Lease],
        closed_nodes: frozenset[str] = frozenset(),
    ) -> None:
        now_s = time.monotonic()
        order = StepOrder(
            workers=tuple(ready.after(now_s - since_s) for ready, since_s in coordinator.joining),
            leases=tuple(leases),
            more=self._leases.num_waiting > 0,
            duration_s=STEP_S,
            idle_s=self._settings.idle_s,
            closed_nodes=closed_nodes,
        )
        coordinator.send(order, len(leases))

    def kill(self, coordinator: CoordinatorHandle) -> None:
        """End a coordinator at once."""
        ray.kill(coordinator.actor)
        self._handles.remove(coordinator)

    def close(self, coordinators: Iterable[CoordinatorHandle]) -> None:
        """Let coordinators write what waits and give their claims back, and wait for it a while."""
        closing = [coordinator.actor.close.remote() for coordinator in coordinators]
        if not closing:
            return
        for ref in ray.wait(closing, num_returns=len(closing), timeout=CLOSE_S)[0]:
            try:
                self.say(ray.get(ref))
            except RayError as error:
                logger.warning(
                    "a coordinator did not end well (%s); nothing found is lost", in_one_line(error)
                )

    def say(self, messages: Iterable[str]) -> None:
        """Pass on what coordinators warn of; what several say at a time, once."""
        now_s = time.monotonic()
        for text in messages:
            if now_s - self._said.get(text, -math.inf) > REPEAT_S:
                self._said[text] = now_s
                logger.warning("%s", text)
