"""The scheduler: brings the states of many path prefixes up to date, each piece of work once.

A *want* says: this node must hold these rows. All wants of a batch whose parents are done and that
run the same layer go through that layer in one call, whatever example, path or position they belong
to. The lowest such layer goes first, so that paths in the model's order read each layer's weights
once; repeats and re-ordered paths need no other rule.

Rows with which the prompts of many examples begin (a system prompt, a template, worked examples)
are like an example of their own: they run once per path prefix, and the examples' rows look at
their keys and values.

Shapes: N rows of a call, R rows of a segment, K rows looked at, D width.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from search_cluster.model.engine.attention import SegmentGroup
from search_cluster.model.engine.layer_runner import LayerRunner
from search_cluster.model.engine.prefix_trie import NodeState, StateStore, TrieNode
from search_cluster.model.engine.wants import Wants


@dataclass(slots=True)
class WorkCounters:
    """The work done so far, in counts that do not jitter."""

    layer_runs: int = 0
    """Runs of a layer for the first rows of a node: once per (example, prefix) unless its state was
    evicted."""
    shared_layer_runs: int = 0
    """Such runs for the rows that examples share: once per prefix, whatever the number of
    examples."""
    layer_tokens: int = 0
    """The number of (layer, row) applications."""
    unread_rows: int = 0
    """The number of (layer, row) applications without the feed-forward part, because nothing reads
    the row afterwards."""
    visible_rows: int = 0
    """The number of (layer, row, row it may look at) triples, which is the work of attention."""
    layer_calls: int = 0
    """The number of calls of a layer, each for many rows."""
    head_rows: int = 0
    """The number of rows whose logits were computed."""


class Scheduler:
    """Computes states of trie nodes.

    Args:
        layers: the model's layers.
        store: decides what is kept afterwards.
        max_call_rows: the largest number of rows in one layer call, unless a single segment is
            longer.
    """

    def __init__(self, layers: LayerRunner, store: StateStore, *, max_call_rows: int) -> None:
        self._layers = layers
        self._store = store
        self.max_call_rows = max_call_rows
        self._pinned: set[TrieNode] = set()
        self.counters = WorkCounters()

    def bring_up_to_date(self, wants: Wants) -> None:
        """Compute the wanted rows that nodes do not hold yet; rows that examples share come first.

        A wanted row's ancestors are wanted, held or shared by the same node, and by the node's
        parent unless that is the root. The wanted nodes are pinned against eviction; call `release`
        when their states have been read.
        """
        shared_rows = {
            node: list(range(node.trie.token_tree.num_context)) for node in wants.shared.values()
        }
        # All wanted nodes are pinned before the first one runs: the store evicts between layers,
        # and a held state has to outlive that until the nodes behind it have read it.
        self._pinned = {*wants.rows, *shared_rows}
        self._store.use([*wants.rows, *shared_rows])
        # Shared rows see nothing but each other, and the rows behind them look at their keys.
        self.counters.shared_layer_runs += self._run_all(
            Wants(rows=shared_rows, finals={}, shared={}, keep_keys=True)
        )
        self.counters.layer_runs += self._run_all(wants)

    def release(self) -> None:
        """Let the store evict what the last wants had pinned."""
        self._pinned = set()
        self._store.evict(self._pinned)

    def _run_all(self, wants: Wants) -> int:
        """Run layer by layer what is missing, and count the nodes that ran for the first time."""
        missing = {node: rows for node in wants.rows if (rows := self._missing_rows(node, wants))}
        num_first_runs = sum(node.state is None for node in missing)
        # A node is ready when its parent needs no run, or has had it. It has one parent, so it
        # becomes ready once, and the loop ends when all have run.
        ready: dict[int, list[TrieNode]] = defaultdict(list)
        for node in missing:
            if node.parent not in missing:
                ready[node.layer].append(node)
        while ready:
            # Any order of ready layers is right. The lowest first lets paths that are behind catch
            # up, so that the calls of higher layers collect as many rows as they can.
            layer = min(ready)
            for batch in self._calls(ready.pop(layer), missing):
                self._run_or_split(layer, batch, missing, wants)
                for node in batch:
                    for child in node.children.values():
                        if child in missing:
                            ready[child.layer].append(child)
            self._store.evict(self._pinned)
        return num_first_runs

    def _missing_rows(self, node: TrieNode, wants: Wants) -> list[int]:
        """The rows that a node must run: none if it holds what will be read of it.

        A node that can't add what it lacks, because it keeps no keys or keeps them without the
        outputs that are now wanted, forgets its state and runs everything again.
        """
        wanted, state = wants.rows[node], node.state
        if state is None:
            return wanted
        lacked = [row for row in wants.finals.get(node, wanted) if not state.has(row)]
        if not lacked:
            return []
        if not wants.keep_keys:  # Without old rows' keys, new rows have nothing to look at.
            node.state = None
            return wanted
        kept = set(state.key_rows)
        if kept.isdisjoint(lacked):
            return [row for row in wanted if row not in kept]
        # A lacked row has its keys here, but not its output, because nothing was to read it.
        # Running it behind the others would hold its keys twice. Rows that are kept and not wanted
        # run again, too: later rows look at them. Shared ones come from the shared node, as in a
        # first run.
        node.state = None
        num_shared = wants.shared[node].trie.token_tree.num_context if node in wants.shared else 0
        return sorted({*wanted, *(row for row in kept if row >= num_shared)})

    def _calls(
        self, nodes: list[TrieNode], missing: dict[TrieNode, list[int]]
    ) -> Iterable[list[TrieNode]]:
        """The nodes in batches of bounded rows; nodes with equal rows stand together."""
        # The order of tries is that of their addresses, so it differs between processes. It may
        # change the last bits of a state, as any company does; gaps that such bits could decide are
        # rechecked.
        nodes = sorted(
            nodes,
            key=lambda node: (
                id(node.trie),
                missing[node],
                len(node.state.key_rows) if node.state else 0,
            ),
        )
        batch: list[TrieNode] = []
        num_rows = 0
        for node in nodes:
            if batch and num_rows + len(missing[node]) > self.max_call_rows:
                yield batch
                batch, num_rows = [], 0
            batch.append(node)
            num_rows += len(missing[node])
        yield batch

    def _run_or_split(
        self, layer: int, nodes: list[TrieNode], missing: dict[TrieNode, list[int]], wants: Wants
    ) -> None:
        """Run a call; out of memory, evict all that can be spared and run its halves."""
        try:
            self._run(layer, nodes, missing, wants)
        except torch.OutOfMemoryError:
            if len(nodes) == 1:
                raise
            # For good: what was too large once would fail again at each of the next layers.
            self.max_call_rows = max(1, self.max_call_rows // 2)
        else:
            return
        # Outside of the handler, whose exception holds on to the tensors of the call that failed.
        # That call has left no trace: states count their rows when all has been computed, in
        # `_run`.
        self._store.evict(self._pinned)
        middle = len(nodes) // 2
        self._run_or_split(layer, nodes[:middle], missing, wants)
        self._run_or_split(layer, nodes[middle:], missing, wants)

    def _run(
        self, layer: int, nodes: list[TrieNode], missing: dict[TrieNode, list[int]], wants: Wants
    ) -> None:
        hidden_ND = torch.cat([self._inputs(node, missing[node]) for node in nodes])
        positions = [node.trie.token_tree.positions[row] for node in nodes for row in missing[node]]
        positions_N = torch.tensor(positions, device=self._layers.device)
        # A new state becomes its node's below, so that a node whose call fails still has none.
        states = [node.state or NodeState() for node in nodes]
        groups = self._groups(layer, nodes, states, missing, wants)
        rows_read = self._rows_read(nodes, missing, wants)
        output_ND = self._layers.run(layer, hidden_ND, positions_N, groups, rows_read)
        if rows_read is not None:
            output_ND = output_ND[rows_read]
        first = 0
        for node, state in zip(nodes, states, strict=True):
            rows = wants.read_rows(node, missing)
            # In the order in which `NodeState.append_keys` wrote them: shared rows, then new ones.
            key_rows = [*wants.first_shared(node, state), *missing[node]] if wants.keep_keys else []
            state.append_hidden(rows, output_ND[first : first + len(rows)], key_rows=key_rows)
            first += len(rows)
            node.state = state
            self._store.touch(node)
        self.counters.layer_calls += 1
        self.counters.layer_tokens += len(positions)
        window = self._layers.window(layer) or math.inf
        self.counters.visible_rows += int(sum(min(position + 1, window) for position in positions))
        self.counters.unread_rows += len(positions) - len(output_ND)

    def _rows_read(
        self, nodes: list[TrieNode], missing: dict[TrieNode, list[int]], wants: Wants
    ) -> Tensor | None:
        """The places in the call of the rows whose outputs matter; ``None`` if all do."""
        if not any(node in wants.finals for node in nodes):
            return None
        places, first = [], 0
        for node in nodes:
            rows = missing[node]
            if node in wants.finals:
                place_of = {row: place for place, row in enumerate(rows, start=first)}
                places += [place_of[row] for row in wants.read_rows(node, missing)]
            else:
                places += range(first, first + len(rows))
            first += len(rows)
        return torch.tensor(places, device=self._layers.device)

    def _inputs(self, node: TrieNode, rows: Sequence[int]) -> Tensor:
        parent = node.parent
        if parent is not node.trie.root:
            assert parent is not None
            assert parent.state is not None, (
                "a parent is wanted with its children, or holds their rows"
            )
            return parent.state.hidden(rows)
        tokens = torch.tensor(
            [node.trie.token_tree.tokens[row] for row in rows], device=self._layers.device
        )
        return self._layers.embed(tokens)

    def _groups(
        self,
        layer: int,
        nodes: list[TrieNode],
        states: list[NodeState],
        missing: dict[TrieNode, list[int]],
        wants: Wants,
    ) -> list[SegmentGroup]:
        """Neighbours that add the same rows to the same rows of one example, as one group each."""
        groups: list[SegmentGroup] = []
        last: tuple[object, list[int], list[int]] | None = None
        first_row = 0
        for node, state in zip(nodes, states, strict=True):
            rows = missing[node]
            first_shared = wants.first_shared(node, state)
            key = (node.trie, rows, state.key_rows)
            if last is None or last[0] is not key[0] or last[1:] != key[1:]:
                # The order of the keys in memory, which the mask's columns follow.
                looked_at = [*state.key_rows, *first_shared, *rows]
                mask_RK = node.trie.token_tree.visible(rows, looked_at, self._layers.window(layer))
                groups.append(
                    SegmentGroup(
                        first_row=first_row,
                        num_rows=len(rows),
                        states=[],
                        mask_RK=mask_RK.to(self._layers.device),
                        keep_keys=wants.keep_keys,
                        shared=[],
                    )
                )
                last = key
            groups[-1].states.append(state)
            if first_shared:
                shared = wants.shared[node].state
                assert shared is not None, "shared rows run before the rows that look at them"
                groups[-1].shared.append(shared)
            first_row += len(rows)
        return groups
