"""The counters of one invocation of a search, and their JSON form in session files and results."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from search_cluster.protocols.counters import EvaluatorStats, SearchProgress

JSON_KEYS = {
    "num_examples_done": "examples_done",
    "num_examples": "examples_total",
    "num_paths_searched": "paths_searched",
    "num_paths_evaluated": "paths_evaluated",
    "num_cache_hits": "cache_hits",
    "num_failures": "failures",
    "device_held_s": "device_seconds",
    "device_busy_s": "device_busy_seconds",
    "paths_per_device_hour": "paths_per_device_hour",
    "num_layer_tokens": "layer_tokens",
    "num_layer_runs": "layer_runs",
    "num_tie_rechecks": "tie_rechecks",
    "num_evictions": "evictions",
    "num_workers": "workers",
    "num_worker_restarts": "worker_restarts",
    "num_coordinators": "coordinators",
    "num_coordinator_restarts": "coordinator_restarts",
    "num_cache_errors": "cache_errors",
    "elapsed_s": "elapsed_seconds",
    "started_at": "started_at",
    "num_cut_answers": "cut_answers",
    "recheck_s": "recheck_seconds",
    "study_budget": "study_budget",
    "num_layer_rows": "layer_rows",
    "flops": "computed_flops",
    "available_flops": "available_flops",
}
"""Keys of the JSON form by our names, in their order there. Users and older session files have
them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCounters:
    """What an invocation delivered so far, and what it cost."""

    num_examples_done: int = 0
    num_examples: int = 0
    num_paths_searched: int = 0
    """Paths whose outcome was delivered to a search, from a device or the cache."""
    num_paths_evaluated: int = 0
    """Paths that a device gave a verdict on."""
    num_cache_hits: int = 0
    """Paths that the cache answered."""
    num_failures: int = 0
    device_held_s: float = 0.0
    """Seconds for which devices were allocated, summed over devices."""
    device_busy_s: float = 0.0
    """Seconds for which devices computed, summed over devices."""
    num_layer_tokens: int = 0
    num_layer_runs: int = 0
    num_tie_rechecks: int = 0
    num_evictions: int = 0
    num_workers: int = 0
    num_worker_restarts: int = 0
    num_coordinators: int = 0
    num_coordinator_restarts: int = 0
    num_cache_errors: int = 0
    """Cached values that did not decode, and cache commands that failed."""
    elapsed_s: float = 0.0
    """Seconds since the invocation began."""
    started_at: str | None = None
    """When the invocation began (ISO 8601)."""
    num_cut_answers: int = 0
    """Generated answers that ended for want of tokens (``max_new_tokens``), of those that a device
    gave; what a cached answer ended by is not known."""
    recheck_s: float = 0.0
    """Seconds that recomputed verdicts (`num_tie_rechecks`) took, part of `device_busy_s`."""
    study_budget: int = 0
    """Paths that the study of other questions may search, while it goes on; else 0."""
    num_layer_rows: int = 0
    """(layer, row) applications that engines computed."""
    flops: float = 0.0
    """Arithmetic of these, counted (`EngineWork.flops`)."""
    available_flops: float = 0.0
    """What the devices could have computed while they were held: a plain product's speed on each,
    measured when its worker started, times its seconds; 0 where that is not known."""

    @classmethod
    def of(
        cls, progress: SearchProgress, stats: EvaluatorStats, *, elapsed_s: float, started_at: str
    ) -> "RunCounters":
        """The counters of a running search.

        Args:
            progress: where the search stands.
            stats: counters of its workers and caches.
            elapsed_s: seconds since the invocation began.
            started_at: when it began.
        """
        return cls(
            num_examples_done=progress.num_examples_done,
            num_examples=progress.num_examples,
            num_paths_searched=progress.num_paths_searched,
            num_paths_evaluated=stats.num_evaluated,
            num_cache_hits=stats.num_cache_hits,
            num_failures=progress.num_failures,
            device_held_s=stats.device_held_s,
            device_busy_s=stats.device_busy_s,
            num_layer_tokens=stats.num_layer_tokens,
            num_layer_runs=stats.work.num_layer_runs,
            num_tie_rechecks=stats.work.num_tie_rechecks,
            num_evictions=stats.work.num_evictions,
            num_workers=stats.num_devices,
            num_worker_restarts=stats.num_worker_restarts,
            num_coordinators=progress.num_coordinators,
            num_coordinator_restarts=progress.num_coordinator_restarts,
            num_cache_errors=stats.num_cache_errors,
            elapsed_s=elapsed_s,
            started_at=started_at,
            num_cut_answers=stats.work.num_cut_answers,
            recheck_s=stats.work.recheck_s,
            study_budget=progress.study_budget,
            num_layer_rows=stats.work.num_layer_rows,
            flops=stats.work.flops,
            available_flops=sum(worker.available_flops for worker in stats.workers),
        )

    @property
    def paths_per_device_hour(self) -> float:
        """Paths searched per hour for which a device was held; 0 if none was."""
        return paths_per_device_hour(self.num_paths_searched, self.device_held_s)

    def to_json(self) -> dict[str, Any]:
        """The counters under the keys that users and session files know; `from_json` reads them."""
        return {key: getattr(self, name) for name, key in JSON_KEYS.items()}

    @classmethod
    def from_json(cls, values: Any) -> "RunCounters":
        """The counters in a JSON object, as `to_json` gives it.

        Keys that it lacks count as 0, for an older version may have written it; keys that are
        unknown are passed over, for a later one may have.

        Raises:
            ValueError: there is no object, or something that is counted is no finite number.
        """
        if not isinstance(values, Mapping):
            raise ValueError("it holds no JSON object")
        for key in (set(JSON_KEYS.values()) - {"started_at"}) & values.keys():
            _require_number(key, values[key])
        return cls(
            **{
                item.name: values[JSON_KEYS[item.name]]
                for item in fields(cls)
                if JSON_KEYS[item.name] in values
            }
        )


def used_figures(run: Mapping[str, Any]) -> dict[str, float | None]:
    """How well a run used its devices, as ``--json`` reports it; see the two functions below."""
    return {"peak_share": share_of_peak(run), "recheck_share": recheck_share(run)}


def share_of_peak(run: Mapping[str, Any]) -> float | None:
    """The share of its devices' arithmetic that a run used; ``None`` where it is not known.

    Args:
        run: the JSON form of counters, or their sums; it may lack keys.
    """
    available = run.get("available_flops") or 0.0
    return run.get("computed_flops", 0.0) / available if available else None


def recheck_share(run: Mapping[str, Any]) -> float | None:
    """The share of its busy time in which a run recomputed verdicts; ``None`` if it had none.

    Args:
        run: the JSON form of counters, or their sums; it may lack keys.
    """
    busy_s = run.get("device_busy_seconds") or 0.0
    return run.get("recheck_seconds", 0.0) / busy_s if busy_s else None


def paths_per_device_hour(num_paths_searched: float, device_held_s: float) -> float:
    """A rate that compares clusters of different sizes; 0 if no device was held."""
    return 3600.0 * num_paths_searched / device_held_s if device_held_s else 0.0


def _require_number(key: str, value: Any) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{key} is {value!r}, no number")
