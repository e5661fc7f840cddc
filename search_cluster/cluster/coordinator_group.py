"""The coordinators of a run, seen from the driver: they share the examples and the evaluators, die and are replaced.

The driver gives out leases and evaluators, and takes records and counters; what happens in between is the coordinators'
own business. A coordinator's unfinished examples are searched again by others if it dies: their verdicts come from the
cache, so nothing but its last moments is computed twice.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from search_cluster.cluster.coordinator_actor import CoordinatorActor
from search_cluster.cluster.example_leases import MAX_LOSSES, ExampleLeases
from search_cluster.cluster.partition import Lease, PartitionFactory, StepOrder, StepReport
from search_cluster.cluster.record_wire import unpack_record
from search_cluster.cluster.worker_fleet import WorkerFleet
from search_cluster.cluster.worker_group import BATCHES_PER_EVALUATOR, first_line
from search_cluster.cluster.worker_handle import ReadyWorker, WorkerHandle
from search_cluster.corpus.record import ExampleRecord, PathVerdict, failed_record
from search_cluster.errors import EvaluatorError, SearchClusterError
from search_cluster.protocols.counters import EvaluatorStats, SearchCounts, sum_of_stats
from search_cluster.tasks.example import Example
from search_cluster.workers.batch_size import MIN_REQUESTS

logger = logging.getLogger(__name__)

STEP_S = 0.25
STEPS_IN_FLIGHT = 2
LOOK_S = 0.5
"""Between two looks for evaluators that joined, and at who is silent."""
MAX_SILENCE_PER_LOOK_S = 2.0
"""What a coordinator's silence grows by at a look, at most: if this process was the one that stood still or was starved
since the last one, reports may be waiting to be taken."""
REPEAT_S = 60.0
"""Between two equal warnings of coordinators, which all say when the cache server is lost."""
STARVED_S = 30.0
"""A coordinator without an evaluator for so long gives its examples to the others."""
MAX_LOSSES_IN_A_ROW = 5
"""Coordinators lost without one example ended in between: then it is not the examples that kill them."""
MAX_STARTS = 3
"""Of one coordinator that can't start, though this process is not troubled by what keeps it from that."""
CLOSE_S = 10.0
"""For coordinators to write what waits, at the end."""


@dataclass(slots=True, eq=False)
class _Member:
    """One coordinator; owned by the group."""

    number: int
    actor: Any
    replacing: bool
    """Whether it took another one's place."""
    num_starts: int = 1
    """Coordinators that tried to start in this place, this one included."""
    steps: deque[tuple[Any, int]] = field(default_factory=deque)
    """In flight: the reference of the report, and how many examples went with the order."""
    joining: list[tuple[ReadyWorker, float]] = field(default_factory=list)
    """Evaluators that go with the next order, and since when."""
    evaluators: dict[int, WorkerHandle] = field(default_factory=dict)
    report: StepReport | None = None
    alone_since_s: float = field(default_factory=time.monotonic)
    silent_s: float = 0.0
    """For how long it has not reported, though a step is in flight."""
    has_worked: bool = False
    """Whether it has reported of a step with evaluators. Before, it connects and imports, which may take long."""


class CoordinatorGroup:
    """Searches examples with coordinator actors; call `step` as long as `busy`. Used by one thread.

    Args:
        factory: builds what a coordinator hosts.
        fleet: the evaluators; stays the caller's to close.
        ready: those of them that wait for work.
        examples: in the order in which they are handed out.
        known: verdicts of earlier invocations, by example id.
        num_coordinators: how many share the work.
        num_layers: depth of the model.
        requests_per_batch: as `search_cluster.cluster.worker_group.WorkerGroup` takes it.
        timeout_s: how long to go on without any evaluator, and to wait at least for a coordinator that starts.
        silence_s: how long a coordinator may not report while a step is in flight; then it is taken for hung.
    """

    def __init__(
        self,
        factory: PartitionFactory,
        *,
        fleet: WorkerFleet,
        ready: Sequence[ReadyWorker],
        examples: Sequence[Example],
        known: Mapping[str, Sequence[PathVerdict]],
        num_coordinators: int,
        num_layers: int,
        requests_per_batch: int | None,
        timeout_s: float,
        silence_s: float,
    ) -> None:
        self._factory = factory
        self._fleet = fleet
        self._known = known
        self._num_layers = num_layers
        self._requests_per_batch = requests_per_batch
        self._timeout_s = timeout_s
        self._silence_s = silence_s
        self._leases = ExampleLeases(examples)
        self._members: list[_Member] = []
        self._next_number = 0
        self._said: dict[str, float] = {}
        """Warnings of coordinators, and when they were last passed on."""
        self._gone_counts = SearchCounts()
        self._gone_stats = EvaluatorStats()
        self._num_restarts = 0
        self._losses_in_a_row = 0
        self._last_look_s = self._alone_since_s = time.monotonic()
        for _ in range(num_coordinators):
            self._hire(replacing=False)
        for evaluator in ready:
            self._assign(evaluator)

    @property
    def busy(self) -> bool:
        """Whether an example has not ended."""
        return not self._leases.done

    @property
    def num_coordinators(self) -> int:
        """Coordinators at work."""
        return len(self._members)

    @property
    def num_restarts(self) -> int:
        """Coordinators that died or hung, and were replaced."""
        return self._num_restarts

    @property
    def num_ended(self) -> int:
        """Examples that ended or were given up."""
        return self._leases.num_ended

    @property
    def counts(self) -> SearchCounts:
        """What was delivered to searches; what a dead coordinator left unfinished counts when it is done again."""
        total = self._gone_counts
        for member in self._members:
            total = total if member.report is None else total.plus(member.report.delivered)
        return total

    def stats(self) -> EvaluatorStats:
        """Counters of all evaluators; those of a dead coordinator as it last reported them."""
        live = [member.report.stats for member in self._members if member.report is not None]
        return sum_of_stats([self._gone_stats, *live])

    def pids(self) -> list[int]:
        """Process numbers of the coordinators that have reported."""
        return [member.report.pid for member in self._members if member.report is not None]

    def step(self) -> list[ExampleRecord]:
        """Give out work and take what came back, within about `STEP_S`; the records of the examples that ended.

        Raises:
            EvaluatorError: coordinators or evaluators die one after another, or no evaluator is left.
            SearchClusterError: what a coordinator can't go on with.
        """
        records = self._look()
        for member in self._members:
            while len(member.steps) < STEPS_IN_FLIGHT and self._order(member):
                pass
        waiting = {ref: member for member in self._members for ref, _ in member.steps}
        if not waiting:
            time.sleep(STEP_S / 5)  # no evaluator at the moment
            return records
        ready, others = ray.wait(list(waiting), num_returns=1, timeout=2 * STEP_S)
        if others:
            ready += ray.wait(others, num_returns=len(others), timeout=0)[0]
        for member in dict.fromkeys(waiting[ref] for ref in ready):
            # A member's steps end in the order in which they were sent.
            while member in self._members and member.steps and member.steps[0][0] in ready:
                records += self._take(member)
        return records

    def _look(self) -> list[ExampleRecord]:
        """Give evaluators that became ready to coordinators, and let go of coordinators that have none or hang.

        Returns:
            Records of examples that are given up.
        """
        now_s = time.monotonic()
        passed_s = now_s - self._last_look_s
        if passed_s < LOOK_S:
            return []
        self._last_look_s = now_s
        given_up = self._lose_silent(min(passed_s, MAX_SILENCE_PER_LOOK_S))
        for ready in self._fleet.ready():
            self._assign(ready)
        for member in self._members:
            if member.evaluators:
                member.alone_since_s = now_s
        if any(member.evaluators for member in self._members):
            self._alone_since_s = now_s
            for member in list(self._members):
                if now_s - member.alone_since_s > STARVED_S and self._leases.num_held(member.number):
                    logger.warning("coordinator %d has lost all of its workers: others take over", member.number)
                    self._close([member])
                    self._dismiss(member)
                    self._leases.give_back(member.number)
                    self._hire(replacing=True)
        elif not self._fleet.num_awaited or now_s - self._alone_since_s > self._timeout_s:
            raise EvaluatorError(
                f"no worker is left: {self._fleet.missing()}; nothing found is lost: run the same command again"
            )
        return given_up

    def _lose_silent(self, passed_s: float) -> list[ExampleRecord]:
        """Replace coordinators that hang: they live, and have reported nothing for too long."""
        given_up = []
        for member in [member for member in self._members if member.steps]:
            member.silent_s += passed_s
            limit_s = self._silence_s if member.has_worked else max(self._silence_s, self._timeout_s)
            if member.silent_s > limit_s:
                cause = f"it has not reported for {member.silent_s:.0f} s, and is killed"
                given_up += self._lose(member, "CoordinatorHung", cause)
        return given_up

    def _hire(self, *, replacing: bool, num_starts: int = 1) -> None:
        actor_class = ray.remote(CoordinatorActor).options(
            num_cpus=0, max_restarts=0, scheduling_strategy="SPREAD", enable_task_events=False
        )
        actor = actor_class.remote(self._factory, self._requests_per_batch, replacing=replacing)
        member = _Member(self._next_number, actor, replacing, num_starts)
        self._members.append(member)
        self._next_number += 1
        # Without examples: one that can't even start must not be taken for the victim of an example.
        self._send(member, ())

    def _assign(self, ready: ReadyWorker) -> None:
        """To the coordinator with the fewest."""
        member = min(self._members, key=lambda member: len(member.evaluators))
        member.evaluators[ready.evaluator.number] = ready.evaluator
        member.joining.append((ready, time.monotonic()))

    def _order(self, member: _Member) -> bool:
        """Send a coordinator its next step, if it has anything to do."""
        if not member.evaluators or member.report is None:
            return False
        num_evaluators = sum(len(other.evaluators) for other in self._members)
        examples = self._leases.take(member.number, self._num_wanted(member), len(member.evaluators) / num_evaluators)
        if not self._leases.num_held(member.number):
            return False
        self._send(member, examples)
        return True

    def _send(self, member: _Member, examples: Sequence[Example]) -> None:
        leases = tuple(Lease(example=item, known=tuple(self._known.get(item.example_id, ()))) for item in examples)
        order = StepOrder(
            evaluators=tuple(ready.after(time.monotonic() - since_s) for ready, since_s in member.joining),
            leases=leases,
            more=self._leases.num_waiting > 0,
            duration_s=STEP_S,
        )
        member.joining.clear()
        member.steps.append((member.actor.step.remote(order), len(leases)))

    def _num_wanted(self, member: _Member) -> int:
        """Examples beyond those that are on their way."""
        assert member.report is not None, "the caller looked"
        on_the_way = sum(count for _, count in member.steps)
        size = self._requests_per_batch or MIN_REQUESTS
        to_join = BATCHES_PER_EVALUATOR * size * len(member.joining)
        return max(member.report.num_wanted + to_join, not self._leases.num_held(member.number)) - on_the_way

    def _take(self, member: _Member) -> Iterable[ExampleRecord]:
        """The records of a coordinator's oldest step; of one that died, those of the examples that are given up."""
        ref, _ = member.steps.popleft()
        try:
            report: StepReport = ray.get(ref)
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, EvaluatorError):
                raise EvaluatorError(str(cause)) from error
            if isinstance(cause, SearchClusterError) and member.report is None and not member.replacing:
                self._start_again(member, cause)
                return ()
            return self._lose(member, type(cause).__name__, first_line(cause))
        except RayError as error:
            return self._lose(member, "CoordinatorDied", _cause_of_death(error))
        member.report, member.silent_s = report, 0.0
        member.has_worked = member.has_worked or report.num_evaluators > 0
        self._say(report.messages)
        for lost in report.lost:
            member.evaluators.pop(lost.number, None)
            self._fleet.watch(lost)
        for record in report.records:
            self._leases.settle(member.number, record.example.example_id)
            self._losses_in_a_row = 0
        return map(unpack_record, report.records)

    def _say(self, messages: Iterable[str]) -> None:
        """Pass on what coordinators warn of; what several say at a time, once."""
        now_s = time.monotonic()
        for text in messages:
            if now_s - self._said.get(text, -math.inf) > REPEAT_S:
                self._said[text] = now_s
                logger.warning("%s", text)

    def _start_again(self, member: _Member, cause: SearchClusterError) -> None:
        """Put another coordinator in the place of one that could not start, and holds no example.

        Raises:
            SearchClusterError: the cause, if it is a setting: nothing else keeps on stopping coordinators alone.
        """
        is_outage = self._factory.is_outage(cause)
        if not is_outage and member.num_starts >= MAX_STARTS:
            raise type(cause)(str(cause)) from cause
        self._dismiss(member)
        self._hire(replacing=is_outage, num_starts=member.num_starts + 1)

    def _lose(self, member: _Member, kind: str, cause: str) -> list[ExampleRecord]:
        """Replace a coordinator that died or hangs."""
        self._num_restarts += 1
        self._losses_in_a_row += 1
        self._dismiss(member)
        given_up = self._leases.lose(member.number)
        if self._losses_in_a_row > MAX_LOSSES_IN_A_ROW:
            raise EvaluatorError(
                f"coordinators died {self._losses_in_a_row} times without one example ended in between ({cause}); "
                "nothing found is lost: look at Ray's logs for the cause, then run the same command again"
            )
        logger.warning("coordinator %d is lost (%s): another one goes on with its examples", member.number, cause)
        self._hire(replacing=True)
        if given_up:
            self._losses_in_a_row = 0
        message = f"{MAX_LOSSES} coordinators died of it: {cause}"
        return [failed_record(example, self._num_layers, kind=kind, message=message) for example in given_up]

    def _dismiss(self, member: _Member) -> None:
        """Let a coordinator go; its evaluators go to others as soon as they answer."""
        ray.kill(member.actor)
        self._members.remove(member)
        if member.report is not None:
            self._gone_counts = self._gone_counts.plus(member.report.settled)
            self._gone_stats = sum_of_stats([self._gone_stats, member.report.stats]).without_devices()
        for evaluator in member.evaluators.values():
            self._fleet.watch(evaluator)

    def close(self) -> None:
        """Let the coordinators write what waits, and end them. Idempotent."""
        self._close(self._members)
        for member in list(self._members):
            ray.kill(member.actor)
            self._members.remove(member)

    def _close(self, members: Sequence[_Member]) -> None:
        """Let coordinators write what waits and give their claims back; who does not answer in time, does not."""
        closing = [member.actor.close.remote() for member in members]
        if not closing:
            return
        for ref in ray.wait(closing, num_returns=len(closing), timeout=CLOSE_S)[0]:
            try:
                self._say(ray.get(ref))
            except RayError as error:
                logger.warning("a coordinator did not end well (%s); nothing found is lost", first_line(error))


def _cause_of_death(error: RayError) -> str:
    """One line: the first of Ray's, or the last one of an error in the actor's constructor."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if "creation task" in lines[0] else lines[0]
