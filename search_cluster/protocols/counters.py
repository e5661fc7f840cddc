"""Counters of evaluators, of workers and of searches, and their sums."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineWork:
    """What an engine did, in counts; 0 of everything for an evaluator without one."""

    num_layer_runs: int = 0
    """Runs of a layer for the first rows of an (example, path prefix)."""
    num_tie_rechecks: int = 0
    """Verdicts whose deciding gap was too small for batched arithmetic: recomputed by the
    materialised model."""
    num_evictions: int = 0
    """States of path prefixes that were thrown away for want of memory."""
    num_cut_answers: int = 0
    """Generated answers that ended because no token was left (``max_new_tokens``)."""
    recheck_s: float = 0.0
    """Seconds that the recomputed verdicts took."""
    num_layer_rows: int = 0
    """(layer, row) applications that were computed; rows that only fill a call up do not count."""
    flops: float = 0.0
    """Arithmetic of these rows, of attention and of read logits: multiply-adds, times two. What is
    recomputed (`num_tie_rechecks`) does not count."""

    def plus(self, other: "EngineWork") -> "EngineWork":
        """The sum of both."""
        return EngineWork(**{name: getattr(self, name) + getattr(other, name) for name in _COUNTED})

    def minus(self, earlier: "EngineWork") -> "EngineWork":
        """What was done since an earlier state of the same counters."""
        return EngineWork(
            **{name: getattr(self, name) - getattr(earlier, name) for name in _COUNTED}
        )


_COUNTED = tuple(item.name for item in fields(EngineWork))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReading:
    """What a worker reads off its device, with its last report. Whatever is not known is 0."""

    name: str = ""
    """The kind of device, such as ``NVIDIA H200``."""
    peak_flops_per_s: float = 0.0
    """FLOP/s of a plain product of the model's widths, measured there when the worker started."""
    memory_bytes: int = 0
    """Memory of the device that is in use, by whomever; on the CPU that of the worker's process."""
    memory_limit_bytes: int = 0
    """Memory that there is for all of them."""
    utilisation: float | None = None
    """The share of the last moments in which the GPU ran a kernel, as its driver says (NVML);
    ``None``: nobody says. One small kernel after the other is 1.0, too."""


UNREAD = DeviceReading()


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
    reading: DeviceReading = UNREAD

    @property
    def available_flops(self) -> float:
        """What its device could have computed while it was held; 0 if that is not known."""
        return self.reading.peak_flops_per_s * self.device_held_s

    def plus(self, later: "WorkerStats") -> "WorkerStats":
        """The sum of both, of the same worker; it is where the later one says."""
        return WorkerStats(
            worker=self.worker,
            node=later.node,
            device=later.device,
            num_evaluated=self.num_evaluated + later.num_evaluated,
            num_failures=self.num_failures + later.num_failures,
            device_held_s=self.device_held_s + later.device_held_s,
            device_busy_s=self.device_busy_s + later.device_busy_s,
            num_layer_tokens=self.num_layer_tokens + later.num_layer_tokens,
            num_restarts=self.num_restarts + later.num_restarts,
            work=self.work.plus(later.work),
            reading=self.reading if later.reading == UNREAD else later.reading,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorStats:
    """Counters of an evaluator since it was built."""

    num_devices: int = 0
    num_evaluated: int = 0
    num_cache_hits: int = 0
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
    num_elsewhere: int = 0
    """Requests in flight that wait for a verdict which another process on the same cache computes,
    or held when it died."""
    work: EngineWork = EngineWork()
    workers: tuple[WorkerStats, ...] = ()
    """The same counters per worker, where the evaluator has workers."""

    @classmethod
    def of_workers(
        cls, workers: Sequence[WorkerStats], *, num_devices: int, num_in_flight: int = 0
    ) -> "EvaluatorStats":
        """The sums over workers."""
        work = EngineWork()
        for worker in workers:
            work = work.plus(worker.work)
        return cls(
            num_devices=num_devices,
            num_evaluated=sum(worker.num_evaluated for worker in workers),
            num_failures=sum(worker.num_failures for worker in workers),
            device_held_s=sum(worker.device_held_s for worker in workers),
            device_busy_s=sum(worker.device_busy_s for worker in workers),
            num_layer_tokens=sum(worker.num_layer_tokens for worker in workers),
            num_worker_restarts=sum(worker.num_restarts for worker in workers),
            num_in_flight=num_in_flight,
            work=work,
            workers=tuple(workers),
        )

    def without_devices(self) -> "EvaluatorStats":
        """What stays of an evaluator that is gone: what it did, not what it holds."""
        return replace(self, num_devices=0, num_in_flight=0, num_elsewhere=0)


def sum_of_stats(parts: Iterable[EvaluatorStats]) -> EvaluatorStats:
    """The sum over evaluators, oldest first; a worker that served several of them counts as one."""
    parts = list(parts)
    workers: dict[int, WorkerStats] = {}
    for part in parts:
        for worker in part.workers:
            known = workers.get(worker.worker)
            workers[worker.worker] = worker if known is None else known.plus(worker)
    total = EvaluatorStats.of_workers(
        [workers[number] for number in sorted(workers)],
        num_devices=sum(part.num_devices for part in parts),
        num_in_flight=sum(part.num_in_flight for part in parts),
    )
    return replace(
        total,
        num_cache_hits=sum(part.num_cache_hits for part in parts),
        num_cache_errors=sum(part.num_cache_errors for part in parts),
        num_elsewhere=sum(part.num_elsewhere for part in parts),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchCounts:
    """What was delivered to searches."""

    num_paths_searched: int = 0
    num_cache_hits: int = 0
    num_failures: int = 0

    def plus(self, other: "SearchCounts") -> "SearchCounts":
        """The sum of both."""
        return SearchCounts(
            num_paths_searched=self.num_paths_searched + other.num_paths_searched,
            num_cache_hits=self.num_cache_hits + other.num_cache_hits,
            num_failures=self.num_failures + other.num_failures,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchProgress:
    """Where the search of a run's examples stands."""

    num_examples: int
    num_examples_done: int
    num_paths_searched: int
    """Outcomes that were delivered to searches, from devices or the cache."""
    num_cache_hits: int
    """Those of them that came from the cache."""
    num_failures: int
    num_coordinators: int = 1
    """Coordinators at work."""
    num_coordinator_restarts: int = 0
    """Coordinators that died or hung, and were replaced."""
    study_budget: int = 0
    """Paths that the study of other questions may search, while it goes on; else 0."""
