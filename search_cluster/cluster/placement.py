"""How many workers a search starts on a Ray cluster, and on what."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search_cluster.config import RAY_LOCAL, SearchConfig
from search_cluster.errors import ConfigError

MAX_AUTO_CPU_WORKERS = 8
"""Each CPU worker holds a copy of the model."""


GPU_STEPS = 10_000
"""Ray counts parts of a device in steps of one in so many, and rounds to the nearest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What a pool asks Ray for."""

    num_workers: int
    num_gpus_per_worker: float
    """Below 1 where workers share GPUs, above where one worker's layers do."""


def place_workers(config: SearchConfig, gpus: Sequence[int], *, num_cpus: int) -> Placement:
    """`workers_per_gpu` workers per GPU, else one per `threads_per_worker` CPUs.

    Where a worker has several GPUs there are as many as nodes have groups of so many. The number of
    workers that the configuration says wins.

    Args:
        config: settings of the search.
        gpus: GPUs that each node of the cluster has now. An autoscaler may have let go of all: it
            brings them back when workers ask for them.
        num_cpus: CPUs that the cluster has now.

    Raises:
        ConfigError: GPUs are wanted, none is there now, and nobody said how many; or a worker is to
            have more of them than any node has.
    """
    num_gpus, each = sum(gpus), config.devices_per_worker
    if config.device == "cpu" or (
        num_gpus == 0 and (config.device != "cuda" or config.ray == RAY_LOCAL)
    ):
        if each > 1:
            raise ConfigError(
                f"devices_per_worker is {each}, and there is no GPU; leave it out, or name a "
                "cluster with GPUs (--device cuda with --workers if it brings them when asked)"
            )
        auto = min(MAX_AUTO_CPU_WORKERS, max(1, num_cpus // config.threads_per_worker))
        return Placement(num_workers=config.workers or auto, num_gpus_per_worker=0)
    if not num_gpus and config.workers is None:
        share = f"one for each {each} GPUs"
        if each == 1:
            share = f"{config.workers_per_gpu} for each GPU"
        raise ConfigError(
            f"the cluster has no GPU at the moment; say how many --workers are wanted, {share}"
        )
    if num_gpus and each > max(gpus):
        raise ConfigError(
            f"devices_per_worker is {each}, and no node has more than {max(gpus)} GPUs; a worker's "
            f"devices are on one node: set it to {max(gpus)} or less, or take larger nodes"
        )
    return Placement(
        num_workers=config.workers or _num_places(config, gpus),
        # Rounded down, or the last of seven would find no room.
        num_gpus_per_worker=each
        if each > 1
        else math.floor(GPU_STEPS / config.workers_per_gpu) / GPU_STEPS,
    )


def _num_places(config: SearchConfig, gpus: Sequence[int]) -> int:
    """The workers that nodes have GPUs for."""
    return sum(number // config.devices_per_worker for number in gpus) * config.workers_per_gpu


def room_for_workers(
    config: SearchConfig, placement: Placement, gpus: Sequence[int], *, num_cpus: int
) -> int:
    """How many workers the cluster has room for later, when nodes have come or gone.

    Args:
        config: settings of the search.
        placement: what was asked for at the start; workers stay on what they are on.
        gpus: GPUs that each node of the cluster has now.
        num_cpus: CPUs that the cluster has now.
    """
    if config.workers is not None:
        return config.workers
    if placement.num_gpus_per_worker:
        return _num_places(config, gpus)
    return min(MAX_AUTO_CPU_WORKERS, num_cpus // config.threads_per_worker)
