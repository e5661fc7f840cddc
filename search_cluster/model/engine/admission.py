"""Which of the waiting requests join those that run."""

from collections import deque
from collections.abc import Mapping, Sequence

from search_cluster.model.engine.jobs import Job
from search_cluster.model.engine.layer_runner import LayerRunner
from search_cluster.model.engine.prefix_trie import StateStore, TrieNode
from search_cluster.model.engine.scheduler import Scheduler


class Admission:
    """Lets requests in as there is room.

    Args:
        layers: the model's layers.
        store: the memory of states.
        scheduler: says how long calls are.
        keep_keys: whether states have keys and values, as generation needs.
    """

    def __init__(
        self, layers: LayerRunner, store: StateStore, scheduler: Scheduler, keep_keys: bool
    ) -> None:
        self._layers = layers
        self._store = store
        self._scheduler = scheduler
        self._keep_keys = keep_keys

    def admit(self, waiting: deque[Job], running: Sequence[Job]) -> list[Job]:
        """The next jobs to join the running ones, as many as the state budget has room for.

        At least one joins if none run. A generated answer takes up to a round for each token, with
        one row each. Jobs that generate join in parts that fill about one call of each layer, so
        that the few rows of those that are under way run along with the prompts of later ones.
        """
        if not waiting:
            return []
        sizes: dict[TrieNode, int] = {}
        for job in running:
            sizes.update(self._node_bytes(job))
        held = self._by_place(sizes)
        of_place = self._store.max_bytes // self._store.num_places
        limit = self._store.max_bytes
        if self._keep_keys:
            part_rows = self._layers.num_layers * self._scheduler.max_call_rows
            limit = min(limit, sum(held) + part_rows * self._layers.bytes_per_row(keep_keys=True))
        admitted: list[Job] = []
        while waiting:
            job = waiting[0]
            job.find_nodes()
            new = {node: size for node, size in self._node_bytes(job).items() if node not in sizes}
            held = [old + more for old, more in zip(held, self._by_place(new), strict=True)]
            is_full = sum(held) > limit or max(held) > of_place
            if is_full and (running or admitted):
                break
            sizes |= new
            admitted.append(waiting.popleft())
        return admitted

    def _by_place(self, sizes: Mapping[TrieNode, int]) -> list[int]:
        """The bytes on each device, all of a node's counted where its keys are."""
        held = [0] * self._store.num_places
        for node, size in sizes.items():
            held[self._store.places_of(node)[0]] += size
        return held

    def _node_bytes(self, job: Job) -> dict[TrieNode, int]:
        """The estimated memory of the states of a job's nodes."""
        num_rows = (
            job.known.trie.token_tree.num_context
            - job.known.num_shared_rows
            + len(job.answer.wanted_rows())
        )
        own_bytes = num_rows * self._layers.bytes_per_row(keep_keys=self._keep_keys)
        shared_bytes = job.known.num_shared_rows * self._layers.bytes_per_row(keep_keys=True)
        return dict.fromkeys(job.nodes, own_bytes) | dict.fromkeys(job.shared_nodes, shared_bytes)
