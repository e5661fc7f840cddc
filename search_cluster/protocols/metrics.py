"""What a metric is, and the seam through which a search exports it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class MetricKind(StrEnum):
    """How a metric moves."""

    COUNTER = "counter"
    """It grows."""
    GAUGE = "gauge"
    """It is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric; the exporter completes its name (Ray makes ``ray_NAME_total`` of a counter)."""

    name: str
    kind: MetricKind
    description: str
    labels: tuple[str, ...] = ("run",)


class MetricsExporter(Protocol):
    """Takes metrics. One thread calls it, about once a second."""

    def add(self, metric: Metric, amount: float, labels: Mapping[str, str]) -> None:
        """Let a counter grow by an amount above 0."""
        ...

    def set(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Set a gauge."""
        ...


class NoExporter:
    """Implements `MetricsExporter` for a search that nobody watches: drops everything."""

    def add(self, metric: Metric, amount: float, labels: Mapping[str, str]) -> None:
        """Drop it."""

    def set(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Drop it."""
