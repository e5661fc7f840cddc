"""Rates over time, and the time left, from the samples of sessions.

A counter's rate at a sample is its growth over the window before it, so that a rate neither jumps
with every batch nor lags by the whole session.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from search_cluster.telemetry.samples import Sample

MAX_POINTS = 600
"""The largest number of points in a series, over all sessions."""
MIN_WINDOW_S = 6.0
"""The shortest window over which rates are taken."""
WINDOW_SHARE = 0.03
"""The window's share of a session's length; long sessions are smoothed over more seconds than short
ones."""
LEFT_WINDOW_S = 60.0
"""The shortest window from which the time left is told."""
LEFT_WINDOW_SHARE = 0.2
"""The time left follows the last minute, or this share of a long session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Rates over the window that ends at one moment."""

    epoch_s: float
    """The moment, in seconds since the epoch."""
    examples_done: int
    """The number of examples done at that moment."""
    searched_per_s: float
    """Paths searched in a second, from a device or from the cache."""
    evaluated_per_s: float
    """Paths evaluated on a device in a second."""
    searched_per_device_hour: float | None
    """Paths searched in an hour of held device time; ``None`` if no device was held in the
    window."""
    busy_share: float | None
    """The share of the held device time in which workers had requests; ``None`` as above."""
    rows_per_device_s: float | None
    """Layer rows in a second of held device time; ``None`` as above, or if none was counted."""
    peak_share: float | None
    """The share of the arithmetic that a plain product would have done on the held devices;
    ``None`` if that is not known."""


def session_points(session: dict[str, Any], samples: Sequence[Sample]) -> list[Point]:
    """The rates of one session over time.

    There are none with fewer than two samples, or without its time of start.
    """
    try:
        started_s = datetime.fromisoformat(session["started_at"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return []
    if len(samples) < 2:
        return []
    window_s = max(
        MIN_WINDOW_S, WINDOW_SHARE * (samples[-1].elapsed_seconds - samples[0].elapsed_seconds)
    )
    points, start = [], 0
    for index in range(1, len(samples)):
        end = samples[index]
        while (
            start + 1 < index
            and samples[start + 1].elapsed_seconds <= end.elapsed_seconds - window_s
        ):
            start += 1
        point = _point(started_s, samples[start], end)
        if point is not None:
            points.append(point)
    return points


def thinned(points: Sequence[Point], max_points: int) -> list[Point]:
    """At most about ``max_points`` of the points, evenly chosen, always with the last one."""
    step = max(1, -(-len(points) // max(1, max_points)))
    return list(points[::-1][::step][::-1])


def seconds_left(samples: Sequence[Sample], num_left: int) -> float | None:
    """How long the remaining examples will take at the latest pace.

    ``None`` stands for a pace that is not known yet.
    """
    if num_left <= 0 or len(samples) < 2:
        return None
    end = samples[-1]
    window_s = max(LEFT_WINDOW_S, LEFT_WINDOW_SHARE * end.elapsed_seconds)
    start = next(item for item in samples if item.elapsed_seconds >= end.elapsed_seconds - window_s)
    if end.examples_done <= start.examples_done:
        # Nothing ended of late, so the pace of the whole session has to do.
        start = samples[0]
    done = end.examples_done - start.examples_done
    took_s = end.elapsed_seconds - start.elapsed_seconds
    return took_s / done * num_left if done > 0 and took_s > 0 else None


def _point(started_s: float, start: Sample, end: Sample) -> Point | None:
    took_s = end.elapsed_seconds - start.elapsed_seconds
    if took_s <= 0:
        return None
    held_s = end.device_seconds - start.device_seconds
    searched = end.paths_searched - start.paths_searched
    busy_s = end.device_busy_seconds - start.device_busy_seconds
    rows = end.layer_rows - start.layer_rows
    available = end.available_flops - start.available_flops
    return Point(
        epoch_s=started_s + end.elapsed_seconds,
        examples_done=end.examples_done,
        searched_per_s=searched / took_s,
        evaluated_per_s=(end.paths_evaluated - start.paths_evaluated) / took_s,
        searched_per_device_hour=3600.0 * searched / held_s if held_s > 0 else None,
        busy_share=min(1.0, busy_s / held_s) if held_s > 0 else None,
        rows_per_device_s=rows / held_s if held_s > 0 and rows else None,
        peak_share=(end.computed_flops - start.computed_flops) / available
        if available > 0
        else None,
    )
