"""What each invocation of a search cost: one small JSON file per session in the run folder, rewritten as it goes.

A corpus says what was found; sessions say what was paid, over resumes and kills. How the counters grew lies beside each
file (`search_cluster.telemetry.samples`).
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from search_cluster.files import write_text_whole
from search_cluster.telemetry.samples import SAMPLES_SUFFIX, SampleLog

SESSIONS_FOLDER = "sessions"
SUMMED = ("paths_evaluated", "cache_hits", "failures", "device_seconds", "device_busy_seconds", "elapsed_seconds")
"""Counters that add up over sessions."""
NUMBERS = {
    *SUMMED, "examples_done", "examples_total", "paths_searched", "paths_per_device_hour", "workers", "worker_restarts",
    "cache_errors",
}  # fmt: skip
"""All that is read of a session but its time of start."""


class SessionLog:
    """One session's counters on disk, at most ``interval_s`` old, replaced whole.

    Args:
        run_dir: the run folder.
        name: unique within the folder, sorting by start time.
        clock: seconds that only grow.
        interval_s: between two writes.
    """

    def __init__(
        self, run_dir: Path, name: str, *, clock: Callable[[], float] = time.monotonic, interval_s: float = 2.0
    ) -> None:
        self._path = run_dir / SESSIONS_FOLDER / f"{name}.json"
        self._samples = SampleLog(self._path.with_name(f"{name}{SAMPLES_SUFFIX}"), interval_s=interval_s)
        self._clock = clock
        self._interval_s = interval_s
        self._last_s: float | None = None

    def update(self, counters: Mapping[str, Any], *, force: bool = False) -> None:
        """Write the counters if the last write is old enough, or if forced."""
        now_s = self._clock()
        if not force and self._last_s is not None and now_s - self._last_s < self._interval_s:
            return
        self._last_s = now_s
        self._samples.take(counters, force=force)
        write_text_whole(self._path, json.dumps(dict(counters)) + "\n")


def read_sessions(run_dir: Path) -> tuple[dict[Path, dict[str, Any]], tuple[str, ...]]:
    """The sessions of a run by their files, oldest first; and what is wrong with files that hold none, in words."""
    sessions, problems = {}, []
    for path in sorted((run_dir / SESSIONS_FOLDER).glob("*.json")):
        try:
            session = json.loads(path.read_text())
            _require_counters(session)
        except (OSError, ValueError) as error:
            problems.append(f"{path} is damaged ({error}) and left out; delete it: only its costs are lost")
        else:
            sessions[path] = session
    return sessions, tuple(problems)


def _require_counters(session: Any) -> None:
    """Pass if all that is counted is a number.

    Raises:
        ValueError: it is not, or there is no object.
    """
    if not isinstance(session, dict):
        raise ValueError("it holds no JSON object")
    for name in NUMBERS & session.keys():
        value = session[name]
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise ValueError(f"{name} is {value!r}, no number")


def total_of(sessions: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The sums of `SUMMED` counters over sessions, and the last session's other values."""
    sessions = list(sessions)
    total: dict[str, Any] = dict(sessions[-1]) if sessions else {}
    for name in SUMMED:
        total[name] = sum(session.get(name, 0) for session in sessions)
    held_s = total["device_seconds"]
    total["paths_per_device_hour"] = 3600.0 * total.get("paths_searched", 0) / held_s if held_s else 0.0
    return total
