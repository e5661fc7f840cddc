"""What crosses the seam between the search and the evaluators: requests and results.

Failure is a value: the tree backs up a `Verdict`, abandons a path with a `Failure`, and both are counted.
"""

from dataclasses import dataclass

from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """Evaluate one path on one example. Idempotent: asking twice gives the same verdict."""

    request_id: int
    """Unique within one evaluator's life; chosen by who submits."""
    example: Example
    path: LayerPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no verdict."""

    kind: str
    """The error's class name, such as ``NonFiniteLogitsError`` or ``PromptTooLongError``."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """The answer to one request."""

    request_id: int
    outcome: Verdict | Failure
    device_busy_s: float = 0.0
    """Seconds of device work that this result cost; 0 from a cache."""
    from_cache: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineWork:
    """What an engine did, in counts; 0 of everything for an evaluator without one."""

    num_layer_runs: int = 0
    """Runs of a layer for the first rows of an (example, path prefix)."""
    num_tie_rechecks: int = 0
    """Verdicts whose deciding gap was too small for batched arithmetic: recomputed by the materialised model."""
    num_evictions: int = 0
    """States of path prefixes that were thrown away for want of memory."""

    def plus(self, other: "EngineWork") -> "EngineWork":
        """The sum of both."""
        return EngineWork(
            num_layer_runs=self.num_layer_runs + other.num_layer_runs,
            num_tie_rechecks=self.num_tie_rechecks + other.num_tie_rechecks,
            num_evictions=self.num_evictions + other.num_evictions,
        )

    def minus(self, earlier: "EngineWork") -> "EngineWork":
        """What was done since an earlier state of the same counters."""
        return EngineWork(
            num_layer_runs=self.num_layer_runs - earlier.num_layer_runs,
            num_tie_rechecks=self.num_tie_rechecks - earlier.num_tie_rechecks,
            num_evictions=self.num_evictions - earlier.num_evictions,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStats:
    """Counters of one worker, restarts of it included."""

    worker: int
    """Its number in the pool, from 0."""
    node: str
    """Name of the machine (on Kubernetes: of the pod) that it runs on."""
    device: str
    """``cpu`` or ``cuda``."""
    num_evaluated: int = 0
    num_failures: int = 0
    device_held_s: float = 0.0
    device_busy_s: float = 0.0
    num_layer_tokens: int = 0
    num_restarts: int = 0
    work: EngineWork = EngineWork()


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorStats:
    """Counters of an evaluator since it was built."""

    num_devices: int = 0
    num_evaluated: int = 0
    num_cached: int = 0
    num_failures: int = 0
    device_held_s: float = 0.0
    """Seconds for which devices were allocated, summed over devices."""
    device_busy_s: float = 0.0
    """Seconds for which devices computed, summed over devices."""
    num_layer_tokens: int = 0
    """(layer, token) applications of the evaluated verdicts."""
    num_worker_restarts: int = 0
    num_cache_errors: int = 0
    """Cached values that did not decode, and cache commands that failed."""
    num_in_flight: int = 0
    """Requests that were submitted and not collected yet: they wait, or run. Not a counter."""
    work: EngineWork = EngineWork()
    workers: tuple[WorkerStats, ...] = ()
    """The same counters per worker, where the evaluator has workers."""
