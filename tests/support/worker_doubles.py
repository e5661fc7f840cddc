"""What workers say of themselves, and what Ray raises for what they raise, without a cluster."""

from typing import Any

from ray.exceptions import RayTaskError

from search_cluster.identity import ModelIdentity
from search_cluster.workers.messages import WorkerInfo


def worker_info(*, device: str = "cpu", node_id: str = "", pid: int = 0) -> WorkerInfo:
    """Facts of a worker of a model of two layers."""
    return WorkerInfo(
        model=ModelIdentity(fingerprint="a"), chat=False, num_layers=2, dtype="float32",
        device=device, tie_threshold=0.0, node="n", node_id=node_id, pid=pid,
    )  # fmt: skip


def raised_by_worker(cause: Exception) -> RayTaskError:
    """The error that Ray raises for one that a call raised."""
    error: Any = RayTaskError.__new__(RayTaskError)
    error.cause = cause
    found: RayTaskError = error
    return found
