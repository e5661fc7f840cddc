"""The layer paths of one example as a trie, with the states that were computed at its nodes.

A node is a prefix of a path. All paths that begin alike share its states, so a layer runs once for each (example,
prefix). What a node keeps is bounded by bytes over all examples: see `StateStore`.

Shapes: M rows held, D width, H key-value heads, E head width.
"""

from collections import OrderedDict
from collections.abc import Container, Sequence

import torch
from torch import Tensor

from search_cluster.model.rows import RowTree

SLACK_ROWS = 16
"""Room for later rows that a state is allocated with when it grows, so that decoding seldom copies."""


class NodeState:
    """Outputs of one layer run for some rows of an example, with keys and values if they are kept. Rows only grow.

    Keys and values may be here of more rows than outputs are: of rows that the example shares with others, and of rows
    whose output nothing reads.
    """

    __slots__ = ("_hidden_MD", "_keys_HME", "_slot_of", "_values_HME", "key_rows", "rows")

    def __init__(self) -> None:
        self.rows: list[int] = []
        """Rows with an output, in the order in which they are held."""
        self.key_rows: list[int] = []
        """Rows with keys and values, in the order in which they are held."""
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
        if rows == self.rows[first : first + len(rows)]:
            return self._hidden_MD[first : first + len(rows)]
        return self._hidden_MD[torch.tensor([self._slot_of[row] for row in rows])]

    def keys_and_values(self) -> tuple[Tensor, Tensor]:
        """Keys and values of ``key_rows``, each ``[H, len(key_rows), E]``."""
        assert self._keys_HME is not None, "a state without keys was asked for them"
        assert self._values_HME is not None, "keys and values are kept together"
        return self._keys_HME[:, : len(self.key_rows)], self._values_HME[:, : len(self.key_rows)]

    def append_keys(self, keys_HME: Tensor, values_HME: Tensor) -> tuple[Tensor, Tensor]:
        """Write keys and values of new rows behind the others; those of all rows.

        They count as held when `append_hidden` says so; a run that fails in between can be repeated.
        """
        first = len(self.key_rows)
        self._keys_HME = _grown(self._keys_HME, keys_HME, first, dim=1)
        self._values_HME = _grown(self._values_HME, values_HME, first, dim=1)
        total = first + keys_HME.shape[1]
        return self._keys_HME[:, :total], self._values_HME[:, :total]

    def append_hidden(self, rows: Sequence[int], hidden_MD: Tensor, *, key_rows: Sequence[int]) -> None:
        """Take the outputs of new rows; ends a run.

        Args:
            rows: whose outputs these are.
            hidden_MD: the outputs.
            key_rows: whose keys and values `append_keys` wrote in this run.
        """
        first = len(self.rows)
        self._hidden_MD = _grown(self._hidden_MD, hidden_MD, first, dim=0)
        for slot, row in enumerate(rows, start=first):
            self._slot_of[row] = slot
        self.rows.extend(rows)
        self.key_rows.extend(key_rows)

    @property
    def num_bytes(self) -> int:
        """Memory that is allocated, slack included."""
        parts = (self._hidden_MD, self._keys_HME, self._values_HME)
        return sum(part.numel() * part.element_size() for part in parts if part is not None)


def _grown(held: Tensor | None, new: Tensor, used: int, *, dim: int) -> Tensor:
    """``held`` with ``new`` written behind its first ``used`` rows, re-allocated with slack if it has no room."""
    if held is None:  # a copy: a view would keep the whole call's tensors alive for as long as one node is
        return new.clone(memory_format=torch.contiguous_format)
    total = used + new.shape[dim]
    if held.shape[dim] < total:
        shape = list(held.shape)
        shape[dim] = total + SLACK_ROWS
        larger = held.new_empty(shape)
        larger.narrow(dim, 0, used).copy_(held.narrow(dim, 0, used))
        held = larger
    held.narrow(dim, used, new.shape[dim]).copy_(new)
    return held


class TrieNode:
    """A prefix of layer paths of one example. Owned by its `ExampleTrie`."""

    __slots__ = ("children", "layer", "parent", "state", "trie")

    def __init__(self, trie: "ExampleTrie", parent: "TrieNode | None", layer: int) -> None:
        self.trie = trie
        self.parent = parent
        self.layer = layer
        self.children: dict[int, TrieNode] = {}
        self.state: NodeState | None = None


class ExampleTrie:
    """All that is kept of one example: its rows and the states of its path prefixes."""

    __slots__ = ("root", "rows")

    def __init__(self, rows: RowTree) -> None:
        self.rows = rows
        self.root = TrieNode(self, None, -1)
        """The empty prefix: embeddings, which are cheap and never kept."""

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
    """Which nodes keep their states: the most recently used ones, up to a number of bytes.

    Nodes that the running batch needs are pinned by the caller and never evicted, so a budget below a batch's needs
    is exceeded by just these needs.

    Args:
        max_bytes: budget over all examples.
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

    def evict(self, pinned: Container[TrieNode]) -> None:
        """Drop least recently used states until the budget holds or only pinned ones are left."""
        excess = self.num_bytes - self.max_bytes
        victims = []
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
        while node.parent is not None and node.state is None and not node.children and node not in pinned:
            node.parent.children.pop(node.layer, None)
            node = node.parent
