"""What the nodes of a batch must hold, which is all that the scheduler is told."""

from collections.abc import Mapping
from dataclasses import dataclass

from search_cluster.model.engine.prefix_trie import NodeState, TrieNode


@dataclass(slots=True, kw_only=True)
class Wants:
    """What nodes must hold, for one batch."""

    rows: dict[TrieNode, list[int]]
    """For each node of an example the rows that it must hold, ancestors before descendants."""
    finals: Mapping[TrieNode, list[int]]
    """Nodes at which only some rows are read, because no wanted path goes on from there."""
    shared: Mapping[TrieNode, TrieNode]
    """For each node, the node of the same prefix in the trie of the rows that its example shares
    with others.

    Their keys and values are there. Examples that share nothing have no entry."""
    keep_keys: bool
    """Whether to keep keys and values, so that rows can be added to the nodes later.

    If not, a node that lacks a wanted row runs all of its rows again."""

    def first_shared(self, node: TrieNode, state: NodeState) -> range:
        """The shared rows that a node takes over in its first run."""
        if state.key_rows or node not in self.shared:
            return range(0)
        return range(self.shared[node].trie.token_tree.num_context)

    def read_rows(self, node: TrieNode, missing: Mapping[TrieNode, list[int]]) -> list[int]:
        """The rows whose outputs matter, among the missing ones that a node runs."""
        if node not in self.finals:
            return missing[node]
        return [row for row in self.finals[node] if node.state is None or not node.state.has(row)]
