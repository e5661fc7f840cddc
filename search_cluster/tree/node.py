"""Nodes and edges of the search graph of one example.

A node is a layer path. Different edit orders lead to one node (a transposition), so the structure
is a directed acyclic graph, and visits are counted on edges as well as on nodes.
"""

from dataclasses import dataclass, field

from search_cluster.paths.layer_path import LayerPath
from search_cluster.tree.untried import Untried


@dataclass(slots=True, eq=False)
class Edge:
    """One move from a node to another; owned by the parent node."""

    child: "Node"
    num_visits: int = 0
    """The number of simulations that went down this edge and were backed up."""


@dataclass(slots=True, eq=False)
class Node:
    """One layer path with its statistics, mutated only by its `SearchGraph`.

    Invariant, when nothing is pending: ``num_visits == num_own_visits + sum(edge.num_visits)``.
    """

    path: LayerPath
    depth: int
    """The number of edges of the walk that found this node first.

    Every edge leads to a greater depth, so there are no cycles."""
    length_ratio: float
    """The path's length as a multiple of the model's depth, |P| / L."""
    num_visits: int = 0
    """The number of simulations that reached this node and were backed up, v(P)."""
    num_own_visits: int = 0
    """The number of simulations that ended here: 1 from its own evaluation, 0 before it."""
    total_reward: float = 0.0
    """The sum of the rewards backed up through this node, Q(P)."""
    num_pending: int = 0
    """The number of proposals on their way through this node, counted as visits without reward
    (virtual loss)."""
    reward: float | None = None
    """This path's own reward; ``None`` while it is being evaluated, or if it failed."""
    failed: bool = False
    """Whether it was evaluated without a verdict, after which it is never visited again."""
    edges: list[Edge] = field(default_factory=list)
    untried: Untried | None = None
    """The numbers of the edits that were not tried yet; ``None`` until the first expansion."""
    exhausted: bool = False
    """Whether nothing below this node is left to evaluate."""
