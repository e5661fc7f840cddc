"""Counting what an evaluator pool delivered."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from search_cluster.evaluation.messages import EvaluationResult, EvaluatorStats, Failure


@dataclass(slots=True)
class Tally:
    """Counters of one pool; its devices count as held from `started_s` until `stop`."""

    num_devices: int
    started_s: float = field(default_factory=time.perf_counter)
    stopped_s: float | None = None
    num_evaluated: int = 0
    num_failures: int = 0
    num_layer_tokens: int = 0
    device_busy_s: float = 0.0
    num_worker_restarts: int = 0

    def add(self, results: Iterable[EvaluationResult]) -> None:
        """Count delivered results."""
        for result in results:
            self.device_busy_s += result.device_busy_s
            if isinstance(result.outcome, Failure):
                self.num_failures += 1
            else:
                self.num_evaluated += 1
                self.num_layer_tokens += result.outcome.num_layer_tokens

    def stop(self) -> None:
        """The devices are given back. Idempotent."""
        if self.stopped_s is None:
            self.stopped_s = time.perf_counter()

    def stats(self) -> EvaluatorStats:
        """The counters as a message."""
        held_s = (time.perf_counter() if self.stopped_s is None else self.stopped_s) - self.started_s
        return EvaluatorStats(
            num_devices=self.num_devices,
            num_evaluated=self.num_evaluated,
            num_failures=self.num_failures,
            device_held_s=held_s * self.num_devices,
            device_busy_s=self.device_busy_s,
            num_layer_tokens=self.num_layer_tokens,
            num_worker_restarts=self.num_worker_restarts,
        )
