"""The scheduler: brings the states of many path prefixes up to date, layer by layer, each piece of work once.

A *want* says: this node must hold these rows. All wants of a batch whose parents are done and that run the same layer
go through that layer in one call, whatever example, path or position they belong to. The lowest such layer goes first,
so that paths in the model's order read each layer's weights once; repeats and re-ordered paths need no other rule.

Shapes: N rows of a call, D width.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from search_cluster.model.layer_runner import LayerRunner
from search_cluster.model.packed_attention import SegmentGroup
from search_cluster.model.path_trie import NodeState, StateStore, TrieNode


@dataclass(slots=True)
class WorkCounters:
    """Work done, in counts that do not jitter."""

    layer_runs: int = 0
    """Runs of a layer for the first rows of a node: once per (example, prefix) unless its state was evicted."""
    layer_tokens: int = 0
    """(layer, row) applications."""
    unread_rows: int = 0
    """(layer, row) applications without the feed-forward part, because nothing reads the row afterwards."""
    layer_calls: int = 0
    """Calls of a layer, each for many rows."""
    head_rows: int = 0
    """Rows whose logits were computed."""


class PathRunner:
    """Computes states of trie nodes.

    Args:
        layers: the model's layers.
        store: decides what is kept afterwards.
        max_call_rows: rows of one layer call at most (one segment may be longer).
    """

    def __init__(self, layers: LayerRunner, store: StateStore, *, max_call_rows: int) -> None:
        self._layers = layers
        self._store = store
        self._max_call_rows = max_call_rows
        self._pinned: Container[TrieNode] = ()
        self.counters = WorkCounters()

    def bring_up_to_date(
        self, wants: dict[TrieNode, list[int]], *, keep_keys: bool, finals: Mapping[TrieNode, list[int]]
    ) -> None:
        """Compute the wanted rows that nodes do not hold yet.

        A wanted row's ancestors are wanted or held by the same node, and by the node's parent, root excepted. Pinned
        against eviction are the nodes of ``wants``; call `release` when their states have been read.

        Args:
            wants: rows per node, ancestors before descendants.
            keep_keys: keep keys and values, so that rows can be added to the nodes later; else a node that lacks a
                wanted row runs all of them.
            finals: nodes at which only some rows are read, because no wanted path goes on from there.
        """
        self._pinned = wants
        missing = {
            node: rows
            for node, wanted in wants.items()
            if (rows := _missing_rows(node, wanted, finals.get(node), keep_keys=keep_keys))
        }
        ready: dict[int, list[TrieNode]] = defaultdict(list)
        for node in missing:
            if node.parent not in missing:
                ready[node.layer].append(node)
        while ready:
            layer = min(ready)
            for batch in self._calls(ready.pop(layer), missing):
                self._run_or_split(layer, batch, missing, finals, keep_keys=keep_keys)
                for node in batch:
                    for child in node.children.values():
                        if child in missing:
                            ready[child.layer].append(child)
            self._store.evict(self._pinned)

    def release(self) -> None:
        """Let the store evict what the last wants had pinned."""
        self._pinned = ()
        self._store.evict(self._pinned)

    def _calls(self, nodes: list[TrieNode], missing: dict[TrieNode, list[int]]) -> Iterable[list[TrieNode]]:
        """Nodes in batches of bounded rows; nodes with equal rows of one example stand together."""
        nodes = sorted(
            nodes, key=lambda node: (id(node.trie), missing[node], len(node.state.rows) if node.state else 0)
        )
        batch: list[TrieNode] = []
        num_rows = 0
        for node in nodes:
            if batch and num_rows + len(missing[node]) > self._max_call_rows:
                yield batch
                batch, num_rows = [], 0
            batch.append(node)
            num_rows += len(missing[node])
        yield batch

    def _run_or_split(
        self,
        layer: int,
        nodes: list[TrieNode],
        missing: dict[TrieNode, list[int]],
        finals: Mapping[TrieNode, list[int]],
        *,
        keep_keys: bool,
    ) -> None:
        """Run a call; out of memory, evict all that can be spared and run its halves."""
        try:
            self._run(layer, nodes, missing, finals, keep_keys=keep_keys)
        except torch.OutOfMemoryError:
            if len(nodes) == 1:
                raise
            self._max_call_rows = max(1, self._max_call_rows // 2)
        else:
            return
        self._store.evict(self._pinned)
        middle = len(nodes) // 2
        self._run_or_split(layer, nodes[:middle], missing, finals, keep_keys=keep_keys)
        self._run_or_split(layer, nodes[middle:], missing, finals, keep_keys=keep_keys)

    def _run(
        self,
        layer: int,
        nodes: list[TrieNode],
        missing: dict[TrieNode, list[int]],
        finals: Mapping[TrieNode, list[int]],
        *,
        keep_keys: bool,
    ) -> None:
        hidden_ND = torch.cat([self._inputs(node, missing[node]) for node in nodes])
        positions = [node.trie.rows.positions[row] for node in nodes for row in missing[node]]
        positions_N = torch.tensor(positions, device=self._layers.device)
        states = [node.state if keep_keys and node.state else NodeState() for node in nodes]
        groups = self._groups(layer, nodes, states, missing, keep_keys=keep_keys)
        read = [finals.get(node, missing[node]) for node in nodes]
        rows_read = self._rows_read(nodes, missing, finals)
        output_ND = self._layers.run(layer, hidden_ND, positions_N, groups, rows_read)
        if rows_read is not None:
            output_ND = output_ND[rows_read]
        first = 0
        for node, state, rows in zip(nodes, states, read, strict=True):
            self.counters.layer_runs += not state.rows
            # A copy: a view would keep the whole call's output alive for as long as one node is.
            state.append_hidden(rows, output_ND[first : first + len(rows)].clone())
            first += len(rows)
            node.state = state
            self._store.touch(node)
        self.counters.layer_calls += 1
        self.counters.layer_tokens += len(positions)
        self.counters.unread_rows += len(positions) - len(output_ND)

    def _rows_read(
        self, nodes: list[TrieNode], missing: dict[TrieNode, list[int]], finals: Mapping[TrieNode, list[int]]
    ) -> Tensor | None:
        """Places in the call of the rows whose outputs matter; ``None`` if all do."""
        if not any(node in finals for node in nodes):
            return None
        places, first = [], 0
        for node in nodes:
            rows = missing[node]
            if node in finals:
                place_of = {row: place for place, row in enumerate(rows, start=first)}
                places += [place_of[row] for row in finals[node]]
            else:
                places += range(first, first + len(rows))
            first += len(rows)
        return torch.tensor(places, device=self._layers.device)

    def _inputs(self, node: TrieNode, rows: Sequence[int]) -> Tensor:
        parent = node.parent
        if parent is not node.trie.root:
            assert parent is not None
            assert parent.state is not None, "a parent is wanted with its children, or holds their rows"
            return parent.state.hidden(rows)
        tokens = torch.tensor([node.trie.rows.tokens[row] for row in rows], device=self._layers.device)
        return self._layers.embed(tokens)

    def _groups(
        self,
        layer: int,
        nodes: list[TrieNode],
        states: list[NodeState],
        missing: dict[TrieNode, list[int]],
        *,
        keep_keys: bool,
    ) -> list[SegmentGroup]:
        """Neighbours that add the same rows to the same rows of the same example, as one group each."""
        groups: list[SegmentGroup] = []
        last: tuple[object, list[int], list[int]] | None = None
        first_row = 0
        for node, state in zip(nodes, states, strict=True):
            rows = missing[node]
            key = (node.trie, rows, state.rows)
            if last is not None and last[0] is key[0] and last[1:] == key[1:]:
                groups[-1].states.append(state)
            else:
                mask_RK = node.trie.rows.visible(rows, [*state.rows, *rows], self._layers.window(layer))
                groups.append(
                    SegmentGroup(
                        first_row=first_row,
                        num_rows=len(rows),
                        states=[state],
                        mask_RK=mask_RK.to(self._layers.device),
                        keep_keys=keep_keys,
                    )
                )
                last = key
            first_row += len(rows)
        return groups


def _missing_rows(node: TrieNode, wanted: list[int], read: list[int] | None, *, keep_keys: bool) -> list[int]:
    """Rows that a node must run: none if it holds what will be read of it."""
    state = node.state
    if state is None:
        return wanted
    missing = [row for row in (wanted if read is None else read) if not state.has(row)]
    return missing if keep_keys or not missing else wanted
