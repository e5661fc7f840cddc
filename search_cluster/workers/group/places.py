"""Where the workers of a group are, for whoever looks for another place than some."""

from collections.abc import Collection, Mapping


class Places:
    """The nodes of all workers at one moment. What it is asked takes as long for many as for few.

    Args:
        nodes: of the workers, by their numbers.
    """

    def __init__(self, nodes: Mapping[int, str]) -> None:
        self._nodes = nodes
        self._names = frozenset(nodes.values())

    @property
    def num_workers(self) -> int:
        """Workers that there are."""
        return len(self._nodes)

    @property
    def num_nodes(self) -> int:
        """Nodes that have one."""
        return len(self._names)

    def node_of(self, worker: int) -> str:
        """The node of a worker."""
        return self._nodes[worker]

    def has_other_node(self, nodes: Collection[str]) -> bool:
        """Whether a node that has a worker is none of these."""
        return self.num_nodes > sum(node in self._names for node in nodes)

    def has_other_worker(self, workers: Collection[int]) -> bool:
        """Whether a worker is none of these."""
        return self.num_workers > sum(worker in self._nodes for worker in workers)
