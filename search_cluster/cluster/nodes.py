"""What Ray knows of the nodes of a cluster, and what it does not know yet."""

import logging
import math
import socket
import time
from collections.abc import Callable, Collection

import ray
from ray.exceptions import RayActorError, RayError

from search_cluster.workers.group.breaks import BreakCount

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""Seconds between two looks for nodes that are about to go."""
PROBE_TIMEOUT_S = 1.0
"""How long a node has to take a connection."""
SECOND_PROBE_S = 0.3
"""A node that goes down ends its processes one after another; so much later it is looked at
again."""

FOUND_GONE_S = 60.0
"""How long a node counts as gone that was found so, without another look: all of its workers are
lost at once. By then Ray has heard of it, or the network is there again."""

_found_gone_s: dict[str, float] = {}
"""When nodes were found to be gone."""


def died_with_its_node(error: RayError, node_id: str) -> bool:
    """Whether a worker was lost because its node was: preempted, stopped or cut off.

    Ray's own word comes late: it waits for heartbeats, and says until then that the actor is
    unavailable. A node that takes no connection is gone.
    """
    if isinstance(error, RayActorError) and error.preempted:
        return True
    if not node_id or not ray.is_initialized():
        return False
    if _is_gone(node_id):
        return True
    time.sleep(SECOND_PROBE_S)
    return _is_gone(node_id)


def _is_gone(node_id: str) -> bool:
    now_s = time.monotonic()
    if now_s - _found_gone_s.get(node_id, -math.inf) < FOUND_GONE_S:
        return True
    node = next((node for node in ray.nodes() if node["NodeID"] == node_id), None)
    if node is not None and node["Alive"] and _takes_connections(node):
        return False
    _found_gone_s[node_id] = now_s
    return True


def _takes_connections(node: dict[str, object]) -> bool:
    address = (str(node["NodeManagerAddress"]), int(str(node["NodeManagerPort"])))
    try:
        socket.create_connection(address, timeout=PROBE_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def draining_nodes() -> set[str]:
    """Nodes that are about to go and say so: notice of a preemption, SIGTERM, an autoscaler.

    Nothing where this version of Ray does not tell.
    """
    try:
        from ray._private.state import state  # none of Ray's public interfaces tells it

        return set(state.get_draining_nodes())
    except (ImportError, AttributeError, RuntimeError, RayError):
        return set()


def num_alive_outside(nodes: Collection[str], resource: str | None = None) -> int:
    """Nodes of the cluster that live and are none of these.

    Args:
        nodes: by Ray's names.
        resource: only those count that offer it, by Ray's name; ``None``: all.
    """
    return sum(
        node["Alive"]
        and node["NodeID"] not in nodes
        and (resource is None or node["Resources"].get(resource, 0) > 0)
        for node in ray.nodes()
    )


class NodeWatch:
    """Which nodes get no more work: those about to go, and those whose devices failed too often.

    Args:
        draining: tells the former.
    """

    def __init__(self, draining: Callable[[], set[str]] = draining_nodes) -> None:
        self._ask = draining
        self._draining = frozenset[str]()
        self._breaks = BreakCount()
        self._look_s = 0.0

    @property
    def given_up(self) -> frozenset[str]:
        """Nodes whose devices failed too often."""
        return self._breaks.given_up

    @property
    def closed(self) -> frozenset[str]:
        """Nodes that get no more work."""
        return self._draining | self.given_up

    def look(self) -> None:
        """Ask for nodes that are about to go, if it is time to."""
        now_s = time.monotonic()
        if now_s - self._look_s >= LOOK_S:
            self._look_s = now_s
            draining = frozenset(self._ask())
            for node_id in draining - self._draining:
                logger.warning(
                    "node %s is about to go: its workers end what they have, and others go on",
                    node_id[:12],
                )
            self._draining = draining

    def count_break(self, node_id: str, cause: str) -> None:
        """Note that a device of a node failed, and that no request is to blame."""
        num_breaks = self._breaks.count(node_id)
        if num_breaks is not None:
            logger.error(
                "node %s is given up: its devices failed %d times, at last: %s; no more workers "
                "are started on it",
                node_id[:12],
                num_breaks,
                cause,
            )
