"""Who takes the work over of coordinators that can't stay, and what is to blame for it.

One that dies or hangs may have done so of an example, and those that it had are accused. Of one
that goes with its node, leaves it in time, has no workers, or says what keeps it from going on,
they are not.
"""

import logging
import time
from collections.abc import Callable, Sequence

from ray.exceptions import RayError, RayTaskError

from search_cluster.cluster.coordinators.example_leases import ExampleLeases
from search_cluster.cluster.coordinators.gone import GoneCoordinators
from search_cluster.cluster.coordinators.handle import CoordinatorHandle, cause_of_death
from search_cluster.cluster.coordinators.health import CoordinatorHealth
from search_cluster.cluster.coordinators.partition import PartitionFactory
from search_cluster.cluster.coordinators.working import WorkingCoordinators
from search_cluster.cluster.nodes import died_with_its_node, num_alive_outside
from search_cluster.cluster.worker_fleet import WorkerFleet
from search_cluster.corpus.encoded_shard import EncodedShard
from search_cluster.corpus.record import ExampleRecord
from search_cluster.errors import EvaluatorError, SearchClusterError, in_one_line
from search_cluster.workers.group.suspects import Break

logger = logging.getLogger(__name__)

MAX_STARTS = 3
"""Attempts to start one coordinator that fails, though what keeps it from starting does not trouble
this process."""


class Succession:
    """Ends coordinators that can't stay, and starts others in their places.

    Args:
        factory: builds what a coordinator hosts.
        leases: the run's examples; owned by the group.
        fleet: where the workers of those that end go.
        working: those that work.
        gone: keeps what is left of those that do not.
        health: says who can't stay, and when losses end the run.
        keep: takes a shard that a coordinator hands over.
    """

    def __init__(
        self,
        factory: PartitionFactory,
        leases: ExampleLeases,
        *,
        fleet: WorkerFleet,
        working: WorkingCoordinators,
        gone: GoneCoordinators,
        health: CoordinatorHealth,
        keep: Callable[[CoordinatorHandle, EncodedShard], None],
    ) -> None:
        self._factory = factory
        self._leases = leases
        self._fleet = fleet
        self._working = working
        self._gone = gone
        self._health = health
        self._keep = keep
        self._first_after_loss: dict[str, int] = {}
        """The first coordinator that was started after a node was lost, by node."""
        self._first_after_notice: dict[str, int] = {}
        """The same for nodes that get no more work."""

    def replace_failed(
        self, coordinator: CoordinatorHandle, error: RayError
    ) -> Sequence[ExampleRecord]:
        """Replace a coordinator whose step failed; records of the examples that are given up.

        Raises:
            EvaluatorError: coordinators die one after another, or none can go on.
            SearchClusterError: what a coordinator can't start with.
        """
        if not isinstance(error, RayTaskError):
            if not self._went_with_its_node(coordinator, error):
                return self._lose(coordinator, "CoordinatorDied", cause_of_death(error))
            self._excuse(coordinator, "was lost with its node")
            return ()
        cause = error.cause
        if isinstance(cause, EvaluatorError):
            self._do_without(coordinator, cause)
            return ()
        never_started = coordinator.report is None and not coordinator.replacing
        if isinstance(cause, SearchClusterError) and never_started:
            self._start_again(coordinator, cause)
            return ()
        return self._lose(coordinator, type(cause).__name__, in_one_line(cause))

    def replace_hung(self, passed_s: float) -> Sequence[ExampleRecord]:
        """Replace coordinators that live, and have reported nothing for too long.

        Args:
            passed_s: seconds since they were last looked at.

        Returns:
            As `replace_failed`.

        Raises:
            EvaluatorError: coordinators die one after another.
        """
        given_up: list[ExampleRecord] = []
        for coordinator in self._working:
            if coordinator.steps and self._health.is_hung(coordinator.signs, passed_s):
                silent_s = coordinator.signs.silent_s
                cause = f"it has not reported for {silent_s:.0f} s, and is killed"
                given_up += self._lose(coordinator, "CoordinatorHung", cause)
        return given_up

    def replace_starved(self, now_s: float) -> None:
        """Replace coordinators that hold examples and have had no worker for too long."""
        starved = [
            coordinator
            for coordinator in self._working
            if self._health.is_starved(coordinator.signs, now_s)
            and self._leases.num_held(coordinator.number)
        ]
        self._hand_over(starved, "has lost all of its workers")

    def leave(self, nodes: frozenset[str]) -> None:
        """Replace coordinators on nodes that get no more work, as long as these are there."""
        leaving = [
            coordinator
            for coordinator in self._working
            if coordinator.node_id in nodes
            and self._is_older(coordinator, self._first_after_notice)
        ]
        if leaving and num_alive_outside(nodes):
            self._hand_over(leaving, "is on a node that gets no more work")

    def _hand_over(self, coordinators: Sequence[CoordinatorHandle], why: str) -> None:
        """Let coordinators write what they have, and others go on with their examples."""
        for coordinator, shard in self._working.close(coordinators):
            self._keep(coordinator, shard)
        for coordinator in coordinators:
            logger.warning("coordinator %d %s: others take over", coordinator.number, why)
            self._dismiss(coordinator)
            self._gone.let_go(coordinator.number)
            self._working.hire(replacing=True)

    def _went_with_its_node(self, coordinator: CoordinatorHandle, error: RayError) -> bool:
        node_id = coordinator.node_id
        # A node is lost once: if others could start there afterwards, it is not that which ends
        # them.
        return died_with_its_node(error, node_id) and (
            not node_id or self._is_older(coordinator, self._first_after_loss)
        )

    def _is_older(self, coordinator: CoordinatorHandle, firsts: dict[str, int]) -> bool:
        """Whether it was started before what befell its node, which may be just now."""
        first = firsts.setdefault(coordinator.node_id, self._working.next_number)
        return coordinator.number < first

    def _do_without(self, coordinator: CoordinatorHandle, cause: EvaluatorError) -> None:
        """Let others go on where one coordinator can't, such as with workers of a sick node.

        Raises:
            EvaluatorError: the cause, if no other has workers, or it is that of too many.
        """
        num_others = sum(bool(other.workers) for other in self._working if other != coordinator)
        if not self._health.can_spare(num_others, time.monotonic()):
            raise EvaluatorError(str(cause)) from cause
        nodes = {ready.info.node_id for ready, _ in coordinator.workers.values()}
        self._excuse(coordinator, f"can't go on ({in_one_line(cause)})")
        if len(nodes) == 1:
            self._fleet.count_break(Break(node_id=nodes.pop(), cause=in_one_line(cause)))

    def _start_again(self, coordinator: CoordinatorHandle, cause: SearchClusterError) -> None:
        """Put another coordinator in the place of one that could not start, and holds no example.

        Raises:
            SearchClusterError: the cause, if it is a setting: nothing else keeps on stopping
                coordinators alone.
        """
        is_outage = self._factory.is_outage(cause)
        if not is_outage and coordinator.num_starts >= MAX_STARTS:
            raise type(cause)(str(cause)) from cause
        self._dismiss(coordinator)
        self._working.hire(replacing=is_outage, num_starts=coordinator.num_starts + 1)

    def _excuse(self, coordinator: CoordinatorHandle, why: str) -> None:
        """Replace a coordinator that ended of nothing that it had in hand."""
        self._dismiss(coordinator)
        self._gone.excuse(coordinator.number)
        logger.warning("coordinator %d %s: others take over", coordinator.number, why)
        self._working.hire(replacing=True)

    def _lose(self, coordinator: CoordinatorHandle, kind: str, cause: str) -> list[ExampleRecord]:
        """Replace a coordinator that died or hangs; records of the examples that are given up."""
        number = coordinator.number
        self._dismiss(coordinator)
        given_up = self._gone.lose(number, kind=kind, cause=cause)
        self._health.count_loss(cause)
        logger.warning(
            "coordinator %d is lost (%s): another one goes on with its examples", number, cause
        )
        self._working.hire(replacing=True)
        if given_up:
            self._health.count_ended()
        return given_up

    def _dismiss(self, coordinator: CoordinatorHandle) -> None:
        """Let a coordinator go; its workers go to others as soon as they answer."""
        # Killed first: if it hangs and wakes up, it must not go on giving work to its workers.
        self._working.kill(coordinator)
        self._gone.keep_counters(coordinator.report, coordinator.unreported(time.monotonic()))
        for ready, _ in coordinator.workers.values():
            self._fleet.watch(ready.handle)
