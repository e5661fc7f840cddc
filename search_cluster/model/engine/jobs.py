"""One request on its way through the engine, and what it wants computed next.

A job belongs to one call of the engine; what is known of its example outlives the call.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from search_cluster.model.engine.answers import Answer
from search_cluster.model.engine.prefix_trie import PrefixTrie, TrieNode
from search_cluster.model.engine.slabs import Slots
from search_cluster.model.engine.token_tree import RowSet
from search_cluster.model.engine.wants import Wants
from search_cluster.model.prompting import EncodedExample
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example


@dataclass(slots=True, frozen=True, eq=False)
class KnownExample:
    """What is kept of an example between calls."""

    trie: PrefixTrie
    encoded: EncodedExample
    shared: PrefixTrie | None
    """The states of the rows with which other examples begin, too."""

    @property
    def num_shared_rows(self) -> int:
        """The number of rows that run in the shared trie and not in the example's own."""
        return 0 if self.shared is None else self.shared.token_tree.num_context


@dataclass(slots=True, eq=False)
class Job:
    """One request on its way."""

    index: int
    """The request's ticket."""
    example: Example
    path: LayerPath
    known: KnownExample
    answer: Answer
    is_prefix: bool = False
    """Whether another path of the example and the batch goes on from where this one ends."""
    nodes: list[TrieNode] = field(default_factory=list)
    """The nodes of its path's prefixes, from when it runs."""
    shared_nodes: list[TrieNode] = field(default_factory=list)
    """The same prefixes' nodes in the shared trie; empty if nothing is shared."""
    asked: dict[int, list[int]] = field(default_factory=dict)
    """The rows whose logits are read next, and for each the tokens whose log-probabilities are."""

    def find_nodes(self) -> None:
        """Look its nodes up, or make them.

        That can't be done before it runs, since evictions take nodes out of the trie.
        """
        self.nodes = self.known.trie.nodes_of(self.path.layers)
        if self.known.shared is not None:
            self.shared_nodes = self.known.shared.nodes_of(self.path.layers)

    def with_past(self, rows: Iterable[int]) -> set[int]:
        """Some rows and their ancestors behind the context."""
        tree, found = self.known.trie.token_tree, {*rows}
        for row in [*found]:
            branch = tree.branch(row)
            if len(branch) > 1 and branch[-2] not in found:
                found.update(branch)
        return found

    @property
    def asked_slots(self) -> Slots:
        """Where the states of the asked rows are, in their order."""
        state = self.nodes[-1].state
        assert state is not None, "a job's last node was wanted"
        return state.hidden.slots(np.array(list(self.asked), dtype=np.int64))


def mark_prefixes(jobs: Sequence[Job]) -> None:
    """Tell each job whether its path ends inside another path of the same example.

    All paths of a batch count, whether their jobs run yet or not: a job that joins later goes on
    from the states that an earlier one leaves, and finds all their rows there.
    """
    inner = {
        (job.known.trie, job.path.layers[:end]) for job in jobs for end in range(1, len(job.path))
    }
    for job in jobs:
        job.is_prefix = (job.known.trie, job.path.layers) in inner


def wants_of(jobs: Sequence[Job], *, keep_keys: bool) -> Wants:
    """Which rows every node on the jobs' paths must hold.

    It takes note of the rows that each job reads.

    Args:
        jobs: those that run, their nodes found.
        keep_keys: whether nodes keep keys and values, as generation needs.
    """
    wanted: dict[TrieNode, RowSet] = {}
    for job in jobs:
        rows = job.answer.wanted_rows()
        tree = job.known.trie.token_tree
        if not job.asked:
            # The first round of a job runs its prompt, too, and the answer so far of one that had
            # to wait once more.
            rows = [*range(job.known.num_shared_rows, tree.num_context), *job.with_past(rows)]
        job.asked = job.answer.read_rows()
        row_set = tree.row_set(rows)
        for node in job.nodes if keep_keys else _from_last_held(job, row_set):
            known = wanted.get(node)
            if known is None or known is row_set:
                wanted[node] = row_set
            else:
                wanted[node] = tree.row_set({*known.key, *row_set.key})
    return Wants(
        rows=wanted,
        finals=_finals(jobs),
        shared={
            node: shared
            for job in jobs
            # A job that shares nothing has no shared nodes, so the two lists may differ in length.
            for node, shared in zip(job.nodes, job.shared_nodes, strict=False)
        },
        keep_keys=keep_keys,
    )


def _finals(jobs: Sequence[Job]) -> dict[TrieNode, RowSet]:
    """The ends of paths that no other path goes through, with the rows that are read there."""
    finals: dict[TrieNode, set[int]] = {}
    for job in jobs:
        if not job.is_prefix:
            finals.setdefault(job.nodes[-1], set()).update(job.asked)
    return {node: node.trie.token_tree.row_set(rows) for node, rows in finals.items()}


def _from_last_held(job: Job, rows: RowSet) -> list[TrieNode]:
    """The nodes from the deepest one that holds all that is needed of it to the path's end.

    That one is wanted, too, although nothing is computed for it: what is wanted is pinned, so it
    stays until the nodes behind it have read it. The last node needs only the rows that are read;
    every other one needs all rows that the node behind it runs.
    """
    needed = rows.tree.row_set(job.asked)
    for depth in range(len(job.nodes) - 1, -1, -1):
        state = job.nodes[depth].state
        if state is not None and not len(state.hidden.lacks(needed)):
            return job.nodes[depth:]
        needed = rows
    return job.nodes
