"""The coordinators of a run, seen from the driver: they share the examples and the workers.

The driver gives out leases and workers, and takes shards and counters; what happens in between is
the coordinators' own business. A coordinator that dies or hangs is replaced, and its unfinished
examples are searched again by others, as are those whose records had not filled a shard: their
verdicts come from the cache, so nothing but its last moments is computed twice.

Five modules share the work: `working` has those that work, `health` says who does not, `succession`
replaces these, `staffing` says how many it takes, and `gone` keeps what they left.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from search_cluster.cluster.coordinators.example_leases import ExampleLeases
from search_cluster.cluster.coordinators.gone import GoneCoordinators
from search_cluster.cluster.coordinators.handle import CoordinatorHandle
from search_cluster.cluster.coordinators.health import CoordinatorHealth
from search_cluster.cluster.coordinators.partition import PartitionFactory
from search_cluster.cluster.coordinators.settings import CoordinatorSettings
from search_cluster.cluster.coordinators.succession import Succession
from search_cluster.cluster.coordinators.working import STEP_S, WorkingCoordinators
from search_cluster.cluster.session import num_free
from search_cluster.cluster.worker_fleet import WorkerFleet
from search_cluster.cluster.worker_handle import ReadyWorker
from search_cluster.corpus.encoded_shard import EncodedShard, Found
from search_cluster.corpus.record import PathVerdict
from search_cluster.errors import EvaluatorError
from search_cluster.protocols.counters import EvaluatorStats, SearchCounts, sum_of_stats
from search_cluster.tasks.example import Example

logger = logging.getLogger(__name__)

GATHER_S = 0.0002
"""How long a step waits for further reports when it has one, times the number of coordinators."""


class CoordinatorGroup:
    """Searches examples with coordinator actors; call `step` as long as `busy`. Used by one thread.

    Args:
        factory: builds what a coordinator hosts.
        fleet: the workers; stays the caller's to close.
        ready: those of them that wait for work.
        examples: in the order in which they are handed out.
        known: verdicts of earlier invocations, by the ids of the examples that they wrote.
        num_layers: the model's depth.
        settings: how many coordinators there are, and how long they are waited for.
    """

    def __init__(
        self,
        factory: PartitionFactory,
        *,
        fleet: WorkerFleet,
        ready: Sequence[ReadyWorker],
        examples: Sequence[Example],
        known: Mapping[str, Sequence[PathVerdict]],
        num_layers: int,
        settings: CoordinatorSettings,
    ) -> None:
        self._fleet = fleet
        self._settings = settings
        self._leases = ExampleLeases(examples)
        self._working = WorkingCoordinators(factory, self._leases, known, settings)
        self._health = CoordinatorHealth(settings, now_s=time.monotonic())
        self._gone = GoneCoordinators(self._leases, num_layers)
        self._succession = Succession(
            factory, self._leases, fleet=fleet, working=self._working, gone=self._gone,
            health=self._health, keep=self._keep,
        )  # fmt: skip
        self._found: list[Found] = []
        """What the next step hands out."""
        self._working.closed_nodes = fleet.closed_nodes
        self._hire()
        self._working.assign(ready)

    @property
    def busy(self) -> bool:
        """Whether an example has not ended."""
        return not self._leases.done

    @property
    def num_coordinators(self) -> int:
        """Coordinators at work."""
        return len(self._working)

    @property
    def num_restarts(self) -> int:
        """Coordinators that died or hung, and were replaced."""
        return self._gone.num_restarts

    @property
    def num_ended(self) -> int:
        """Examples that ended, their records written or waiting to be, or were given up."""
        return self._leases.num_ended + sum(report.num_held for report in self._working.reports)

    @property
    def counts(self) -> SearchCounts:
        """What was delivered to searches.

        What a dead coordinator left unfinished counts when it is done again.
        """
        total = self._gone.counts
        for report in self._working.reports:
            total = total.plus(report.delivered)
        return total

    def stats(self) -> EvaluatorStats:
        """Counters of all workers; those of a dead coordinator as it last reported them."""
        live = [report.stats for report in self._working.reports]
        return sum_of_stats([self._gone.stats, *(stats for stats in live if stats is not None)])

    def pids(self) -> list[int]:
        """Process numbers of the coordinators that have reported."""
        return [report.pid for report in self._working.reports]

    def step(self) -> list[Found]:
        """Give out work and take what came back: shards, and the records of what failed at once.

        It lasts about `STEP_S`.

        Raises:
            EvaluatorError: coordinators or workers die one after another, or no worker is left.
            SearchClusterError: what a coordinator can't go on with.
        """
        self._look()
        awaited = self._working.order_steps()
        if awaited:
            self._take_reports(awaited)
        else:
            time.sleep(STEP_S / 5)  # no worker at the moment
        found, self._found = self._found, []
        return found

    def _take_reports(self, awaited: Mapping[Any, CoordinatorHandle]) -> None:
        """Wait for reports, and take all that are there."""
        ready, others = ray.wait(list(awaited), num_returns=1, timeout=2 * STEP_S)
        if others:
            # To wait costs as much as there are coordinators; so the more there are, the longer a
            # moment, and the more reports in it.
            moment_s = GATHER_S * len(self._working)
            ready += ray.wait(others, num_returns=len(others), timeout=moment_s)[0]
        for coordinator in dict.fromkeys(awaited[ref] for ref in ready):
            # Steps of a coordinator end in the order in which they were sent. Taking the first may
            # end the coordinator; what it did afterwards is done again by others, and not taken.
            while coordinator in self._working and self._has_report(coordinator, ready):
                self._take(coordinator)

    @staticmethod
    def _has_report(coordinator: CoordinatorHandle, ready: Sequence[object]) -> bool:
        return bool(coordinator.steps) and coordinator.steps[0][0] in ready

    def _take(self, coordinator: CoordinatorHandle) -> None:
        """Take what a coordinator's oldest step found."""
        try:
            report = coordinator.take()
        except RayError as error:
            self._found += self._succession.replace_failed(coordinator, error)
            return
        self._working.say(report.messages)
        for failure in report.breaks:
            self._fleet.count_break(failure)
        for lost in report.lost:
            self._fleet.lost(lost)
        for idle in report.let_go:
            self._fleet.let_go(idle)
        if coordinator.num_new:
            self._health.count_ended()
        for handle in report.moved:
            self._fleet.watch(handle)
        self._working.note_moving(report.moved)
        for record in report.finished.failed:
            self._leases.settle(coordinator.number, record.example.example_id)
            self._found.append(record)
        if report.finished.shard is not None:
            self._keep(coordinator, report.finished.shard)

    def _keep(self, coordinator: CoordinatorHandle, shard: EncodedShard) -> None:
        """Hand a coordinator's shard out with the next step."""
        for ended in shard.ended:
            self._leases.settle(coordinator.number, ended.example_id)
        self._found.append(shard)

    def _look(self) -> None:
        """Hand out workers that became ready, and replace coordinators that hang or have none."""
        now_s = time.monotonic()
        passed_s = self._health.look(now_s)
        if passed_s is None:
            return
        # First: a worker that is given to a coordinator which hangs would be lost for a while.
        self._found += self._succession.replace_hung(passed_s)
        self._working.assign(self._fleet.ready())
        self._working.closed_nodes = self._fleet.closed_nodes
        self._succession.leave(self._working.closed_nodes)
        self._hire()
        if self._settings.num_coordinators is None and self._leases.num_waiting:
            self._working.give_company(lambda: min(num_free("CPU"), self._fleet.num_workers))
        with_workers = [coordinator for coordinator in self._working if coordinator.workers]
        for coordinator in with_workers:
            coordinator.signs.alone_since_s = now_s
        if with_workers:
            self._health.note_workers(now_s)
            self._succession.replace_starved(now_s)
        elif self._health.is_hopeless(self._fleet.num_awaited, now_s):
            raise EvaluatorError(
                f"no worker is left: {self._fleet.missing()}; nothing found is lost: run the same "
                "command again"
            )

    def _hire(self) -> None:
        """Start as many coordinators as the workers are to have; those that are lost are replaced.

        There are never fewer when workers are given back.
        """
        while len(self._working) < self._settings.num_coordinators_for(self._fleet.num_workers):
            self._working.hire(replacing=False)

    def close(self) -> list[EncodedShard]:
        """Let the coordinators write what waits, and end them. Idempotent; counters stay.

        Returns:
            The shards that no step has handed out.
        """
        found, self._found = self._found, []
        shards = [item for item in found if isinstance(item, EncodedShard)]
        return shards + self._working.end()
