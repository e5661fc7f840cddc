"""The numbers of a run at one moment, ready for JSON: what the page and the terminal view show."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from search_cluster.bridged_spec import model_name
from search_cluster.corpus.card import provenance_values
from search_cluster.dashboard.history import (
    MAX_POINTS,
    Point,
    seconds_left,
    session_points,
    thinned,
)
from search_cluster.dashboard.run_folder import RunFolder, RunState, Snapshot
from search_cluster.dashboard.shard_digest import LayerUses
from search_cluster.errors import CorpusError
from search_cluster.paths.cost import BARE
from search_cluster.paths.words import path_words
from search_cluster.report.live_screen import screen_lines
from search_cluster.stats import share_of
from search_cluster.telemetry.devices import known_devices, starved_text
from search_cluster.telemetry.price import COST_KEYS, cost_text
from search_cluster.telemetry.run_counters import recheck_share, share_of_peak
from search_cluster.telemetry.sessions import total_of

SESSION_COUNTERS = (
    "started_at", "elapsed_seconds", "examples_done", "paths_searched", "paths_evaluated",
    "cache_hits", "failures", "workers", "worker_restarts", "device_seconds", "device_busy_seconds",
    "paths_per_device_hour", "computed_flops", "available_flops",
)  # fmt: skip
"""The counters of a session that are shown."""


def describe_run(folder: RunFolder) -> dict[str, Any]:
    """Everything about a run but the table of examples, and plots and tables of scan and study."""
    snapshot = folder.read()
    problems = list(snapshot.problems)
    scan = _described(lambda: folder.scan.describe(total_of(snapshot.sessions)), problems)
    depth = _described(folder.depth.describe, problems)
    values = {
        "run": _run(folder.folder, snapshot),
        "progress": _progress(snapshot),
        "costs": _costs(snapshot),
        "found": _found(snapshot),
        "history": _history(snapshot),
        "sessions": [
            {name: session[name] for name in SESSION_COUNTERS if name in session}
            for session in snapshot.sessions
        ],
        "scan": scan,
        "depth": depth,
        "problems": problems,
    }
    if scan is None and (depth is None or not depth["is_all"]):
        values["screen"] = screen_lines(values, folder.folder)
    return values


def _run(folder: Path, snapshot: Snapshot) -> dict[str, Any]:
    provenance = snapshot.provenance
    return {
        "name": folder.resolve().name,
        "state": snapshot.state.value,
        "last_sign_s": snapshot.last_sign_s,
        "started_at": snapshot.sessions[0].get("started_at") if snapshot.sessions else None,
        "provenance": None if provenance is None else asdict(provenance),
        "model": "" if provenance is None else model_name(provenance.model_spec),
        "depends_on": [] if provenance is None else provenance_values(provenance),
        "notation": "" if provenance is None else path_words(provenance.num_layers),
    }


def _described(
    describe: Callable[[], dict[str, Any] | None], problems: list[str]
) -> dict[str, Any] | None:
    """What a file says; if it is damaged, that is a problem of the page and of no other file."""
    try:
        return describe()
    except CorpusError as error:
        problems.append(str(error))
        return None


def _progress(snapshot: Snapshot) -> dict[str, Any]:
    written = len(snapshot.rows)
    latest = snapshot.sessions[-1] if snapshot.sessions else {}
    # After a resume the session counts from 0 while it replays what is written.
    done = max(written, latest.get("examples_done", 0))
    total = latest.get("examples_total")
    running = snapshot.state is RunState.RUNNING and total is not None
    samples = snapshot.samples[-1] if snapshot.samples else ()
    return {
        "examples_done": done,
        "examples_written": written,
        "examples_total": total,
        "study_budget": latest.get("study_budget", 0) if running else 0,
        "seconds_left": seconds_left(samples, total - done) if running else None,
    }


def _costs(snapshot: Snapshot) -> dict[str, Any]:
    total = total_of(snapshot.sessions)
    answered = total["paths_evaluated"] + total["cache_hits"]
    held_s = total["device_seconds"]
    points = _points(snapshot)[-1:]
    running = snapshot.state is RunState.RUNNING
    devices = known_devices(snapshot.sessions[-1]) if snapshot.sessions else []
    latest = points[-1][-1] if running and points and points[-1] else None
    return {
        "paths_searched": total.get("paths_searched", 0),
        "paths_evaluated": total["paths_evaluated"],
        "cache_hits": total["cache_hits"],
        "cache_hit_rate": total["cache_hits"] / answered if answered else None,
        "cache_errors": total.get("cache_errors", 0),
        "failures": total["failures"],
        "workers": total.get("workers"),
        "worker_restarts": sum(session.get("worker_restarts", 0) for session in snapshot.sessions),
        "device_seconds": held_s,
        "busy_share": min(1.0, total["device_busy_seconds"] / held_s) if held_s else None,
        "rows_per_device_second": total["layer_rows"] / held_s if held_s else None,
        "peak_share": share_of_peak(total),
        "recheck_share": recheck_share(total),
        "paths_per_device_hour": total["paths_per_device_hour"] if held_s else None,
        **{key: total[key] for key in COST_KEYS},
        "cost_text": cost_text(total),
        "elapsed_seconds": total["elapsed_seconds"],
        "now": None if latest is None else asdict(latest),
        "starved": starved_text(None if latest is None else latest.peak_share, devices),
        "devices": devices,
    }


def _found(snapshot: Snapshot) -> dict[str, Any]:
    rows = snapshot.rows
    provenance = snapshot.provenance
    num_layers = 0 if provenance is None else provenance.num_layers
    best = [row.best for row in rows if row.best is not None]
    identity_right = sum(row.identity_right for row in rows)
    found_right = sum(row.identity_right or row.best is not None for row in rows)
    kinds: Counter[str] = Counter()
    for digest in snapshot.digests:
        kinds.update(dict(digest.failure_kinds))
    costs = BARE if provenance is None else provenance.costs
    lengths = [costs.layers(path) for path in best]
    mean_length = sum(lengths) / len(best) if best else None
    return {
        "examples": len(rows),
        "num_layers": num_layers,
        "identity": share_of(identity_right, len(rows)),
        "found": share_of(found_right, len(rows)),
        "mean_best_length": mean_length,
        "mean_layers_saved": None if mean_length is None else num_layers - mean_length,
        "outcomes": Counter(row.outcome.value for row in rows),
        "stop_reasons": Counter(row.stop_reason for row in rows),
        "failure_kinds": kinds,
        "best_lengths": sorted(Counter(lengths).items()),
        "layers": {
            "best": _added([digest.best for digest in snapshot.digests], num_layers),
            "right": _added([digest.right for digest in snapshot.digests], num_layers),
            "tried": _added([digest.tried for digest in snapshot.digests], num_layers),
        },
    }


def _history(snapshot: Snapshot) -> list[list[dict[str, Any]]]:
    """The points of each session that has any."""
    series = [points for points in _points(snapshot) if points]
    total = sum(map(len, series))
    return [
        [asdict(point) for point in thinned(points, MAX_POINTS * len(points) // total)]
        for points in series
    ]


def _points(snapshot: Snapshot) -> list[list[Point]]:
    return [
        session_points(session, samples)
        for session, samples in zip(snapshot.sessions, snapshot.samples, strict=True)
    ]


def _added(uses: Sequence[LayerUses], num_layers: int) -> LayerUses:
    total = [[0, 0, 0] for _ in range(num_layers)]
    for shard in uses:
        for layer, counts in enumerate(shard):
            for choice, count in enumerate(counts):
                total[layer][choice] += count
    return tuple((skip, execute, repeat) for skip, execute, repeat in total)
