"""What each device of a run does: rows a second, share of its arithmetic, memory, rechecks.

"Busy" says that a worker had requests, not that its device had much to compute: a card that is
handed one small product after the other is busy all the time, and so is the utilisation that its
driver tells. The share of a plain product's speed is the figure that a starved card can't hide.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from search_cluster.protocols.counters import WorkerStats

STARVED_SHARE = 0.1
"""A GPU below this share of a plain product's speed is starved: engines reach several times as
much when batches and calls are large enough (`deploy/runs/gpu_check.py` measures what is usual)."""
DEVICES_KEY = "devices"
"""Key of what each device did, in a session's file."""
FIGURES = (
    "worker", "node", "device", "name", "paths_evaluated", "device_seconds", "rows_per_second",
    "peak_share", "peak_flops_per_second", "busy_share", "recheck_share", "memory_bytes",
    "memory_limit_bytes", "utilisation",
)  # fmt: skip
"""What is told of a device."""
MAX_DEVICES = 64
"""Devices that are told one by one; of more, those with the smallest shares."""


def device_figures(workers: Iterable[WorkerStats]) -> list[dict[str, Any]]:
    """What each worker's device did since the invocation began, the least used ones first.

    Shares and rates are of the seconds for which the device was held; ``None`` is not known.
    """
    found = [_figures(worker) for worker in workers]
    return sorted(found, key=_order)[:MAX_DEVICES]


def _figures(worker: WorkerStats) -> dict[str, Any]:
    held_s, available = worker.device_held_s, worker.available_flops
    work, reading = worker.work, worker.reading
    return {
        "worker": worker.worker,
        "node": worker.node,
        "device": worker.device,
        "name": reading.name,
        "paths_evaluated": worker.num_evaluated,
        "device_seconds": round(held_s, 3),
        "rows_per_second": _share(work.num_layer_rows, held_s),
        "peak_share": _share(work.flops, available),
        "peak_flops_per_second": reading.peak_flops_per_s or None,
        "busy_share": _share(worker.device_busy_s, held_s),
        "recheck_share": _share(work.recheck_s, worker.device_busy_s),
        "memory_bytes": reading.memory_bytes or None,
        "memory_limit_bytes": reading.memory_limit_bytes or None,
        "utilisation": reading.utilisation,
    }


def known_devices(session: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The devices in a session's file, as far as they are whole; older versions told of none."""
    found = session.get(DEVICES_KEY)
    return [
        {name: item.get(name) for name in FIGURES}
        for item in (found if isinstance(found, list) else ())
        if isinstance(item, dict)
    ]


def starved_text(share: float | None, devices: Sequence[Mapping[str, Any]]) -> str | None:
    """What to do about GPUs that compute little of what they could; ``None`` if they do enough.

    Args:
        share: of a plain product's speed, now.
        devices: what `device_figures` says of them.
    """
    is_gpu = any(str(item.get("device", "")).startswith("cuda") for item in devices)
    if share is None or share >= STARVED_SHARE or not is_gpu:
        return None
    return (
        f"The GPUs do {share:.1%} of a plain product's arithmetic: they are starved, however busy "
        "they look. Raise workers_per_gpu, requests_per_batch or coordinators, give the driver's "
        "node more CPU, or hold fewer GPUs."
    )


def _order(figures: Mapping[str, Any]) -> tuple[float, int]:
    share = figures["peak_share"]
    return (2.0 if share is None else share), figures["worker"]


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
