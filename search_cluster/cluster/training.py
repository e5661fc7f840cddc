"""Training by several processes of a Ray cluster, with Ray Train, whatever it is they train."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.exceptions import RayError
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.exceptions import TrainingFailedError

from search_cluster.cluster.session import connect_ray, disconnect_ray
from search_cluster.errors import ModelError

START_TIMEOUT_S = 600
"""Workers import torch and transformers before they start; Ray's own 60 s are too short on a busy
machine, and a group that is late is started again, for ever."""

LOW_MEMORY = "running low on memory"
"""What Ray says, among pages of numbers, of workers that its memory monitor killed."""


def train_on_ray(
    train: Callable[[Mapping[str, Any]], None],
    arguments: Mapping[str, Any],
    *,
    mode: str,
    num_workers: int,
    use_gpu: bool,
    storage: Path,
) -> None:
    """Call ``train(arguments)`` in ``num_workers`` processes, which form a group of torch (gloo).

    Args:
        train: what every worker runs; found by its module's name, which all workers can import.
        arguments: plain values, which travel to the workers.
        mode: ``local``, ``auto`` or a cluster's address.
        num_workers: at least 1.
        use_gpu: whether each worker gets a GPU.
        storage: what Ray Train keeps of the training; a folder that all workers see.

    Raises:
        ModelError: a worker failed; the message is its own.
        EvaluatorError: no cluster answers.
    """
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(START_TIMEOUT_S))
    connect_ray(mode, min_cpus=num_workers + 1)
    try:
        TorchTrainer(
            train,
            train_loop_config=dict(arguments),
            scaling_config=ScalingConfig(num_workers=num_workers, use_gpu=use_gpu),
            run_config=RunConfig(storage_path=str(storage), name="fit"),
            torch_config=TorchConfig(backend="gloo"),
        ).fit()
    except (TrainingFailedError, RayError) as error:
        raise ModelError(f"training by {num_workers} workers failed: {_cause(error)}") from error
    finally:
        if mode == "local":
            disconnect_ray()


def _cause(error: BaseException) -> str:
    """The message of whatever a worker raised, or what Ray's memory monitor says of its death."""
    worker_failures = getattr(error, "worker_failures", {})
    causes = [*worker_failures.values(), error]
    lines = str(causes[0]).strip().splitlines() or [type(causes[0]).__name__]
    for line in lines:
        if LOW_MEMORY in line:
            return f"{line.strip()}; ask for fewer --num-workers: each of them holds the model"
    return lines[-1]
