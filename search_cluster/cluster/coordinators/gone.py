"""What coordinators left that died, hung or were let go: their examples and their counters."""

from search_cluster.cluster.coordinators.example_leases import MAX_LOSSES, ExampleLeases
from search_cluster.cluster.coordinators.messages import StepReport
from search_cluster.corpus.record import ExampleRecord, failed_record
from search_cluster.protocols.counters import EvaluatorStats, SearchCounts, sum_of_stats


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
        """What their workers did, as they last reported it."""
        self.num_restarts = 0
        """Coordinators that died or hung, and were replaced."""

    def keep_counters(self, report: StepReport | None) -> None:
        """Take the last report of a coordinator that goes; it has none if it never started."""
        if report is not None:
            self.counts = self.counts.plus(report.settled)
            if report.stats is not None:
                self.stats = sum_of_stats([self.stats, report.stats]).without_devices()

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

    def let_go(self, number: int) -> None:
        """Let others search what a coordinator held that did nothing wrong."""
        self._leases.give_back(number)
