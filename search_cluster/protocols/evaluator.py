"""The evaluator protocol: the only seam that the coordinator sees."""

from collections.abc import Sequence
from typing import Protocol

from search_cluster.protocols.counters import EvaluatorStats
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult


class PathEvaluator(Protocol):
    """Evaluates requests asynchronously, in any order, each exactly once from the caller's view.

    One thread owns an evaluator. Every submitted request comes back through `collect` as a verdict
    or a failure.
    """

    @property
    def max_in_flight(self) -> int:
        """How many requests keep all devices busy; submitting more only queues them."""
        ...

    def submit(self, requests: Sequence[EvaluationRequest]) -> None:
        """Queue requests; returns without waiting for them."""
        ...

    def collect(self, timeout_s: float | None = None) -> list[EvaluationResult]:
        """Results that are ready, at least one unless ``timeout_s`` passed or nothing is in flight.

        Raises:
            EvaluatorError: no worker is left that could answer.
        """
        ...

    def stats(self) -> EvaluatorStats:
        """Counters since the evaluator was built."""
        ...

    def close(self) -> None:
        """Give devices and processes back. Idempotent; requests in flight are dropped."""
        ...
