"""Which nodes run in one call: as many as its rows and the keys that they look at allow."""

import pytest

from search_cluster.model.engine.calls.call_limits import CallLimits
from search_cluster.model.engine.prefix_trie import PrefixTrie, TrieNode
from search_cluster.model.engine.token_tree import RowSet, TokenTree


def decoding(num_nodes: int, num_context: int) -> dict[TrieNode, RowSet]:
    """Nodes that run one row each, behind a prompt."""
    found = {}
    for _ in range(num_nodes):
        trie = PrefixTrie(TokenTree(range(num_context - 1)))
        (node,) = trie.nodes_of([0])
        found[node] = trie.token_tree.row_set([trie.token_tree.add(num_context - 2, 5)])
    return found


@pytest.mark.parametrize(
    ("keys_per_row", "num_rows"),
    [(None, [100, 100, 56]), (32, [6] * 42 + [4]), (1000, [100, 100, 56])],
)
def test_rows_that_are_decoded_are_fewer_where_their_keys_are_gathered(
    keys_per_row: int | None, num_rows: list[int]
) -> None:
    missing = decoding(256, 500)
    parts = list(CallLimits(100, keys_per_row).calls(missing, missing))
    assert [len(part) for part in parts] == num_rows
    assert {node for part in parts for node in part} == missing.keys()


def test_a_node_that_is_too_large_runs_alone() -> None:
    missing = decoding(3, 500)
    assert list(map(len, CallLimits(8, 32).calls(missing, missing))) == [1, 1, 1]


def test_each_chain_looks_at_all_keys_before_it() -> None:
    tree = TokenTree(range(10))
    last = tree.add_chain(9, [20, 21])[-1]
    other = tree.add(9, 22)
    assert tree.row_set(range(10)).num_keys() == 10
    assert tree.row_set(range(4, len(tree.tokens))).num_keys() == 12 + 11
    assert tree.row_set([last]).num_keys() == 12
    assert tree.row_set([last, other]).num_keys() == 12 + 11
