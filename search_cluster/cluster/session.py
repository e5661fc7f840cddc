"""Connecting to Ray: a private cluster for this run, or a running one.

`search_cluster.cluster.environment.prepare_ray_environment` comes before the first import of this
module.
"""

import os
import socket

import ray

from search_cluster.errors import ConfigError, EvaluatorError

CONNECT_TIMEOUT_S = 5.0
OBJECT_STORE_BYTES = 128 * 1024 * 1024
"""The object store of a private cluster; requests and results are small and never go through it."""


def connect_ray(mode: str, *, min_cpus: int, min_gpus: int = 0) -> None:
    """Connect this process to Ray.

    Args:
        mode: ``local`` starts a private cluster on this machine that ends with the process;
            ``auto`` joins the running cluster that Ray finds (``RAY_ADDRESS``, or one on this
            machine); anything else is a cluster's address.
        min_cpus: CPUs that a private cluster offers at least.
        min_gpus: GPUs that a private cluster offers at least; 0 leaves the count to Ray.

    Raises:
        EvaluatorError: no cluster answers at that address, or a private one did not start.
    """
    if ray.is_initialized():
        return
    try:
        _require_listening(mode)
        if mode == "local":
            ray.init(
                address="local",
                num_cpus=max(min_cpus, os.cpu_count() or 1),
                num_gpus=min_gpus or None,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="warning",
            )
        else:
            ray.init(address=mode, log_to_driver=False, logging_level="warning")
    except (
        Exception
    ) as error:  # Ray raises bare ones, too, such as for a node that does not come up in time
        why = (str(error).splitlines() or [type(error).__name__])[0]
        if mode == "local":
            raise EvaluatorError(
                f"a private Ray did not start ({why}); the machine may be overloaded or out of "
                "memory: try again, join a running cluster with --ray ADDRESS, or use --ray none "
                "(no Ray)"
            ) from error
        raise EvaluatorError(
            f"no Ray cluster at {mode!r} ({why}); start one with `ray start --head`, check "
            "RAY_AUTH_MODE and the token, or use --ray local (private cluster) or --ray none (no "
            "Ray)"
        ) from error


def _require_listening(mode: str) -> None:
    """Fail at once where nothing listens; Ray itself goes on trying for minutes."""
    host, colon, port = mode.rpartition(":")
    if colon and "/" not in host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()


def disconnect_ray() -> None:
    """Leave the cluster; a private one ends. Idempotent."""
    ray.shutdown()


def describe_resources() -> str:
    """What the cluster has and what of it is free, in one line."""
    total, free = ray.cluster_resources(), ray.available_resources()
    kinds = [kind for kind in ("CPU", "GPU") if kind in total]
    return (
        ", ".join(f"{free.get(kind, 0):g} of {total[kind]:g} {kind} free" for kind in kinds)
        or "no resources"
    )


def count_devices(kind: str) -> int:
    """How many whole devices of a kind (``CPU``, ``GPU``) the cluster has."""
    return int(ray.cluster_resources().get(kind, 0))


def require_one_node() -> None:
    """Pass if the cluster is one node.

    Raises:
        ConfigError: it has several, which the embedded cache server can't serve.
    """
    num_nodes = sum(bool(node["Alive"]) for node in ray.nodes())
    if num_nodes > 1:
        raise ConfigError(
            f"the embedded cache server serves one node, and the cluster has {num_nodes}; pass "
            "--redis-url redis://... of a server that all jobs share, or --redis-url none"
        )
