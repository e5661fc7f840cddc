"""A Ray cluster of several nodes on this machine, for measuring and testing."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray.cluster_utils import Cluster

from search_cluster.cluster.scripted_devices import DEVICE
from search_cluster.cluster.session import OBJECT_STORE_BYTES
from search_cluster.machine import usable_cpus


class SimulatedCluster:
    """Nodes that are processes of this machine; made by `simulated_cluster`."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self.nodes: list[Any] = []
        """The nodes that have devices, in the order in which they were started."""

    @property
    def address(self) -> str:
        """Where others join it."""
        return str(self._cluster.address)

    def add_node(self, num_devices: int) -> Any:
        """Start a node with so many scripted devices; takes seconds."""
        node = self._cluster.add_node(
            num_cpus=usable_cpus(),
            resources={DEVICE: num_devices},
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
        )
        self.nodes.append(node)
        return node

    def drain_node(self, node: Any, deadline_s: float) -> None:
        """Give notice that a node will be gone in so many seconds, as of a preemption."""
        from ray.core.generated.autoscaler_pb2 import DrainNodeReason  # Ray's own, for this alone

        reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        deadline_ms = int(1000 * (time.time() + deadline_s))
        client = node.get_gcs_client()
        is_accepted, why = client.drain_node(node.node_id, reason, "notice", deadline_ms)
        assert is_accepted, why

    def remove_node(self, node: Any) -> None:
        """Kill a node and all that runs on it, at once."""
        self._cluster.remove_node(node, allow_graceful=False)
        self.nodes.remove(node)


@contextmanager
def simulated_cluster(devices: Sequence[int]) -> Iterator[SimulatedCluster]:
    """A head without devices, and one node for each number in ``devices``.

    This process is connected to it.

    `search_cluster.cluster.environment.prepare_ray_environment` comes before the first import of
    this module.
    """
    ray.shutdown()
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": usable_cpus(),
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
        },
    )
    try:
        simulated = SimulatedCluster(cluster)
        for num_devices in devices:
            simulated.add_node(num_devices)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="warning")
        cluster.wait_for_nodes()
        yield simulated
    finally:
        with contextlib.suppress(Exception):  # nodes that were removed on purpose
            ray.shutdown()
        cluster.shutdown()
