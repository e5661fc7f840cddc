"""States of path prefixes: what is kept, what goes first, and which keys are looked at."""

import torch

from search_cluster.model.engine.prefix_trie import NodeState, PrefixTrie, StateStore, TrieNode
from search_cluster.model.engine.token_tree import TokenTree

WIDTH, HEADS, HEAD_WIDTH = 8, 2, 4


def filled(node: TrieNode, num_rows: int = 3) -> TrieNode:
    node.state = NodeState()
    node.state.append_hidden(range(num_rows), torch.zeros(num_rows, WIDTH), key_rows=[])
    return node


def test_what_is_used_again_outlives_what_is_not() -> None:
    store, trie = StateStore(2**20), PrefixTrie(TokenTree([1, 2, 3]))
    first, second, third = (filled(node) for node in trie.nodes_of([0, 1, 2]))
    for node in (first, second, third):
        store.touch(node)
    store.use([first, TrieNode(trie, None, 5)])  # a node without a state is none of its business
    store.max_bytes = store.num_bytes - 1
    store.evict(pinned=())
    assert (first.state is None, second.state is None, third.state is None) == (False, True, False)
    assert store.num_evictions == 1


def test_keys_stand_behind_shared_ones_and_grow() -> None:
    generator = torch.Generator().manual_seed(0)
    keys, values = torch.randn(2, HEADS, 40, HEAD_WIDTH, generator=generator)
    hidden = torch.randn(40, WIDTH, generator=generator)
    shared, state = NodeState(), NodeState()
    shared.append_keys(keys[:, :5], values[:, :5])
    shared.append_hidden(range(5), hidden[:5], key_rows=range(5))
    looked_at = state.append_keys(keys[:, 5:8], values[:, 5:8], shared=shared)
    assert torch.equal(torch.stack(looked_at), torch.stack([keys[:, :8], values[:, :8]]))
    state.append_hidden([5, 6, 7], hidden[5:8], key_rows=range(8))
    for row in range(8, 40):
        looked_at = state.append_keys(keys[:, row : row + 1], values[:, row : row + 1])
        # The run was repeated.
        looked_at = state.append_keys(keys[:, row : row + 1], values[:, row : row + 1])
        state.append_hidden([row], hidden[row : row + 1], key_rows=[row])
    assert torch.equal(torch.stack(looked_at), torch.stack([keys, values]))
    assert torch.equal(state.hidden(range(5, 40)), hidden[5:])
    assert not state.has(4)
    assert torch.equal(shared.keys_and_values()[0], keys[:, :5]), "whoever shares is not written to"
