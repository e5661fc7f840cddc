"""What coordinators left that died, hung or were let go: their examples and their counters."""

from collections.abc import Sequence

from search_cluster.cluster.coordinators.example_leases import MAX_LOSSES, ExampleLeases
from search_cluster.cluster.coordinators.messages import StepReport
from search_cluster.corpus.record import ExampleRecord, failed_record
from search_cluster.protocols.counters import (
    EvaluatorStats,
    SearchCounts,
    WorkerStats,
    sum_of_stats,
)


class GoneCoordinators:
    """Keeps the counters of the gone, and puts their examples back among those that wait.

    Args:
        leases: the run's examples; owned by the group.
        num_layers: the model's depth.
    """

    def __init__(self, leases: ExampleLeases, num_layers: int) -> None:
        self._leases = leases
        self._num_layers = num_layers
        self.counts = SearchCounts()
        """What was delivered to searches that ended there and whose records were handed over.

        What was delivered to the others counts when they are searched again, so that the totals of
        a run do not depend on who died.
        """
        self.stats = EvaluatorStats()
        """What their workers did, as they last reported it, and for how long they held their
        devices until they were gone."""
        self.num_restarts = 0
        """Coordinators that died, hung or could not go on, and were replaced."""

    def keep_counters(
        self, report: StepReport | None, unreported: Sequence[WorkerStats] = ()
    ) -> None:
        """Take the counters of a coordinator that goes.

        Args:
            report: its last one; it has none if it never started.
            unreported: what its workers did that is not in there.
        """
        parts = [self.stats, EvaluatorStats.of_workers(unreported, num_devices=0)]
        if report is not None:
            self.counts = self.counts.plus(report.settled)
            if report.stats is not None:
                parts.insert(1, report.stats)
        self.stats = sum_of_stats(parts).without_devices()

    def lose(self, number: int, *, kind: str, cause: str) -> list[ExampleRecord]:
        """Let others search what a coordinator held that died or hung.

        Args:
            number: the coordinator's.
            kind: what happened to it, as the class name of an error.
            cause: the same in words.

        Returns:
            Records of the examples that are given up, because too many coordinators died of them.
        """
        self.num_restarts += 1
        message = f"{MAX_LOSSES} coordinators died of it: {cause}"
        return [
            failed_record(example, self._num_layers, kind=kind, message=message)
            for example in self._leases.lose(number)
        ]

    def excuse(self, number: int) -> None:
        """Let others search what a coordinator held that ended, for which none of it is to blame.

        Args:
            number: the coordinator's.
        """
        self.num_restarts += 1
        self.let_go(number)

    def let_go(self, number: int) -> None:
        """Let others search what a coordinator held that did nothing wrong."""
        self._leases.give_back(number)
