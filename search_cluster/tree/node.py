"""Nodes and edges of the search graph of one example.

A node is a layer path. Different edit orders lead to one node (a transposition), so the structure is a directed acyclic
graph, and visits are counted on edges as well as on nodes.
"""

from dataclasses import dataclass, field

from search_cluster.paths.layer_path import LayerPath
from search_cluster.tree.untried import Untried


@dataclass(slots=True, eq=False)
class Edge:
    """One move from a node to another; owned by the parent node."""

    child: "Node"
    num_visits: int = 0
    """Simulations that went down this edge and were backed up."""


@dataclass(slots=True, eq=False)
class Node:
    """One layer path with its statistics, mutated only by its `SearchGraph`.

    Invariant, when nothing is pending: ``num_visits == num_own_visits + sum(edge.num_visits)``.
    """

    path: LayerPath
    depth: int
    """Edges of the walk that found this node first. Every edge leads to a greater depth, so there are no cycles."""
    length_ratio: float
    """|P| / L."""
    num_visits: int = 0
    """Simulations that reached this node and were backed up (v(P))."""
    num_own_visits: int = 0
    """Simulations that ended here: 1 from its own evaluation, 0 before it."""
    total_reward: float = 0.0
    """Sum of the rewards backed up through this node (Q(P))."""
    num_pending: int = 0
    """Proposals on their way through this node, counted as visits without reward (virtual loss)."""
    reward: float | None = None
    """This path's own reward; ``None`` while it is being evaluated, or if it failed."""
    failed: bool = False
    """Evaluated without a verdict: never visited again."""
    edges: list[Edge] = field(default_factory=list)
    untried: Untried | None = None
    """Numbers of the edits that were not tried yet; ``None`` until the first expansion."""
    exhausted: bool = False
    """Nothing below this node is left to evaluate."""
