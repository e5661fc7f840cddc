"""The layer paths of one example as a trie, with the states that were computed at its nodes.

A node is a prefix of a path. All paths that begin alike share its states, so a layer runs once for each (example,
prefix). What a node keeps is bounded by bytes over all examples: see `StateStore`.

Shapes: M rows held, D width, H key-value heads, E head width.
"""

from collections import OrderedDict
from collections.abc import Container, Iterable, Sequence

import torch
from torch import Tensor

from search_cluster.model.engine.token_tree import RowTree

SLACK_ROWS = 16
"""Room for later rows that a state is allocated with if rows can be added to it, so that decoding seldom copies."""


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

    def append_keys(
        self, keys_HME: Tensor, values_HME: Tensor, *, shared: "NodeState | None" = None
    ) -> tuple[Tensor, Tensor]:
        """Write keys and values of new rows behind the others; those of all rows, ``[H, rows, E]`` each.

        They count as held when `append_hidden` says so; a run that fails in between can be repeated.

        Args:
            keys_HME: keys of the new rows.
            values_HME: their values.
            shared: whose keys and values to copy in front of the new ones.
        """
        used, num_new = len(self.key_rows), keys_HME.shape[1]
        first = used + (0 if shared is None else len(shared.key_rows))
        total = first + num_new
        self._keys_HME = _with_room(self._keys_HME, keys_HME, dim=1, used=used, total=total, slack=SLACK_ROWS)
        self._values_HME = _with_room(self._values_HME, values_HME, dim=1, used=used, total=total, slack=SLACK_ROWS)
        if shared is not None:
            for own, theirs in zip((self._keys_HME, self._values_HME), shared.keys_and_values(), strict=True):
                own.narrow(1, used, first - used).copy_(theirs)
        self._keys_HME.narrow(1, first, num_new).copy_(keys_HME)
        self._values_HME.narrow(1, first, num_new).copy_(values_HME)
        return self._keys_HME.narrow(1, 0, total), self._values_HME.narrow(1, 0, total)

    def append_hidden(self, rows: Sequence[int], hidden_MD: Tensor, *, key_rows: Sequence[int]) -> None:
        """Take the outputs of new rows; ends a run.

        Args:
            rows: whose outputs these are.
            hidden_MD: the outputs.
            key_rows: whose keys and values `append_keys` wrote in this run.
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
        """Memory that is allocated, slack included."""
        parts = (self._hidden_MD, self._keys_HME, self._values_HME)
        return sum(part.numel() * part.element_size() for part in parts if part is not None)


def _with_room(held: Tensor | None, like: Tensor, *, dim: int, used: int, total: int, slack: int) -> Tensor:
    """``held`` if it has room for ``total`` rows, else its first ``used`` rows in a new tensor with slack.

    New rows are then copied to their place: views would keep a call's tensors alive for as long as one node is.
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

    def use(self, nodes: Iterable[TrieNode]) -> None:
        """Count states that are held already as just used."""
        for node in nodes:
            if node in self._sizes:
                self._sizes.move_to_end(node)

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
