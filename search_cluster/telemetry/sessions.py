"""What each invocation of a search cost: a small JSON file per session, rewritten as it goes.

A corpus says what was found; sessions say what was paid, over resumes and kills. How the counters
grew lies beside each file (`search_cluster.telemetry.samples`).
"""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from search_cluster.files import write_text_whole
from search_cluster.protocols.counters import WorkerStats
from search_cluster.telemetry.devices import DEVICES_KEY, device_figures
from search_cluster.telemetry.price import Price, cost_figures
from search_cluster.telemetry.run_counters import (
    JSON_KEYS,
    RunCounters,
    paths_per_device_hour,
)
from search_cluster.telemetry.samples import SAMPLES_SUFFIX, SampleLog
from search_cluster.trackers import NO_TRACKERS, Trackers

SESSIONS_FOLDER = "sessions"
SUMMED = tuple(
    JSON_KEYS[name]
    for name in (
        "num_paths_evaluated",
        "num_cache_hits",
        "num_failures",
        "device_held_s",
        "device_busy_s",
        "elapsed_s",
        "num_tie_rechecks",
        "recheck_s",
        "num_layer_rows",
        "flops",
        "available_flops",
    )
)
"""Keys of the counters that add up over sessions. The others begin with what was there before."""
MAX_WRITING_SHARE = 0.05
"""The part of its time that a run may spend writing sessions, where renames are slow."""
CUT_ANSWERS = JSON_KEYS["num_cut_answers"]
"""Adds up, too, but older sessions did not count it, and what is not known is not 0."""


class SessionLog:
    """One session's counters on disk, at most ``interval_s`` old, replaced whole.

    Args:
        run_dir: the run folder.
        name: unique within the folder, sorting by start time.
        clock: seconds that only grow.
        interval_s: between two writes.
        trackers: who is told the same.
        price: of a device-hour, if somebody named one.
    """

    def __init__(
        self,
        run_dir: Path,
        name: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        interval_s: float = 2.0,
        trackers: Trackers = NO_TRACKERS,
        price: Price | None = None,
    ) -> None:
        self._price = {} if price is None else price.to_json()
        self._path = run_dir / SESSIONS_FOLDER / f"{name}.json"
        self._samples = SampleLog(
            self._path.with_name(f"{name}{SAMPLES_SUFFIX}"), interval_s=interval_s
        )
        self._clock = clock
        self._interval_s = interval_s
        self._wait_s = interval_s
        self._last_s: float | None = None
        self._trackers = trackers

    def update(
        self, counters: RunCounters, workers: Iterable[WorkerStats] = (), *, force: bool = False
    ) -> None:
        """Write the counters if the last write is old enough, or if forced.

        Args:
            counters: the run's.
            workers: those of each worker.
            force: whether to write in any case.
        """
        now_s = self._clock()
        if not force and self._last_s is not None and now_s - self._last_s < self._wait_s:
            return
        self._samples.take(counters, force=force)
        values = counters.to_json()
        whole = values | self._price | {DEVICES_KEY: device_figures(workers)}
        write_text_whole(self._path, json.dumps(whole) + "\n")
        self._trackers.log(values)
        self._last_s = self._clock()
        # The caller drives the search: a shared file system that takes seconds for a rename must
        # not take them from every step.
        self._wait_s = max(self._interval_s, (self._last_s - now_s) / MAX_WRITING_SHARE)


def read_sessions(run_dir: Path) -> tuple[dict[Path, dict[str, Any]], tuple[str, ...]]:
    """The sessions of a run by file, oldest first, and what is wrong with files that hold none.

    A session is the JSON form of `RunCounters`. Which keys it has depends on the version that wrote
    it, and those who show sessions say what is not known of them.
    """
    sessions, problems = {}, []
    for path in sorted((run_dir / SESSIONS_FOLDER).glob("*.json")):
        try:
            session = json.loads(path.read_text())
            RunCounters.from_json(session)
        except (OSError, ValueError) as error:
            problems.append(
                f"{path} is damaged ({error}) and left out; delete it: only its costs are lost"
            )
        else:
            sessions[path] = session
    return sessions, tuple(problems)


def total_of(sessions: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The sums of `SUMMED` counters over sessions, and the last session's other values.

    `CUT_ANSWERS` is ``None`` if a session did not count them. What it cost in money is there, too
    (`search_cluster.telemetry.price`).
    """
    sessions = list(sessions)
    total: dict[str, Any] = dict(sessions[-1]) if sessions else {}
    for name in SUMMED:
        total[name] = sum(session.get(name, 0) for session in sessions)
    counted = [session.get(CUT_ANSWERS) for session in sessions]
    total[CUT_ANSWERS] = None if None in counted else sum(filter(None, counted))
    held_s = total["device_seconds"]
    total["paths_per_device_hour"] = paths_per_device_hour(total.get("paths_searched", 0), held_s)
    return total | cost_figures(sessions)
