"""The workers that a configuration names, and the context of their verdicts.

The rooms of torch and Ray are imported when workers are opened, so that the command line's help is
fast and a search without Ray needs no Ray.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from search_cluster.cache.keys import CONTEXT_SCHEMA, VerdictContext
from search_cluster.config import RAY_LOCAL, RAY_NONE, SearchConfig
from search_cluster.tasks.registry import absolute_spec
from search_cluster.tasks.task import Task

if TYPE_CHECKING:
    from search_cluster.cluster.ray_pool import RayPool
    from search_cluster.workers.local_pool import LocalPool
    from search_cluster.workers.messages import WorkerInfo, WorkerSpec
    from search_cluster.workers.processes.pool import ProcessPool

    Pool = LocalPool | ProcessPool | RayPool

logger = logging.getLogger(__name__)


@contextmanager
def open_pool(
    config: SearchConfig, *, tie_threshold: float | None = None, more_tasks: Sequence[str] = ()
) -> Iterator["Pool"]:
    """The workers: threads of this process, processes where devices may break, or Ray actors.

    Args:
        config: which and how many.
        tie_threshold: the gap up to which they recompute verdicts, for a run that was begun so;
            ``None``: as their arithmetic needs.
        more_tasks: tasks that they answer beside the configuration's.
    """
    from search_cluster.model.load.place import pinned_revision
    from search_cluster.workers.messages import WorkerSpec  # torch: seconds

    spec = WorkerSpec(
        model=config.model_spec,
        dtype=config.dtype,
        device=config.device,
        revision=pinned_revision(config.model_spec, config.revision),
        trust_remote_code=config.trust_remote_code,
        chat=config.chat,
        task=absolute_spec(config.task),
        more_tasks=tuple(map(absolute_spec, more_tasks)),
        num_threads=config.threads_per_worker,
        executor=config.executor,
        state_bytes=config.state_bytes,
        tie_threshold=tie_threshold,
        rows_per_call=config.rows_per_call,
        workers_per_gpu=config.workers_per_gpu,
        devices_per_worker=config.devices_per_worker,
    )
    if config.ray != RAY_NONE:
        with _open_ray_pool(config, spec) as ray_pool:
            yield ray_pool
        return
    with closing(_local_pool(config, spec)) as pool:
        for line in pool.info.warnings if has_processes(config) else ():
            logger.warning("%s", line)  # what a process logs of its loading is not shown
        yield pool


def has_processes(config: SearchConfig) -> bool:
    """Whether workers of this machine are processes, which can be replaced when a GPU breaks.

    On a CPU, which does not break alone, they are threads, which share the model.
    """
    from search_cluster.model.runtime import num_visible_gpus

    return config.device != "cpu" and num_visible_gpus() > 0


def _local_pool(config: SearchConfig, spec: "WorkerSpec") -> "LocalPool | ProcessPool":
    num_workers = config.workers or 1
    if not has_processes(config):
        from search_cluster.workers.local_pool import LocalPool

        return LocalPool(
            spec, num_workers=num_workers, requests_per_batch=config.requests_per_batch
        )
    from search_cluster.workers.device_groups import first_devices
    from search_cluster.workers.processes.fleet import ProcessFleet
    from search_cluster.workers.processes.pool import ProcessPool

    device = "cuda" if config.device == "auto" else config.device
    return ProcessPool(
        ProcessFleet(
            spec,
            first_devices(device, config.devices_per_worker, num_workers),
            num_workers,
            placement_timeout_s=config.placement_timeout_s,
        ),
        requests_per_batch=config.requests_per_batch,
        placement_timeout_s=config.placement_timeout_s,
        worker_timeout_s=config.worker_timeout_s,
    )


@contextmanager
def _open_ray_pool(config: SearchConfig, spec: "WorkerSpec") -> Iterator["RayPool"]:
    from search_cluster.cluster.environment import keep_termination_handler, prepare_ray_environment

    prepare_ray_environment(config.ray)
    with keep_termination_handler():
        from search_cluster.cluster.placement import place_workers, room_for_workers

        # Ray reads the environment that was just prepared when it is imported.
        from search_cluster.cluster.ray_pool import RayPool, ask_for_workers
        from search_cluster.cluster.session import (
            connect_ray,
            count_devices,
            disconnect_ray,
            gpus_of_nodes,
            require_one_node,
        )

        connect_ray(config.ray, min_cpus=(config.workers or 1) * config.threads_per_worker)
    try:
        if config.redis_url == "embedded" and config.ray != RAY_LOCAL:
            require_one_node()
        placement = place_workers(config, gpus_of_nodes(), num_cpus=count_devices("CPU"))

        def room() -> int:
            """Nodes that join later have work, too."""
            return room_for_workers(
                *(config, placement, gpus_of_nodes()),
                num_cpus=count_devices("CPU"),
            )

        fleet = ask_for_workers(
            spec,
            num_workers=placement.num_workers,
            num_gpus_per_worker=placement.num_gpus_per_worker,
            placement_timeout_s=config.placement_timeout_s,
            worker_timeout_s=config.worker_timeout_s,
            room=None if config.ray == RAY_LOCAL else room,
        )
        pool = RayPool(
            fleet,
            requests_per_batch=config.requests_per_batch,
            placement_timeout_s=config.placement_timeout_s,
            worker_timeout_s=config.worker_timeout_s,
        )
        with closing(pool):
            for line in pool.info.warnings:  # a worker's own log reaches nobody
                logger.warning("%s", line)
            yield pool
    finally:
        disconnect_ray()


def verdict_context(task: Task, info: "WorkerInfo") -> VerdictContext:
    """What the verdicts of such workers on such a task depend on, beside example and path."""
    from search_cluster.model.prompting import PROMPTING_VERSION

    return _context(task, info, info.model_fingerprint, PROMPTING_VERSION)


def former_contexts(task: Task, info: "WorkerInfo") -> list[VerdictContext]:
    """What former versions recorded as `verdict_context` of such workers on such a task."""
    from search_cluster.model.prompting import FORMER_PROMPTING_VERSIONS

    return [
        _context(task, info, fingerprint, prompting)
        for fingerprint in info.model.former_fingerprints
        for prompting in FORMER_PROMPTING_VERSIONS
    ]


def _context(task: Task, info: "WorkerInfo", fingerprint: str, prompting: str) -> VerdictContext:
    from search_cluster.model.scoring import SCORING_VERSIONS

    return VerdictContext(
        schema=CONTEXT_SCHEMA,
        model_fingerprint=fingerprint,
        task=task.name,
        task_version=task.version,
        decoding=(
            f"{task.kind.value};prompting={prompting};scoring={SCORING_VERSIONS[info.dtype]};"
            f"greedy;max_new_tokens={task.max_new_tokens};stop={task.stop_strings!r}"
        ),
        tie_threshold=info.tie_threshold,
        num_layers=info.num_layers,
        arithmetic=info.arithmetic,
    )
