"""The layer paths of one example as a trie, with the states that were computed at its nodes.

A node is a prefix of a path. All paths that begin alike share its states, so a layer runs once for
each (example, prefix). What all nodes of all examples keep is bounded in bytes: see `StateStore`.
"""

from collections import OrderedDict
from collections.abc import Container, Iterable, Sequence

import numpy as np

from search_cluster.model.engine.slabs import Slab, Slots
from search_cluster.model.engine.token_tree import RowSet, TokenTree

NOT_HELD = -1
SLACK_ROWS = 16
"""Room for later rows in a list of slots, so that decoding seldom copies it."""


class HeldRows:
    """Where the rows of one node are in a slab. Rows only grow."""

    __slots__ = ("_slot_of", "num_rows")

    def __init__(self) -> None:
        self._slot_of: Slots = np.empty(0, dtype=np.int64)
        self.num_rows = 0

    def slots(self, rows: Slots) -> Slots:
        """The slots of rows that are held."""
        slots: Slots = self._slot_of[rows]
        return slots

    def slots_from(self, first: int, end: int) -> Slots:
        """The slots of the rows from ``first`` up to ``end``, which are held; don't change them."""
        return self._slot_of[first:end]

    def has(self, row: int) -> bool:
        """Whether a row is held."""
        return row < len(self._slot_of) and bool(self._slot_of[row] != NOT_HELD)

    def lacks(self, wanted: RowSet) -> Slots:
        """The rows of a set that are not held."""
        rows = wanted.rows
        if wanted.key[-1] >= len(self._slot_of):
            return rows[[not self.has(row) for row in wanted.key]] if self.num_rows else rows
        lacked: Slots = rows[self._slot_of[rows] == NOT_HELD]
        return lacked

    def add(self, wanted: RowSet, rows: Slots, slots: Slots) -> None:
        """Take note of where new rows are, which are all in the set."""
        size = len(self._slot_of)
        if wanted.key[-1] >= size:
            larger = np.full(wanted.key[-1] + 1 + SLACK_ROWS, NOT_HELD, dtype=np.int64)
            larger[:size] = self._slot_of
            self._slot_of = larger
        self._slot_of[rows] = slots
        self.num_rows += len(rows)

    def drop(self, rows: Slots) -> None:
        """Forget rows that were added."""
        self._slot_of[rows] = NOT_HELD
        self.num_rows -= len(rows)

    def held_rows(self) -> Slots:
        """The rows that are held, in rising order."""
        return np.flatnonzero(self._slot_of != NOT_HELD)

    def all_slots(self) -> Slots:
        """The slots of all rows that are held."""
        slots: Slots = self._slot_of[self._slot_of != NOT_HELD]
        return slots


class NodeState:
    """Outputs of one layer run for some rows of an example, and their keys and values if kept.

    Keys and values may be here of more rows than outputs are: of rows whose output nothing reads.
    """

    __slots__ = ("hidden", "keys")

    def __init__(self) -> None:
        self.hidden = HeldRows()
        self.keys = HeldRows()


class TrieNode:
    """A prefix of layer paths of one example. Its `PrefixTrie` owns it."""

    __slots__ = ("children", "layer", "parent", "state", "trie")

    def __init__(self, trie: "PrefixTrie", parent: "TrieNode | None", layer: int) -> None:
        self.trie = trie
        self.parent = parent
        self.layer = layer
        self.children: dict[int, TrieNode] = {}
        self.state: NodeState | None = None


class PrefixTrie:
    """All that is kept of one example: its rows and the states of its path prefixes."""

    __slots__ = ("root", "token_tree")

    def __init__(self, token_tree: TokenTree) -> None:
        self.token_tree = token_tree
        self.root = TrieNode(self, None, -1)
        """The empty prefix. Its states would be embeddings, which are cheap and never kept."""

    def nodes_of(self, layers: Sequence[int]) -> list[TrieNode]:
        """The nodes of a path's prefixes, shortest first, made if need be."""
        nodes, node = [], self.root
        for layer in layers:
            child = node.children.get(layer)
            if child is None:
                child = node.children[layer] = TrieNode(self, node, layer)
            nodes.append(child)
            node = child
        return nodes


class StateStore:
    """The memory of all states: it keeps the most recently used ones, up to a number of bytes.

    Nodes that the running batch needs are pinned by the caller and never evicted, so a budget below
    a batch's needs is exceeded by just these needs.

    Args:
        max_bytes: the budget over all examples.
        hidden: where outputs of layers are.
        keys: where keys and values are.
    """

    def __init__(self, max_bytes: int, hidden: Slab, keys: Slab) -> None:
        self.max_bytes = max_bytes
        self.hidden = hidden
        self.keys = keys
        self.num_bytes = 0
        self.peak_bytes = 0
        self.num_evictions = 0
        self._sizes: OrderedDict[TrieNode, int] = OrderedDict()

    def touch(self, node: TrieNode) -> None:
        """Count a node's state, new or grown, as just used."""
        size, state = 0, node.state
        if state is not None:
            size = (
                state.hidden.num_rows * self.hidden.bytes_per_row
                + state.keys.num_rows * self.keys.bytes_per_row
            )
        self.num_bytes += size - self._sizes.pop(node, 0)
        self._sizes[node] = size
        self.peak_bytes = max(self.peak_bytes, self.num_bytes)

    def use(self, nodes: Iterable[TrieNode]) -> None:
        """Count states that are held already as just used."""
        for node in nodes:
            if node in self._sizes:
                self._sizes.move_to_end(node)

    def forget(self, node: TrieNode) -> None:
        """Drop a node's state; the node stays."""
        self.num_bytes -= self._sizes.pop(node, 0)
        if node.state is not None:
            self.hidden.give(node.state.hidden.all_slots())
            self.keys.give(node.state.keys.all_slots())
            node.state = None

    def evict(self, pinned: Container[TrieNode], *, max_bytes: int | None = None) -> None:
        """Drop least recently used states until the budget holds or only pinned ones are left.

        Args:
            pinned: the nodes whose states stay.
            max_bytes: a budget in the place of the store's own.
        """
        excess = self.num_bytes - (self.max_bytes if max_bytes is None else max_bytes)
        if excess <= 0:
            return
        victims = []
        # Least recently used first. A state whose parent's is gone stays right and useful: only the
        # parent would have to run again, should somebody want more of it.
        for node, size in self._sizes.items():
            if excess <= 0:
                break
            if node not in pinned:
                victims.append(node)
                excess -= size
        for node in victims:
            self._drop(node, pinned)
        self.num_evictions += len(victims)

    def _drop(self, node: TrieNode, pinned: Container[TrieNode]) -> None:
        """Forget a node's state and, where nothing hangs on it, the node."""
        self.forget(node)
        # A node that is cut off here would be made anew by the next path that goes through it,
        # while whoever holds on to the old one computes a state that nobody finds. Hence pinned
        # nodes stay, and jobs look their nodes up only when they are about to be wanted.
        while (
            node.parent is not None
            and node.state is None
            and not node.children
            and node not in pinned
        ):
            node.parent.children.pop(node.layer, None)
            node = node.parent
