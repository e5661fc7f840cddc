"""States of path prefixes: what is kept, what goes first, and where a row is."""

import numpy as np
import torch

from search_cluster.model.engine.prefix_trie import (
    SLACK_ROWS,
    HeldRows,
    NodeState,
    PrefixTrie,
    StateStore,
    TrieNode,
)
from search_cluster.model.engine.slabs import LayerSlabs, Slab
from search_cluster.model.engine.token_tree import TokenTree

WIDTH, KEY_WIDTH = 8, 4


def new_store(max_bytes: int = 2**20) -> StateStore:
    def slab(widths: list[int]) -> Slab:
        return Slab(widths, dtype=torch.float32, device=torch.device("cpu"), num_rows=16)

    hidden, keys = LayerSlabs([slab([WIDTH])] * 9), LayerSlabs([slab([KEY_WIDTH] * 2)] * 9)
    return StateStore(max_bytes, hidden, keys)


def filled(node: TrieNode, store: StateStore, num_rows: int = 3) -> TrieNode:
    """The node with outputs and keys of the first rows."""
    node.state, rows = NodeState(), node.trie.token_tree.row_set(range(num_rows))
    node.state.hidden.add(rows, rows.rows, store.hidden.of(node.layer).take(num_rows))
    node.state.keys.add(rows, rows.rows, store.keys.of(node.layer).take(num_rows))
    store.touch(node)
    return node


def test_what_is_used_again_outlives_what_is_not() -> None:
    store, trie = new_store(), PrefixTrie(TokenTree([1, 2, 3]))
    first, second, third = (filled(node, store) for node in trie.nodes_of([0, 1, 2]))
    assert store.num_bytes == 3 * 3 * 4 * (WIDTH + 2 * KEY_WIDTH)
    store.use([first, TrieNode(trie, None, 5)])  # a node without a state is none of its business
    store.max_bytes = store.num_bytes - 1
    store.evict(pinned=())
    assert (first.state is None, second.state is None, third.state is None) == (False, True, False)
    assert store.num_evictions == 1
    assert (store.hidden.num_used, store.keys.num_used) == (6, 6), "its slots are free again"


def test_pinned_states_stay_and_the_rest_leaves_no_node_behind() -> None:
    store, trie = new_store(max_bytes=0), PrefixTrie(TokenTree([1, 2, 3]))
    first, second, third = (filled(node, store) for node in trie.nodes_of([0, 1, 2]))
    store.evict(pinned={second})
    assert (first.state is None, second.state is None, third.state is None) == (True, False, True)
    assert trie.nodes_of([0, 1]) == [first, second], "whoever pinned it finds it again"
    assert not second.children
    store.evict(pinned=())
    assert not trie.root.children
    assert store.num_bytes == store.hidden.num_used == store.keys.num_used == 0


def test_rows_are_found_where_they_were_put_however_many_there_are() -> None:
    tree, held = TokenTree([1, 2, 3]), HeldRows()
    tree.add_chain(2, range(10, 10 + 3 * SLACK_ROWS))
    slots = np.random.default_rng(0).permutation(1000)[: len(tree.tokens)]
    for row in [1, *range(3, len(tree.tokens))]:
        one = tree.row_set([row])
        assert held.lacks(one).tolist() == [row]
        held.add(one, one.rows, slots[row : row + 1])
        assert not len(held.lacks(one))
    every = tree.row_set(range(len(tree.tokens)))
    assert held.lacks(every).tolist() == [0, 2]
    assert held.num_rows == len(every) - 2
    rows = held.held_rows()
    assert rows.tolist() == [1, *range(3, len(every))]
    assert held.slots(rows).tolist() == held.all_slots().tolist() == slots[rows].tolist()
    assert held.slots_from(3, 9).tolist() == slots[3:9].tolist()
    assert [held.has(row) for row in (0, 3, 10_000)] == [False, True, False]
    held.drop(rows[:2])
    assert held.lacks(every).tolist() == [0, 1, 2, 3]
    assert held.num_rows == len(every) - 4


def test_each_device_has_a_budget_of_its_own() -> None:
    def slabs(widths: list[int]) -> LayerSlabs:
        parts = [Slab(widths, dtype=torch.float32, device=torch.device("cpu")) for _ in range(2)]
        return LayerSlabs([parts[layer // 2] for layer in range(4)])

    # Layer 1 leaves its states where layer 2 is.
    places = [(0, 0), (0, 1), (1, 1), (1, 1)]
    store = StateStore(2**20, slabs([WIDTH]), slabs([KEY_WIDTH] * 2), places)
    trie = PrefixTrie(TokenTree([1, 2, 3]))
    first, second, third, fourth = (filled(node, store) for node in trie.nodes_of((0, 2, 3, 1)))
    hidden, keys = 3 * 4 * WIDTH, 3 * 4 * 2 * KEY_WIDTH
    assert store.num_bytes == 4 * (hidden + keys)
    store.max_bytes = 2 * (2 * (hidden + keys) + hidden)  # what the second device holds
    store.evict(())
    assert store.num_evictions == 0
    store.max_bytes -= 2
    store.evict(())
    assert second.state is None, "the oldest one of the device that is full"
    assert first.state is not None, "dropping it would help nobody"
    assert third.state is not None
    assert fourth.state is not None
    store.evict((), max_bytes=0)
    assert store.num_bytes == store.hidden.num_used == store.keys.num_used == 0
