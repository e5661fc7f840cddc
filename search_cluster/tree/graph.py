"""The search graph of one example: proposes paths in rounds, takes their rewards back.

It is pure: no clock, no I/O, no global random state. Three words make the loop: `propose`,
`observe` (or `abandon`), again.
"""

import random
from dataclasses import dataclass

from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.paths.space import SearchSpace
from search_cluster.tree.node import Edge, Node
from search_cluster.tree.scores import Score, VisitTotal
from search_cluster.tree.untried import Untried
from search_cluster.tree.widening import Widening


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSearch:
    """Tree search over a space, with its score, widening and moves to choose.

    It is the strategy of the papers.
    """

    space: SearchSpace
    score: Score
    widening: Widening
    random_child_probability: float
    """The chance, in [0, 1], that a step of the descent takes a child drawn evenly instead of the
    best one."""
    visit_total: VisitTotal

    def start(self, root: LayerPath, root_reward: float, rng: random.Random) -> "SearchGraph":
        """A graph that holds the root alone."""
        return SearchGraph(root, root_reward, self, rng)


@dataclass(frozen=True, slots=True)
class _Trail:
    """The way from the root to a proposed node: ``nodes[i + 1] is edges[i].child``."""

    nodes: list[Node]
    edges: list[Edge]


class SearchGraph:
    """A directed acyclic graph of layer paths below a root whose reward is known; a `Proposer`.

    Args:
        root: the path that everything starts from (identity).
        root_reward: its reward in [0, 1].
        settings: the space, score and widening.
        rng: the only source of randomness; owned by the graph from here on.
    """

    def __init__(
        self, root: LayerPath, root_reward: float, settings: GraphSearch, rng: random.Random
    ) -> None:
        self._settings = settings
        self._rng = rng
        self.root = _new_node(root, depth=0)
        self.root.num_visits = self.root.num_own_visits = 1
        self.root.total_reward = self.root.reward = root_reward
        self.nodes: dict[tuple[int, ...], Node] = {root.layers: self.root}
        """The nodes by the layers of their paths."""
        self._pending: dict[tuple[int, ...], _Trail] = {}

    @property
    def num_pending(self) -> int:
        """The number of paths that were proposed and not yet answered."""
        return len(self._pending)

    @property
    def exhausted(self) -> bool:
        """Whether every path of the space was proposed and answered."""
        return self.root.exhausted

    def propose(self, max_paths: int) -> list[LayerPath]:
        """Up to ``max_paths`` new paths, each proposed once in the graph's life.

        Every proposal puts a virtual loss on its trail, so that the next one of the round goes
        elsewhere. Fewer paths come back when the nodes that may be widened are all waiting for
        answers, or when the space is exhausted.
        """
        proposed: list[LayerPath] = []
        blocked: set[Node] = set()
        while len(proposed) < max_paths and not self.root.exhausted and self.root not in blocked:
            trail = self._descend(blocked)
            if trail is not None:
                self._apply_virtual_loss(trail)
                path = trail.nodes[-1].path
                self._pending[path.layers] = trail
                proposed.append(path)
        return proposed

    def observe(self, path: LayerPath, reward: float) -> None:
        """Back up the reward of a proposed path along the trail on which it was proposed.

        Raises:
            InvalidValueError: the path is not pending, or the reward is outside [0, 1].
        """
        if not 0.0 <= reward <= 1.0:
            raise InvalidValueError(f"reward is {reward}; a reward lies in [0, 1]")
        trail = self._take_pending(path)
        leaf = trail.nodes[-1]
        leaf.reward = reward
        leaf.num_own_visits += 1
        for node in trail.nodes:
            node.num_visits += 1
            node.total_reward += reward
        for edge in trail.edges:
            edge.num_visits += 1

    def abandon(self, path: LayerPath) -> None:
        """Take a proposed path that failed out of the search; nothing is backed up.

        Raises:
            InvalidValueError: the path is not pending.
        """
        leaf = self._take_pending(path).nodes[-1]
        leaf.failed = True
        leaf.exhausted = True

    def _take_pending(self, path: LayerPath) -> _Trail:
        trail = self._pending.pop(path.layers, None)
        if trail is None:
            raise InvalidValueError(f"path {path} is not pending; answer each proposed path once")
        self._revert_virtual_loss(trail)
        return trail

    # Virtual loss: a proposal counts as a visit with reward 0 until its answer is known, which
    # keeps the proposals of one round apart. The two methods are symmetric; `observe` adds the real
    # visit after the revert.
    def _apply_virtual_loss(self, trail: _Trail) -> None:
        for node in trail.nodes:
            node.num_pending += 1

    def _revert_virtual_loss(self, trail: _Trail) -> None:
        for node in trail.nodes:
            node.num_pending -= 1

    def _descend(self, blocked: set[Node]) -> _Trail | None:
        """Walk from the root to a new node.

        It is ``None`` if the walk ended at a node that is now blocked or exhausted.
        """
        node = self.root
        nodes, edges = [node], list[Edge]()
        while True:
            open_edges = [
                edge
                for edge in node.edges
                if (child := edge.child).reward is not None
                and not child.exhausted
                and child not in blocked
            ]
            if self._may_widen(node, any_open=bool(open_edges)):
                num_nodes = len(self.nodes)
                edge = self._expand(node)
                if edge is not None and len(self.nodes) > num_nodes:
                    return _Trail([*nodes, edge.child], [*edges, edge])
                continue  # a transposition: one more child to choose from; or no edit was left
            if not open_edges:
                self._close(node, blocked)
                return None
            edge = self._select(node, open_edges)
            node = edge.child
            nodes.append(node)
            edges.append(edge)

    def _may_widen(self, node: Node, *, any_open: bool) -> bool:
        if node.untried is None:
            node.untried = Untried(self._settings.space.group_sizes(node.path))
        if not node.untried.num_left:
            return False
        if len(node.edges) < self._settings.widening.max_children(
            node.num_visits + node.num_pending
        ):
            return True
        return not any_open and all(edge.child.exhausted for edge in node.edges)

    def _expand(self, node: Node) -> Edge | None:
        """Link one untried successor.

        It is a new node, or one that another order of edits already made (transposition). It is
        ``None`` if the edits that were left make no path that may be linked.
        """
        assert node.untried is not None, "a node is asked for its edits before it is expanded"
        space = self._settings.space
        while node.untried.num_left:
            path = space.edit(node.path, node.untried.draw(self._rng))
            if path is None:
                continue
            child = self.nodes.get(path.layers)
            if child is None:
                child = self.nodes[path.layers] = _new_node(path, depth=node.depth + 1)
            # A later edit may take an earlier one back. Links that lead downwards only can't close
            # a cycle; what they leave out was proposed elsewhere.
            elif (
                child.depth <= node.depth
                or child.exhausted
                or any(edge.child is child for edge in node.edges)
            ):
                continue
            edge = Edge(child)
            node.edges.append(edge)
            return edge
        return None

    def _select(self, node: Node, open_edges: list[Edge]) -> Edge:
        settings = self._settings
        rng = self._rng
        if rng.random() < settings.random_child_probability:
            return open_edges[int(rng.random() * len(open_edges))]
        visited = node if settings.visit_total is VisitTotal.PARENT else self.root
        visit_total = visited.num_visits + visited.num_pending
        value = settings.score.value

        def score(edge: Edge) -> float:
            child = edge.child
            return value(
                child.total_reward,
                child.num_visits + child.num_pending,
                visit_total,
                child.length_ratio,
            )

        return max(open_edges, key=score)  # the first of equals: edges keep their order of creation

    def _close(self, node: Node, blocked: set[Node]) -> None:
        """Mark a node from which no new path can be proposed, for good or until answers come in."""
        assert node.untried is not None, "a node is asked for its edits before it is closed"
        if not node.untried.num_left and all(edge.child.exhausted for edge in node.edges):
            node.exhausted = True
        else:
            blocked.add(node)


def _new_node(path: LayerPath, *, depth: int) -> Node:
    return Node(path=path, depth=depth, length_ratio=len(path.layers) / path.num_layers)
