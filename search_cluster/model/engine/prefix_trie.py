"""The layer paths of one example as a trie, with the states that were computed at its nodes.

A node is a prefix of a path. All paths that begin alike share its states, so a layer runs once for
each (example, prefix). What all nodes of all examples keep is bounded in bytes: see `StateStore`.

Shapes: M rows held, D width, H key-value heads, E head width.
"""

from collections import OrderedDict
from collections.abc import Container, Iterable, Sequence

import torch
from torch import Tensor

from search_cluster.model.engine.token_tree import TokenTree

SLACK_ROWS = 16
"""Room for later rows in a state that can grow, so that decoding seldom copies."""


class NodeState:
    """Outputs of one layer run for some rows of an example. Rows only grow.

    Keys and values are here, too, if they are kept. They may be here of more rows than outputs are:
    of rows that the example shares with others, and of rows whose output nothing reads.
    """

    __slots__ = ("_hidden_MD", "_keys_HME", "_slot_of", "_values_HME", "key_rows", "rows")

    def __init__(self) -> None:
        self.rows: list[int] = []
        """The rows with an output, in the order in which they are held."""
        self.key_rows: list[int] = []
        """The rows with keys and values, in the order in which they are held."""
        self._slot_of: dict[int, int] = {}
        self._hidden_MD: Tensor | None = None
        self._keys_HME: Tensor | None = None
        self._values_HME: Tensor | None = None

    def has(self, row: int) -> bool:
        """Whether the row's output is here."""
        return row in self._slot_of

    def hidden(self, rows: Sequence[int]) -> Tensor:
        """Outputs of some rows, ``[len(rows), D]``."""
        assert self._hidden_MD is not None, "a state without rows has no outputs"
        first = self._slot_of[rows[0]]
        # Mostly the rows lie side by side, and a view costs no copy.
        if rows == self.rows[first : first + len(rows)]:
            return self._hidden_MD[first : first + len(rows)]
        return self._hidden_MD[torch.tensor([self._slot_of[row] for row in rows])]

    def keys_and_values(self) -> tuple[Tensor, Tensor]:
        """Keys and values of ``key_rows``, each ``[H, len(key_rows), E]``."""
        assert self._keys_HME is not None, "a state without keys was asked for them"
        assert self._values_HME is not None, "keys and values are kept together"
        return self._keys_HME[:, : len(self.key_rows)], self._values_HME[:, : len(self.key_rows)]

    def append_keys(
        self, keys_HME: Tensor, values_HME: Tensor, *, shared: "NodeState | None" = None
    ) -> tuple[Tensor, Tensor]:
        """Write keys and values of new rows behind the others.

        They count as held when `append_hidden` says so; a run that fails in between can be
        repeated.

        Args:
            keys_HME: the keys of the new rows.
            values_HME: their values.
            shared: the state whose keys and values are copied in front of the new ones.

        Returns:
            The keys and the values of all rows, ``[H, rows, E]`` each.
        """
        # `key_rows` does not grow here: until `append_hidden` takes note of the new rows, a
        # repeated run finds the same number of used rows and writes over what the failed one left.
        used, num_new = len(self.key_rows), keys_HME.shape[1]
        first = used + (0 if shared is None else len(shared.key_rows))
        total = first + num_new
        self._keys_HME = _with_room(
            self._keys_HME, keys_HME, dim=1, used=used, total=total, slack=SLACK_ROWS
        )
        self._values_HME = _with_room(
            self._values_HME, values_HME, dim=1, used=used, total=total, slack=SLACK_ROWS
        )
        if shared is not None:
            for own, theirs in zip(
                (self._keys_HME, self._values_HME), shared.keys_and_values(), strict=True
            ):
                own.narrow(1, used, first - used).copy_(theirs)
        self._keys_HME.narrow(1, first, num_new).copy_(keys_HME)
        self._values_HME.narrow(1, first, num_new).copy_(values_HME)
        return self._keys_HME.narrow(1, 0, total), self._values_HME.narrow(1, 0, total)

    def append_hidden(
        self, rows: Sequence[int], hidden_MD: Tensor, *, key_rows: Sequence[int]
    ) -> None:
        """Take the outputs of new rows, which ends a run.

        Args:
            rows: the rows whose outputs these are.
            hidden_MD: the outputs.
            key_rows: the rows whose keys and values `append_keys` wrote in this run.
        """
        first = len(self.rows)
        slack = SLACK_ROWS if key_rows else 0
        self._hidden_MD = _with_room(
            self._hidden_MD, hidden_MD, dim=0, used=first, total=first + len(rows), slack=slack
        )
        self._hidden_MD.narrow(0, first, len(rows)).copy_(hidden_MD)
        for slot, row in enumerate(rows, start=first):
            self._slot_of[row] = slot
        self.rows.extend(rows)
        self.key_rows.extend(key_rows)

    @property
    def num_bytes(self) -> int:
        """The memory that is allocated, slack included."""
        parts = (self._hidden_MD, self._keys_HME, self._values_HME)
        return sum(part.numel() * part.element_size() for part in parts if part is not None)


def _with_room(
    held: Tensor | None, like: Tensor, *, dim: int, used: int, total: int, slack: int
) -> Tensor:
    """The tensor ``held``, or a larger one with its first ``used`` rows if it lacks room.

    There is room for ``total`` rows then, and a new tensor gets slack beyond them. New rows are
    copied to their place: views would keep a call's tensors alive for as long as one node is.
    """
    if held is not None and held.shape[dim] >= total:
        return held
    shape = list(like.shape)
    shape[dim] = total + slack
    larger = like.new_empty(shape)
    if held is not None:
        larger.narrow(dim, 0, used).copy_(held.narrow(dim, 0, used))
    return larger


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
    """Decides which nodes keep their states: the most recently used ones, up to a number of bytes.

    Nodes that the running batch needs are pinned by the caller and never evicted, so a budget below
    a batch's needs is exceeded by just these needs.

    Args:
        max_bytes: the budget over all examples.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self.peak_bytes = 0
        self.num_evictions = 0
        self._sizes: OrderedDict[TrieNode, int] = OrderedDict()

    def touch(self, node: TrieNode) -> None:
        """Count a node's state, new or grown, as just used."""
        size = 0 if node.state is None else node.state.num_bytes
        self.num_bytes += size - self._sizes.pop(node, 0)
        self._sizes[node] = size
        self.peak_bytes = max(self.peak_bytes, self.num_bytes)

    def use(self, nodes: Iterable[TrieNode]) -> None:
        """Count states that are held already as just used."""
        for node in nodes:
            if node in self._sizes:
                self._sizes.move_to_end(node)

    def evict(self, pinned: Container[TrieNode]) -> None:
        """Drop least recently used states until the budget holds or only pinned ones are left."""
        excess = self.num_bytes - self.max_bytes
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
        self.num_bytes -= self._sizes.pop(node)
        node.state = None
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
