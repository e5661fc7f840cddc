"""The workers of one process, on one device or on groups of several."""

from dataclasses import replace

from search_cluster.model.runtime import num_visible_gpus
from search_cluster.workers.messages import WorkerSpec
from search_cluster.workers.path_worker import PathWorker


def workers_of(spec: WorkerSpec, num_workers: int) -> list[PathWorker]:
    """Threads' workers: those of one group share its model.

    Args:
        spec: what every worker builds.
        num_workers: how many.

    Raises:
        DeviceBrokenError: a device is broken.
        ModelError: the model can't be loaded.
        TaskError: the task is unknown.
    """
    firsts = first_devices(spec, num_workers)
    # Of seven workers on two groups four share one, and plans are made for four.
    spec = replace(
        spec, workers_per_gpu=-(-num_workers // len(firsts)), shares_weights=True
    )
    leaders: list[PathWorker] = []
    workers: list[PathWorker] = []
    for number in range(num_workers):
        leader = leaders[number % len(firsts)] if number >= len(firsts) else None
        worker = PathWorker(
            replace(spec, device=firsts[number % len(firsts)]),
            loaded=None if leader is None else leader.loaded,
            failure_log=workers[0].failure_log if workers else None,
        )
        if leader is None:
            leaders.append(worker)
        workers.append(worker)
    return workers


def first_devices(spec: WorkerSpec, num_workers: int) -> list[str]:
    """The first device of each group; workers of one device each share the one that is named."""
    each = spec.devices_per_worker
    num_groups = max(1, min(num_workers, num_visible_gpus() // each))
    if each == 1 or num_groups == 1 or ":" in spec.device:
        return [spec.device]
    return [f"cuda:{each * group}" for group in range(num_groups)]
