"""Metrics through Ray, whose agents serve them to Prometheus with ``ray_`` before the name."""

from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge

from search_cluster.protocols.metrics import Metric


class RayMetricsExporter:
    """Implements `search_cluster.protocols.metrics.MetricsExporter`; Ray is connected."""

    def __init__(self) -> None:
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}

    def add(self, metric: Metric, amount: float, labels: Mapping[str, str]) -> None:
        """Let a counter grow."""
        if metric.name not in self._counters:
            self._counters[metric.name] = Counter(
                metric.name, metric.description, tag_keys=metric.labels
            )
        self._counters[metric.name].inc(amount, tags=dict(labels))

    def set(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Set a gauge."""
        if metric.name not in self._gauges:
            self._gauges[metric.name] = Gauge(
                metric.name, metric.description, tag_keys=metric.labels
            )
        self._gauges[metric.name].set(value, tags=dict(labels))
