"""The scheduler: brings the states of many path prefixes up to date, each piece of work once.

A *want* says: this node must hold these rows. All wants of a batch whose parents are done and that
run the same layer go through that layer in one call, whatever example, path or position they belong
to. The lowest such layer goes first, so that paths in the model's order read each layer's weights
once; repeats and re-ordered paths need no other rule.

Rows with which the prompts of many examples begin (a system prompt, a template, worked examples)
are like an example of their own: they run once per path prefix, and the examples' rows look at
their keys and values.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from search_cluster.model.engine.call_rows import RowsOfCall
from search_cluster.model.engine.calls.call_limits import CallLimits
from search_cluster.model.engine.calls.call_plan import Call, CallPlan, Layout, Visit
from search_cluster.model.engine.calls.masks import Masks
from search_cluster.model.engine.calls.plan_builder import PlanBuilder
from search_cluster.model.engine.invariance.arithmetic import Arithmetic
from search_cluster.model.engine.invariance.covers import call_cost_rows, filled_up
from search_cluster.model.engine.layer_runner import LayerRunner
from search_cluster.model.engine.prefix_trie import NodeState, StateStore, TrieNode
from search_cluster.model.engine.slabs import NO_SLOTS, NoRoomError, Slots
from search_cluster.model.engine.token_tree import RowSet
from search_cluster.model.engine.wants import Wants
from search_cluster.model.engine.work_counters import WorkCounters
from search_cluster.model.memory_plan import KEYS_PER_ROW


class Scheduler:
    """Computes states of trie nodes.

    Args:
        layers: the model's layers.
        store: where states are, and what is kept of them afterwards.
        arithmetic: how rows have the same bits in any company.
        max_call_rows: the largest number of rows in one layer call, unless a single segment is
            longer.
    """

    def __init__(
        self, layers: LayerRunner, store: StateStore, *, arithmetic: Arithmetic, max_call_rows: int
    ) -> None:
        self._layers = layers
        self._store = store
        self._arithmetic = arithmetic
        # On a CPU no plan counts on gathered keys: there is no card that they must fit on.
        is_cpu = layers.devices.first.type == "cpu"
        self._limits = CallLimits(max_call_rows, None if is_cpu else KEYS_PER_ROW)
        # Calls are filled up so that their products need no rows of their own. No method of this
        # one: the two would refer to each other, and keep all states until Python looks for cycles.
        fill_up = partial(
            filled_up,
            counts=arithmetic.call_rows,
            call_cost=call_cost_rows(layers.devices.first),
        )
        self._plans = {
            device: PlanBuilder(
                *(arithmetic.layout, arithmetic.shapes, Masks(layers.dtype, device), device),
                *(fill_up, layers.bridged_from, layers.devices.of_states),
            )
            for device in layers.devices.distinct
        }
        self._pinned: set[TrieNode] = set()
        self.counters = WorkCounters()

    @property
    def max_call_rows(self) -> int:
        """The largest number of rows in one layer call for now."""
        return self._limits.max_rows

    def bring_up_to_date(self, wants: Wants) -> None:
        """Compute the wanted rows that nodes do not hold yet; rows that examples share come first.

        A wanted row's ancestors are wanted, held or shared by the same node, and by the node's
        parent unless that is the root. The wanted nodes are pinned against eviction; call `release`
        when their states have been read.

        Raises:
            NoRoomError: they have no room together. What was computed is held.
        """
        shared_rows = {
            node: node.trie.token_tree.row_set(range(node.trie.token_tree.num_context))
            for node in wants.shared.values()
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
        missing: dict[TrieNode, RowSet] = {}
        for node in wants.rows:
            rows = self._missing_rows(node, wants)
            if rows is not None:
                missing[node] = rows
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
            for batch in self._limits.calls(ready.pop(layer), missing):
                self._run_or_split(layer, batch, missing, wants)
                for node in batch:
                    for child in node.children.values():
                        if child in missing:
                            ready[child.layer].append(child)
            self._store.evict(self._pinned)
        return num_first_runs

    def _missing_rows(self, node: TrieNode, wants: Wants) -> RowSet | None:
        """The rows that a node must run: ``None`` if it holds what will be read of it.

        A node that can't add what it lacks, because it keeps no keys or keeps them without the
        outputs that are now wanted, forgets its state and runs everything again.
        """
        wanted, state = wants.rows[node], node.state
        if state is None:
            return wanted
        lacked = state.hidden.lacks(wants.finals.get(node, wanted))
        if not len(lacked):
            return None
        if not wants.keep_keys:  # Without old rows' keys, new rows have nothing to look at.
            self._store.forget(node)
            return wanted
        without_keys = state.keys.lacks(wanted)
        if len(without_keys) == len(wanted):
            return wanted
        if np.isin(lacked, without_keys).all():
            return wanted.tree.row_set(without_keys.tolist())
        # A lacked row has its keys here, but not its output, because nothing was to read it.
        # Running it behind the others would hold its keys twice. Rows that are kept and not wanted
        # run again, too: later rows look at them.
        kept = state.keys.held_rows()
        self._store.forget(node)
        return wanted.tree.row_set({*wanted.key, *kept.tolist()})

    def _run_or_split(
        self, layer: int, nodes: list[TrieNode], missing: dict[TrieNode, RowSet], wants: Wants
    ) -> None:
        """Run a call; out of memory, run its halves, or a single node once more without the rest.

        Raises:
            NoRoomError: a node's states have no room beside those that are pinned.
            torch.OutOfMemoryError: a node has no room by itself.
        """
        if self._make_room(nodes, missing, wants):
            try:
                self._run(layer, nodes, missing, wants)
            except torch.OutOfMemoryError:
                self._limits.halve(sum(len(missing[node]) for node in nodes))
            else:
                return self._limits.recover()
            # Outside of the handler, whose exception holds on to the tensors of the call that
            # failed. That call has left no trace.
            if len(nodes) == 1:
                if self._store.can_grow:  # else nobody gets the memory of what is dropped
                    self._store.evict(self._pinned, max_bytes=0)
                return self._run(layer, nodes, missing, wants)
            self._store.evict(self._pinned)
        elif len(nodes) == 1:
            raise NoRoomError(
                f"{len(missing[nodes[0]])} rows of layer {layer} have no room beside the states "
                "that are needed with them; set state_bytes higher"
            )
        middle = len(nodes) // 2
        self._run_or_split(layer, nodes[:middle], missing, wants)
        self._run_or_split(layer, nodes[middle:], missing, wants)

    def _make_room(
        self, nodes: Sequence[TrieNode], missing: dict[TrieNode, RowSet], wants: Wants
    ) -> bool:
        """Let states go for those of a call; whether these have room now."""
        if self._store.can_grow:
            return True
        num_outputs = sum(len(self._output_rows(node, missing[node], wants)) for node in nodes)
        num_keys = sum(len(missing[node]) for node in nodes) if self._takes_keys(wants) else 0
        return self._store.make_room(nodes[0], num_keys, num_outputs, self._pinned)

    def _takes_keys(self, wants: Wants) -> bool:
        """Whether calls write keys and values to slots, be it for the time of the call alone."""
        return wants.keep_keys or self._arithmetic.layout is Layout.PACKED

    def _output_rows(self, node: TrieNode, run: RowSet, wants: Wants) -> Slots:
        """The rows of a run whose outputs are kept."""
        final = wants.finals.get(node)
        if final is None:
            return run.rows
        return final.rows if node.state is None else node.state.hidden.lacks(final)

    def _run(
        self, layer: int, nodes: Sequence[TrieNode], missing: dict[TrieNode, RowSet], wants: Wants
    ) -> None:
        visits: list[Visit] = []
        window = self._layers.window(layer)
        try:
            for node in nodes:
                visits.append(self._visit(node, missing[node], wants))
            builder = self._plans[self._layers.devices.layers[layer]]
            plan = builder.build(visits, window=window, keep_keys=wants.keep_keys)
            call = Call(plan, self._store.keys.of(layer), self._arithmetic.shapes)
            rows = RowsOfCall(self._layers, plan, self._store.hidden, layer)
            input_ND = rows.inputs()
            rows.write(input_ND, self._layers.run(layer, input_ND, call))
        except BaseException:
            for visit in visits:
                self._undo(visit)
            raise
        for visit in visits:
            if not wants.keep_keys and len(visit.key_slots):
                self._drop_keys(visit)
            # The state becomes its node's here, so that a node whose call failed still has none.
            visit.node.state = visit.state
            self._store.touch(visit.node)
        self._count(plan, visits, window)

    def _visit(self, node: TrieNode, run: RowSet, wants: Wants) -> Visit:
        """A node's part of a call, with places for what is computed.

        Raises:
            torch.OutOfMemoryError: there is no room; nothing has been taken.
        """
        state, shared = node.state or NodeState(), wants.shared.get(node)
        rows = self._output_rows(node, run, wants)
        read = np.searchsorted(run.rows, rows) if node in wants.finals else None
        starts = state.keys.num_rows == 0
        hidden, keys = self._store.hidden.of(node.layer), self._store.keys.of(node.layer)
        output_slots, key_slots = hidden.take(len(rows)), NO_SLOTS
        if self._takes_keys(wants):
            try:
                key_slots = keys.take(len(run))
            except torch.OutOfMemoryError:
                hidden.give(output_slots)
                raise
            state.keys.add(run, run.rows, key_slots)
        state.hidden.add(run, rows, output_slots)
        return Visit(
            node=node,
            state=state,
            run=run,
            read=read,
            shared=None if shared is None else shared.state,
            num_shared=0 if shared is None else shared.trie.token_tree.num_context,
            starts=starts,
            key_slots=key_slots,
            output_slots=output_slots,
        )

    def _undo(self, visit: Visit) -> None:
        """Leave no trace of a call that failed."""
        rows = visit.run.rows if visit.read is None else visit.run.rows[visit.read]
        visit.state.hidden.drop(rows)
        self._store.hidden.of(visit.node.layer).give(visit.output_slots)
        if len(visit.key_slots):
            self._drop_keys(visit)

    def _drop_keys(self, visit: Visit) -> None:
        visit.state.keys.drop(visit.run.rows)
        self._store.keys.of(visit.node.layer).give(visit.key_slots)

    def _count(self, plan: CallPlan, visits: Sequence[Visit], window: int | None) -> None:
        num_rows = sum(len(visit.run) for visit in visits)
        self.counters.layer_calls += 1
        self.counters.layer_tokens += num_rows
        self.counters.filler_rows += plan.num_rows - num_rows
        self.counters.visible_rows += sum(visit.run.num_visible(window) for visit in visits)
        self.counters.unread_rows += num_rows - sum(len(visit.output_slots) for visit in visits)
