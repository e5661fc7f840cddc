"""The metrics of a running search: their names, and when they are exported, to whomever.

Counters start at 0 with each invocation and grow; gauges say how things stand. All carry the label
``run``; those of devices carry ``node``, ``worker`` and ``device``, too. `deploy/grafana/` and
`deploy/prometheus/` read them.
"""

import time
from collections.abc import Callable, Mapping

from search_cluster.corpus.encoded_shard import SavedLayers
from search_cluster.protocols.counters import EvaluatorStats, WorkerStats
from search_cluster.protocols.metrics import Metric, MetricKind, MetricsExporter
from search_cluster.telemetry.price import Price
from search_cluster.telemetry.run_counters import RunCounters


def _counter(name: str, description: str) -> Metric:
    return Metric(name=f"search_{name}", kind=MetricKind.COUNTER, description=description)


def _gauge(name: str, description: str) -> Metric:
    return Metric(name=f"search_{name}", kind=MetricKind.GAUGE, description=description)


def _of_worker(name: str, description: str, kind: MetricKind = MetricKind.COUNTER) -> Metric:
    labels = ("run", "node", "worker", "device")
    return Metric(name=f"search_{name}", kind=kind, description=description, labels=labels)


RUN_METRICS: dict[str, Metric] = {
    "num_paths_searched": _counter(
        "paths_searched", "Paths whose outcome reached a tree, from a device or the cache"
    ),
    "num_cache_hits": _counter("paths_cached", "Paths that the cache answered"),
    "num_cache_errors": _counter(
        "cache_errors", "Cached values that did not decode, and cache commands that failed"
    ),
    "num_examples_done": _gauge("examples_done", "Examples whose search has ended"),
    "num_examples": _gauge("examples", "Examples of the run"),
    "num_workers": _gauge("workers", "Workers of the run"),
}
"""The metrics of the whole run, by the field of `RunCounters` that they export."""
QUEUE_DEPTH = _gauge("queue_depth", "Requests that wait for a device or run on it")
SAVED_LAYERS = _gauge(
    "saved_layers", "Model depth minus length of the best path, summed over solved examples"
)
VERIFIED_SAVED_LAYERS = _gauge(
    "verified_saved_layers", "The part of saved_layers that reserved evidence speaks for"
)
PRICE = _gauge("price_per_gpu_hour", "Price of a device-hour, where somebody named one")
SOLVED_EXAMPLES = _gauge("solved_examples", "Examples done whose best path is right")
PATHS_EVALUATED = _of_worker("paths_evaluated", "Paths that a device gave a verdict on")
PATHS_FAILED = _of_worker("paths_failed", "Paths that ended without a verdict")
DEVICE_HELD = _of_worker("device_held_seconds", "Seconds for which the device was allocated")
DEVICE_BUSY = _of_worker(
    "device_busy_seconds", "Seconds for which the worker had requests, however little they compute"
)
LAYER_TOKENS = _of_worker("layer_tokens", "(layer, token) applications of the evaluated paths")
WORKER_RESTARTS = _of_worker("worker_restarts", "Times that the worker died and was built again")
LAYER_RUNS = _of_worker("layer_runs", "Runs of a layer for an (example, path prefix)")
TIE_RECHECKS = _of_worker(
    "tie_rechecks", "Verdicts recomputed by the materialised model: a gap was too small"
)
RECHECK_SECONDS = _of_worker(
    "recheck_seconds", "Seconds that verdicts recomputed by the materialised model took"
)
LAYER_ROWS = _of_worker("layer_rows", "(layer, row) applications that were computed")
COMPUTED_FLOPS = _of_worker(
    "computed_flops", "Arithmetic of these rows, of attention and of logits, as counted"
)
AVAILABLE_FLOPS = _of_worker(
    "available_flops",
    "What a plain product, timed when the worker started, would have done while it was held",
)
MEMORY = _of_worker(
    "device_memory_bytes", "Memory of the device in use, by whomever", MetricKind.GAUGE
)
MEMORY_LIMIT = _of_worker(
    "device_memory_limit_bytes", "Memory that the device has", MetricKind.GAUGE
)
UTILISATION = _of_worker(
    "device_utilisation",
    "Share of the last moments in which the GPU ran a kernel (NVML)",
    MetricKind.GAUGE,
)
EVICTIONS = _of_worker("evictions", "States of path prefixes thrown away for want of memory")

WORKER_METRICS: tuple[tuple[Metric, Callable[[WorkerStats], float | None]], ...] = (
    (PATHS_EVALUATED, lambda stats: stats.num_evaluated),
    (PATHS_FAILED, lambda stats: stats.num_failures),
    (DEVICE_HELD, lambda stats: stats.device_held_s),
    (DEVICE_BUSY, lambda stats: stats.device_busy_s),
    (LAYER_TOKENS, lambda stats: stats.num_layer_tokens),
    (WORKER_RESTARTS, lambda stats: stats.num_restarts),
    (LAYER_RUNS, lambda stats: stats.work.num_layer_runs),
    (TIE_RECHECKS, lambda stats: stats.work.num_tie_rechecks),
    (RECHECK_SECONDS, lambda stats: stats.work.recheck_s),
    (EVICTIONS, lambda stats: stats.work.num_evictions),
    (LAYER_ROWS, lambda stats: stats.work.num_layer_rows),
    (COMPUTED_FLOPS, lambda stats: stats.work.flops),
    (AVAILABLE_FLOPS, lambda stats: stats.available_flops),
    (MEMORY, lambda stats: stats.reading.memory_bytes or None),
    (MEMORY_LIMIT, lambda stats: stats.reading.memory_limit_bytes or None),
    (UTILISATION, lambda stats: stats.reading.utilisation),
)
"""With what each exports; ``None`` is not known, and not exported."""
METRICS: tuple[Metric, ...] = (
    *RUN_METRICS.values(),
    QUEUE_DEPTH,
    SAVED_LAYERS,
    VERIFIED_SAVED_LAYERS,
    SOLVED_EXAMPLES,
    PRICE,
    *(metric for metric, _ in WORKER_METRICS),
)


class RunMetrics:
    """Exports what one invocation of a search does.

    Args:
        exporter: where to.
        run: the value of the label ``run``.
        price: of a device-hour, if somebody named one.
    """

    def __init__(self, exporter: MetricsExporter, run: str, price: Price | None = None) -> None:
        self._price = price
        self._exporter = exporter
        self._run = run
        self._exported: dict[tuple[str, int | None], float] = {}
        self._num_saved_layers = self._num_verified_layers = 0
        self._num_solved = 0

    def add_example(self, saved: SavedLayers | None) -> None:
        """Take what the best path of an example saves that ended; exported by the next `update`."""
        if saved is not None:
            self._num_solved += 1
            self._num_saved_layers += saved.num_layers
            self._num_verified_layers += saved.num_layers if saved.is_verified else 0

    def update(self, counters: RunCounters, stats: EvaluatorStats) -> None:
        """Export the totals so far.

        Args:
            counters: the run's.
            stats: counters per worker; a worker that moved to another node goes on there.
        """
        labels = {"run": self._run}
        for name, metric in RUN_METRICS.items():
            self._export(metric, None, getattr(counters, name), labels)
        self._export(QUEUE_DEPTH, None, stats.num_in_flight, labels)
        self._export(SAVED_LAYERS, None, self._num_saved_layers, labels)
        self._export(VERIFIED_SAVED_LAYERS, None, self._num_verified_layers, labels)
        self._export(SOLVED_EXAMPLES, None, self._num_solved, labels)
        if self._price is not None:
            self._export(PRICE, None, self._price.per_gpu_hour, labels)
        for worker in stats.workers:
            of_worker = labels | {
                "node": worker.node,
                "worker": str(worker.worker),
                "device": worker.device,
            }
            for metric, value_of in WORKER_METRICS:
                if (value := value_of(worker)) is not None:
                    self._export(metric, worker.worker, value, of_worker)

    def _export(
        self, metric: Metric, worker: int | None, total: float, labels: Mapping[str, str]
    ) -> None:
        if metric.kind is MetricKind.GAUGE:
            self._exporter.set(metric, total, labels)
            return
        amount = total - self._exported.get((metric.name, worker), 0.0)
        if amount > 0:
            self._exported[metric.name, worker] = total
            self._exporter.add(metric, amount, labels)


class EverySecond:
    """Says when another interval has passed, so that a fast loop reports at a bounded rate.

    Args:
        interval_s: between two reports.
        clock: seconds that only grow.
    """

    def __init__(
        self, interval_s: float = 1.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._last_s: float | None = None

    def due(self) -> bool:
        """Whether the last ``True`` is an interval ago; the first call says ``True``."""
        now_s = self._clock()
        if self._last_s is not None and now_s - self._last_s < self._interval_s:
            return False
        self._last_s = now_s
        return True
