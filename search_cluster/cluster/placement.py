"""How many workers a search starts on a Ray cluster, and on what."""

import math
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
    """Below 1 where workers share GPUs."""


def place_workers(config: SearchConfig, *, num_gpus: int, num_cpus: int) -> Placement:
    """`workers_per_gpu` workers per GPU, else one per `threads_per_worker` CPUs.

    The number of workers that the configuration says wins.

    Args:
        config: settings of the search.
        num_gpus: GPUs that the cluster has now. An autoscaler may have let go of all: it brings
            them back when workers ask for them.
        num_cpus: CPUs that the cluster has now.

    Raises:
        ConfigError: GPUs are wanted, none is there now, and nobody said how many.
    """
    if config.device == "cpu" or (
        num_gpus == 0 and (config.device != "cuda" or config.ray == RAY_LOCAL)
    ):
        auto = min(MAX_AUTO_CPU_WORKERS, max(1, num_cpus // config.threads_per_worker))
        return Placement(num_workers=config.workers or auto, num_gpus_per_worker=0)
    if not num_gpus and config.workers is None:
        raise ConfigError(
            "the cluster has no GPU at the moment; say how many --workers are wanted, "
            f"{config.workers_per_gpu} for each GPU"
        )
    return Placement(
        num_workers=config.workers or num_gpus * config.workers_per_gpu,
        # Rounded down, or the last of seven would find no room.
        num_gpus_per_worker=math.floor(GPU_STEPS / config.workers_per_gpu) / GPU_STEPS,
    )


def room_for_workers(
    config: SearchConfig, placement: Placement, *, num_gpus: int, num_cpus: int
) -> int:
    """How many workers the cluster has room for later, when nodes have come or gone.

    Args:
        config: settings of the search.
        placement: what was asked for at the start; workers stay on what they are on.
        num_gpus: GPUs that the cluster has now.
        num_cpus: CPUs that the cluster has now.
    """
    if config.workers is not None:
        return config.workers
    if placement.num_gpus_per_worker:
        return num_gpus * config.workers_per_gpu
    return min(MAX_AUTO_CPU_WORKERS, num_cpus // config.threads_per_worker)
