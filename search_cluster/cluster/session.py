"""Connecting to Ray: a private cluster for this run, or a running one.

`search_cluster.cluster.environment.prepare_ray_environment` comes before the first import of this
module.
"""

from typing import Any

import ray

from search_cluster.cluster.address import named_address, require_cluster_at
from search_cluster.config import RAY_LOCAL
from search_cluster.errors import ConfigError, EvaluatorError, in_one_line
from search_cluster.machine import usable_cpus

ADVICE = (
    (("version mismatch",), "run the versions of Ray and Python that the cluster runs"),
    (
        ("authentic", "token"),
        "set RAY_AUTH_MODE=token and the cluster's token in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH",
    ),
    (
        ("could not find any running ray", "no ray instance"),
        "start a cluster (ray start --head), or use --ray local, which needs none",
    ),
    (
        ("read-only file system", "permission denied", "no space left on device"),
        "set RAY_TMPDIR to a folder that you may write to and that has room (its own is /tmp)",
    ),
    (
        ("failed to connect to ray cluster",),
        "give the address that `ray start --head` printed; another part of Ray answers here",
    ),
)
"""What to do about what Ray says, by words of it in lower case; the first that fits counts."""
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
        EvaluatorError: no cluster answers at that address, or a private one did not start; the
            message is the whole cause with one advice.
    """
    if ray.is_initialized():
        return
    if mode == RAY_LOCAL:
        _init(
            "a private Ray did not start",
            "use --ray none, which needs no Ray, if the machine is overloaded or out of memory",
            address="local",
            num_cpus=max(min_cpus, usable_cpus()),
            num_gpus=min_gpus or None,
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
        )
        return
    address = named_address(mode)
    if address is not None:
        require_cluster_at(address)
    _init(
        "no Ray cluster was found" if address is None else f"{address}, and it can't be joined",
        "look at the logs of the cluster's head (/tmp/ray/session_latest/logs) for the cause",
        address=mode if address is None else address.text.strip(),
    )


def _init(what: str, advice: str, **settings: Any) -> None:
    """Let Ray start or join a cluster, and say all that it says if it can't."""
    try:
        ray.init(log_to_driver=False, logging_level="warning", **settings)
    # Ray raises bare ones, too, such as for a node that does not come up in time.
    except Exception as error:
        raise EvaluatorError(f"{what}: {with_advice(error, advice)}") from error


def with_advice(error: BaseException, otherwise: str) -> str:
    """All that Ray says, and what to do about it: one thing.

    Args:
        error: raised by Ray.
        otherwise: what to do if the words of the error tell nothing better.
    """
    why = in_one_line(error)
    known = (text for words, text in ADVICE if any(word in why.lower() for word in words))
    return f"{why.rstrip('.')}; {next(known, otherwise)}"


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


def num_free(kind: str) -> int:
    """How many whole devices of a kind no worker asked for."""
    return int(ray.available_resources().get(kind, 0))


def gpus_of_nodes() -> list[int]:
    """How many whole GPUs each node of the cluster has that lives; a worker's are on one node."""
    return [int(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["Alive"]]


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
