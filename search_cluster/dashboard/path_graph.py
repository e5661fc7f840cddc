"""What the view of one example draws: paths as nodes, edits as edges, and where each node stands.

It is the search's own tree where that can be rebuilt (`search_cluster.dashboard.replay`), else a
graph of edits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from search_cluster.corpus.record import ExampleRecord
from search_cluster.paths.layer_path import LayerPath


@dataclass(frozen=True, slots=True, kw_only=True)
class PathNode:
    """One tried path in the drawing."""

    path: LayerPath
    """The path."""
    parent: int | None
    """The index of the node it was made from; ``None`` for the root. Parents come before their
    children."""
    num_visits: int | None
    """The number of simulations that went through it; ``None`` in a graph of edits."""
    mean_reward: float | None
    """The mean reward of these simulations; ``None`` if there was none, or in a graph of edits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathEdge:
    """One edit that the search knows."""

    parent: int
    """The index of the node that was edited."""
    child: int
    """The index of the node that the edit gave."""
    num_visits: int | None
    """The number of simulations that went along it; ``None`` in a graph of edits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathGraph:
    """The paths of one example and how they hang together; the root is node 0."""

    is_search_tree: bool
    """Whether this is the tree that the search walked, with its visits."""
    note: str
    """What this is, in words, or why the tree could not be rebuilt."""
    nodes: tuple[PathNode, ...]
    """The paths, with the root first."""
    edges: tuple[PathEdge, ...]
    """The edges that make the tree, and in a search tree also other orders of edits that lead to a
    known path."""


def graph_of_edits(record: ExampleRecord, reason: str) -> PathGraph:
    """Join each path with the most similar path that was tried before it.

    Args:
        record: a record with at least one path, evaluated or failed.
        reason: why there is no search tree, for people.
    """
    paths = tried_paths(record)
    nodes = []
    for index, path in enumerate(paths):
        parent = min(range(index), key=lambda other: _distance(paths[other], path), default=None)
        nodes.append(PathNode(path=path, parent=parent, num_visits=None, mean_reward=None))
    return PathGraph(
        is_search_tree=False,
        note=(
            f"{reason} Drawn instead: each path is joined with the most similar path that was "
            "tried before it."
        ),
        nodes=tuple(nodes),
        edges=tuple(
            PathEdge(parent=node.parent, child=index, num_visits=None)
            for index, node in enumerate(nodes)
            if node.parent is not None
        ),
    )


def tried_paths(record: ExampleRecord) -> list[LayerPath]:
    """Every path once: those with a verdict, as in the record, then those that only failed.

    A path with a verdict may have failed as well, on a perturbation of the example.
    """
    return list(
        dict.fromkeys(
            [item.path for item in record.evaluated] + [item.path for item in record.failures]
        )
    )


def places(nodes: Sequence[PathNode]) -> list[tuple[int, float]]:
    """Where to draw nodes: pairs of edits from the root and row, no two alike.

    A node stands in the middle of its children.
    """
    children: list[list[int]] = [[] for _ in nodes]
    depths = [0] * len(nodes)
    for index, node in enumerate(nodes):
        if node.parent is not None:
            children[node.parent].append(index)
            depths[index] = depths[node.parent] + 1
    rows = [0.0] * len(nodes)
    next_row = 0
    waiting = [(0, False)] if nodes else []
    # Children come before their parent, without recursion: a chain may be hundreds of nodes deep.
    while waiting:
        index, visited = waiting.pop()
        if visited:
            rows[index] = (rows[children[index][0]] + rows[children[index][-1]]) / 2
        elif children[index]:
            waiting.append((index, True))
            waiting.extend((child, False) for child in reversed(children[index]))
        else:
            rows[index] = float(next_row)
            next_row += 1
    return list(zip(depths, rows, strict=True))


def _distance(one: LayerPath, other: LayerPath) -> tuple[int, int]:
    """Layer runs that differ, then positions that differ.

    The positions tell paths apart that re-order the same layers.
    """
    uses = sum(abs(a - b) for a, b in zip(one.counts(), other.counts(), strict=True))
    moved = sum(a != b for a, b in zip(one.layers, other.layers, strict=False)) if uses == 0 else 0
    return uses, moved
