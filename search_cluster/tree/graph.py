"""The search graph of one example: proposes paths in rounds, takes their rewards back.

Pure: no clock, no I/O, no global random state. Three words make the loop: `propose`, `observe` (or `abandon`), again.
"""

import random
from dataclasses import dataclass

from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tree.node import Edge, Node
from search_cluster.tree.scores import VisitTotal, max_children, ucb_score
from search_cluster.tree.settings import SearchPreset


@dataclass(frozen=True, slots=True)
class _Trail:
    """The way from the root to a proposed node: ``nodes[i + 1] is edges[i].child``."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


class SearchGraph:
    """A directed acyclic graph of layer paths below a root whose reward is known.

    Args:
        root: the path that everything starts from (identity).
        root_reward: its reward in [0, 1].
        preset: space and score.
        rng: the only source of randomness; owned by the graph from here on.
    """

    def __init__(self, root: LayerPath, root_reward: float, preset: SearchPreset, rng: random.Random) -> None:
        self._preset = preset
        self._rng = rng
        self.root = Node(path=root, num_visits=1, num_own_visits=1, total_reward=root_reward, reward=root_reward)
        self.nodes: dict[LayerPath, Node] = {root: self.root}
        self._pending: dict[LayerPath, _Trail] = {}

    @property
    def num_pending(self) -> int:
        """Paths that were proposed and not yet answered."""
        return len(self._pending)

    @property
    def exhausted(self) -> bool:
        """Whether every path of the space was proposed and answered."""
        return self.root.exhausted

    def propose(self, max_paths: int) -> list[LayerPath]:
        """Up to ``max_paths`` new paths, each proposed once in the graph's life.

        Every proposal puts a virtual loss on its trail, so that the next one of the round goes elsewhere. Fewer paths
        come back when the nodes that may be widened are all waiting for answers, or when the space is exhausted.
        """
        proposed: list[LayerPath] = []
        blocked: set[LayerPath] = set()
        while len(proposed) < max_paths and not self.root.exhausted and self.root.path not in blocked:
            trail = self._descend(blocked)
            if trail is not None:
                self._apply_virtual_loss(trail)
                path = trail.nodes[-1].path
                self._pending[path] = trail
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
        trail = self._pending.pop(path, None)
        if trail is None:
            raise InvalidValueError(f"path {path} is not pending; answer each proposed path once")
        self._revert_virtual_loss(trail)
        return trail

    # Virtual loss: a proposal counts as a visit with reward 0 until its answer is known, which keeps the proposals of
    # one round apart. The two methods are symmetric; `observe` adds the real visit after the revert.
    def _apply_virtual_loss(self, trail: _Trail) -> None:
        for node in trail.nodes:
            node.num_pending += 1

    def _revert_virtual_loss(self, trail: _Trail) -> None:
        for node in trail.nodes:
            node.num_pending -= 1

    def _descend(self, blocked: set[LayerPath]) -> _Trail | None:
        """Walk from the root to a new node; ``None`` if the walk ended at a node that is now blocked or exhausted."""
        nodes, edges = [self.root], list[Edge]()
        while True:
            node = nodes[-1]
            open_edges = [edge for edge in node.edges if _is_open(edge.child, blocked)]
            if self._may_widen(node, any_open=bool(open_edges)):
                num_nodes = len(self.nodes)
                edge = self._expand(node)
                if len(self.nodes) > num_nodes:
                    return _Trail((*nodes, edge.child), (*edges, edge))
                continue  # a transposition: the node has one more child to choose from
            if not open_edges:
                self._close(node, blocked)
                return None
            edge = self._select(node, open_edges)
            nodes.append(edge.child)
            edges.append(edge)

    def _may_widen(self, node: Node, *, any_open: bool) -> bool:
        if node.untried is None:
            node.untried = list(self._preset.space.successors(node.path))
            self._rng.shuffle(node.untried)
        if not node.untried:
            return False
        limit = max_children(
            node.num_visits + node.num_pending,
            scale=self._preset.widening_scale,
            exponent=self._preset.widening_exponent,
        )
        all_closed = not any_open and all(edge.child.exhausted for edge in node.edges)
        return len(node.edges) < limit or all_closed

    def _expand(self, node: Node) -> Edge:
        """Link one untried successor: a new node, or one that another order of edits already made (transposition)."""
        assert node.untried, "only a node with untried successors is expanded"
        path = node.untried.pop()
        child = self.nodes.get(path)
        if child is None:
            child = self.nodes[path] = Node(path=path)
        edge = Edge(child)
        node.edges.append(edge)
        return edge

    def _select(self, node: Node, open_edges: list[Edge]) -> Edge:
        preset = self._preset
        if self._rng.random() < preset.random_child_probability:
            return self._rng.choice(open_edges)
        visited = node if preset.visit_total is VisitTotal.PARENT else self.root
        visit_total = visited.num_visits + visited.num_pending

        def score(edge: Edge) -> float:
            child = edge.child
            return ucb_score(
                total_reward=child.total_reward,
                num_visits=child.num_visits + child.num_pending,
                visit_total=visit_total,
                length_ratio=len(child.path) / child.path.num_layers,
                exploration=preset.exploration,
                length_penalty=preset.length_penalty,
            )

        return max(open_edges, key=score)  # the first of equals: edges keep their order of creation

    def _close(self, node: Node, blocked: set[LayerPath]) -> None:
        """Mark a node from which no new path can be proposed: for good, or until answers come in."""
        if not node.untried and all(edge.child.exhausted for edge in node.edges):
            node.exhausted = True
        else:
            blocked.add(node.path)


def _is_open(child: Node, blocked: set[LayerPath]) -> bool:
    """Whether a descent may enter: evaluated, not used up, not blocked in this round."""
    return child.reward is not None and not child.exhausted and child.path not in blocked
