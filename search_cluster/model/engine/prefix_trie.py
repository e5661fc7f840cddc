"""The layer paths of one example as a trie, with the states that were computed at its nodes.

A node is a prefix of a path. All paths that begin alike share its states, so a layer runs once for
each (example, prefix). What all nodes of all examples keep is bounded in bytes: see `StateStore`.
"""

from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Sequence

import numpy as np

from search_cluster.model.engine.slabs import LayerSlabs, Slots
from search_cluster.model.engine.token_tree import RowSet, TokenTree

NOT_HELD = -1
NOTHING = (0, 0)
ONE_PLACE = (0, 0)
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
    a batch's needs is exceeded by just these needs, where slabs can grow.

    A *place* is memory with a budget of its own: a device, or one slab where slabs can't grow.

    Args:
        max_bytes: the budget over all examples and places; each place has an equal part of it.
        hidden: where outputs of layers are.
        keys: where keys and values are.
        places: the number of the place that has a layer's keys and values, and of the one that has
            its outputs, for each layer; ``None``: there is one place.
        budgets: the bytes of each place's slab, which can't grow; ``None``: slabs can.
    """

    def __init__(
        self,
        max_bytes: int,
        hidden: LayerSlabs,
        keys: LayerSlabs,
        places: Sequence[tuple[int, int]] | None = None,
        budgets: Sequence[int] | None = None,
    ) -> None:
        self.max_bytes = max_bytes
        self.hidden = hidden
        self.keys = keys
        self._places = places
        self._budgets = budgets
        num_places = 1 if places is None else 1 + max(map(max, places))
        self._held = [0] * num_places
        """The bytes at each place."""
        self.num_bytes = 0
        self.peak_bytes = 0
        self.num_evictions = 0
        self._sizes: OrderedDict[TrieNode, tuple[int, int]] = OrderedDict()
        """The bytes of each state's keys and values, and of its outputs."""

    @property
    def can_grow(self) -> bool:
        """Whether what is pinned may exceed the budget."""
        return self._budgets is None

    @property
    def budgets(self) -> list[int]:
        """The bytes that each place may hold."""
        if self._budgets is not None:
            return list(self._budgets)
        return [self.max_bytes // len(self._held)] * len(self._held)

    def replace_slabs(self, make: Callable[[], tuple[LayerSlabs, LayerSlabs, list[int]]]) -> None:
        """Drop all states and take other slabs that can't grow; nobody holds on to a node.

        Args:
            make: makes those of outputs, and of keys and values, and says what each place has. The
                memory of the old ones is free by then.
        """
        self.evict((), max_bytes=0)
        self.hidden.free()
        self.keys.free()
        self._budgets = [0] * len(self._held)  # if there is no room for the new ones
        self.hidden, self.keys, self._budgets = make()

    @property
    def key_places(self) -> set[int]:
        """The places that have keys and values."""
        return {keys for keys, _ in self._places or (ONE_PLACE,)}

    def places_of(self, node: TrieNode) -> tuple[int, int]:
        """The places that have a node's keys and values, and its outputs."""
        return ONE_PLACE if self._places is None else self._places[node.layer]

    def _hold(self, node: TrieNode, sizes: tuple[int, int], sign: int) -> None:
        for place, size in zip(self.places_of(node), sizes, strict=True):
            self._held[place] += sign * size
            self.num_bytes += sign * size

    def touch(self, node: TrieNode) -> None:
        """Count a node's state, new or grown, as just used."""
        state, sizes = node.state, NOTHING
        if state is not None:
            sizes = (
                state.keys.num_rows * self.keys.bytes_per_row,
                state.hidden.num_rows * self.hidden.bytes_per_row,
            )
        self._hold(node, self._sizes.pop(node, NOTHING), -1)
        self._hold(node, sizes, 1)
        self._sizes[node] = sizes
        self.peak_bytes = max(self.peak_bytes, self.num_bytes)

    def use(self, nodes: Iterable[TrieNode]) -> None:
        """Count states that are held already as just used."""
        for node in nodes:
            if node in self._sizes:
                self._sizes.move_to_end(node)

    def forget(self, node: TrieNode) -> None:
        """Drop a node's state; the node stays."""
        self._hold(node, self._sizes.pop(node, NOTHING), -1)
        if node.state is not None:
            self.hidden.of(node.layer).give(node.state.hidden.all_slots())
            self.keys.of(node.layer).give(node.state.keys.all_slots())
            node.state = None

    def evict(self, pinned: Container[TrieNode], *, max_bytes: int | None = None) -> None:
        """Drop least recently used states until the budget holds or only pinned ones are left.

        Args:
            pinned: the nodes whose states stay.
            max_bytes: a budget in the place of the store's own.
        """
        of_place = None if max_bytes is None else max_bytes // len(self._held)
        budgets = self.budgets if of_place is None else [of_place] * len(self._held)
        self._drop_excess(
            pinned, [held - most for held, most in zip(self._held, budgets, strict=True)]
        )

    def make_room(
        self, node: TrieNode, num_keys: int, num_outputs: int, pinned: Container[TrieNode]
    ) -> bool:
        """Drop least recently used states for rows to come; whether these have room now.

        Where slabs can grow they always have, and nothing is dropped.

        Args:
            node: a node of the layer whose rows they are.
            num_keys: the rows of keys and values to come.
            num_outputs: the rows of outputs to come.
            pinned: the nodes whose states stay.
        """
        if self._budgets is None:
            return True
        excess = [held - most for held, most in zip(self._held, self._budgets, strict=True)]
        keys_place, outputs_place = self.places_of(node)
        excess[keys_place] += num_keys * self.keys.bytes_per_row
        excess[outputs_place] += num_outputs * self.hidden.bytes_per_row
        return self._drop_excess(pinned, excess)

    def _drop_excess(self, pinned: Container[TrieNode], excess: list[int]) -> bool:
        """Drop states until no place has excess bytes; whether there were enough of them."""
        if max(excess) <= 0:
            return True
        victims = []
        # Least recently used first. A state whose parent's is gone stays right and useful: only the
        # parent would have to run again, should somebody want more of it.
        for node, sizes in self._sizes.items():
            if max(excess) <= 0:
                break
            places = self.places_of(node)
            if node not in pinned and any(excess[place] > 0 for place in places):
                victims.append(node)
                for place, size in zip(places, sizes, strict=True):
                    excess[place] -= size
        for node in victims:
            self._drop(node, pinned)
        self.num_evictions += len(victims)
        return max(excess) <= 0

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
