"""What each invocation of a search cost: one small JSON file per session in the run folder, rewritten as it goes.

A corpus says what was found; sessions say what was paid, over resumes and kills. How the counters grew lies beside each
file (`search_cluster.telemetry.samples`).
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from search_cluster.corpus.files import write_text_whole
from search_cluster.errors import CorpusError
from search_cluster.telemetry.samples import SAMPLES_SUFFIX, SampleLog

SESSIONS_FOLDER = "sessions"
SUMMED = ("paths_evaluated", "cache_hits", "failures", "device_seconds", "device_busy_seconds", "elapsed_seconds")
"""Counters that add up over sessions."""


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


def read_sessions(run_dir: Path) -> list[dict[str, Any]]:
    """The sessions of a run, oldest first.

    Raises:
        CorpusError: a session file is damaged.
    """
    sessions = []
    for path in sorted((run_dir / SESSIONS_FOLDER).glob("*.json")):
        try:
            session = json.loads(path.read_text())
        except ValueError as error:
            raise CorpusError(f"{path} is not JSON ({error}); delete it: only its costs are lost") from error
        if not isinstance(session, dict):
            raise CorpusError(f"{path} holds no JSON object; delete it: only its costs are lost")
        sessions.append(session)
    return sessions


def total_of(sessions: list[dict[str, Any]]) -> dict[str, Any]:
    """The sums of `SUMMED` counters over sessions, and the last session's other values."""
    total: dict[str, Any] = dict(sessions[-1]) if sessions else {}
    for name in SUMMED:
        total[name] = sum(session.get(name, 0) for session in sessions)
    held_s = total["device_seconds"]
    total["paths_per_device_hour"] = 3600.0 * total.get("paths_searched", 0) / held_s if held_s else 0.0
    return total
