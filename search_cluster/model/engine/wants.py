"""What the nodes of a batch must hold, which is all that the scheduler is told."""

from collections.abc import Mapping
from dataclasses import dataclass

from search_cluster.model.engine.prefix_trie import TrieNode
from search_cluster.model.engine.token_tree import RowSet


@dataclass(slots=True, kw_only=True)
class Wants:
    """What nodes must hold, for one batch."""

    rows: Mapping[TrieNode, RowSet]
    """For each node of an example the rows that it must hold, ancestors before descendants."""
    finals: Mapping[TrieNode, RowSet]
    """Nodes at which only some rows are read, because no wanted path goes on from there."""
    shared: Mapping[TrieNode, TrieNode]
    """For each node, the node of the same prefix in the trie of the rows that its example shares
    with others.

    Their keys and values are there. Examples that share nothing have no entry."""
    keep_keys: bool
    """Whether to keep keys and values, so that rows can be added to the nodes later.

    If not, a node that lacks a wanted row runs all of its rows again."""
