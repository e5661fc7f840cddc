"""Which of the waiting requests join those that run, and which of these wait once more."""

import logging
from collections import deque
from collections.abc import Mapping, Sequence

from search_cluster.model.engine.jobs import Job, wants_of
from search_cluster.model.engine.layer_runner import LayerRunner
from search_cluster.model.engine.prefix_trie import StateStore, TrieNode
from search_cluster.model.engine.scheduler import Scheduler
from search_cluster.model.engine.slabs import NoRoomError
from search_cluster.model.engine.state_memory import KEYS_SHARE, share_out

logger = logging.getLogger(__name__)

SAME_SHARE = 0.01
"""Parts of memory that differ by less are left as they are."""
STEPPING_BACK = 16
"""One of so many running requests steps back where all together have no room, or one at least."""


class Admission:
    """Lets requests in as there is room.

    Args:
        layers: the model's layers.
        store: the memory of states.
        scheduler: computes states, and says how long calls are.
        keep_keys: whether states have keys and values, as generation needs.
    """

    def __init__(
        self, layers: LayerRunner, store: StateStore, scheduler: Scheduler, keep_keys: bool
    ) -> None:
        self._layers = layers
        self._store = store
        self._scheduler = scheduler
        self._keep_keys = keep_keys
        self._num_devices = len(layers.devices.distinct)
        self._keys_share = KEYS_SHARE
        """The part of the states' memory that is for keys where none are kept."""
        self._num_left = 0
        """The number of requests that ran on when others stepped back; 0 if none had to since."""

    def next_round(
        self, waiting: deque[Job], running: Sequence[Job]
    ) -> tuple[list[Job], dict[int, Exception]]:
        """Let requests in, and compute what those that run want.

        Where slabs can't grow, answers that become longer may find no room: the last ones that
        joined wait once more then, until one is answered, and compute again what was dropped.

        Args:
            waiting: those that wait; it is changed.
            running: those that run.

        Returns:
            The requests that run, and errors of those that have no room even alone.
        """
        # Those that stepped back would have to do so again.
        if len(running) < self._num_left or not running:
            self._num_left = 0
        jobs = [*running, *(() if self._num_left else self.admit(waiting, running))]
        while jobs:
            try:
                self._scheduler.bring_up_to_date(wants_of(jobs, keep_keys=self._keep_keys))
            except NoRoomError as error:
                if len(jobs) == 1:
                    # Without the frames that hold on to the engine and its memory.
                    return [], {jobs[0].index: error.with_traceback(None)}
            else:
                break
            # Outside of the handler, whose exception holds on to what failed.
            num_left = len(jobs) - max(1, len(jobs) // STEPPING_BACK)
            for job in jobs:  # Those that stay want all their rows, too: some were not computed.
                job.asked = {}
            waiting.extendleft(reversed(jobs[num_left:]))
            jobs, self._num_left = jobs[:num_left], num_left
            logger.debug("no room for all states: %d requests run on, others wait", num_left)
        return jobs, {}

    def admit(self, waiting: deque[Job], running: Sequence[Job]) -> list[Job]:
        """The next jobs to join the running ones, as many as the state budget has room for.

        At least one joins if none run. A generated answer takes up to a round for each token, with
        one row each. Jobs that generate join in parts that fill about one call of each layer, so
        that the few rows of those that are under way run along with the prompts of later ones.
        """
        if not waiting:
            return []
        if not running:
            self._share_out(waiting[0])
        sizes: dict[TrieNode, tuple[int, int]] = {}
        for job in running:
            sizes.update(self._node_bytes(job))
        held = self._by_place(sizes)
        of_place = self._limits()
        limit = sum(of_place)
        if self._keep_keys:
            part_rows = self._layers.num_layers * self._scheduler.max_call_rows
            limit = min(limit, sum(held) + part_rows * self._layers.bytes_per_row(keep_keys=True))
        admitted: list[Job] = []
        while waiting:
            job = waiting[0]
            job.find_nodes()
            new = {node: size for node, size in self._node_bytes(job).items() if node not in sizes}
            held = [old + more for old, more in zip(held, self._by_place(new), strict=True)]
            is_full = sum(held) > limit or any(
                size > most for size, most in zip(held, of_place, strict=True)
            )
            if is_full and (running or admitted):
                break
            sizes |= new
            admitted.append(waiting.popleft())
        return admitted

    def _limits(self) -> list[int]:
        """The bytes at each place that states may take which are needed together."""
        limits = self._store.budgets
        if self._keep_keys or self._store.can_grow:
            return limits
        # Calls have keys although none are kept, and need room beside those of shared rows.
        for place in self._store.key_places:
            limits[place] -= min(limits[place] // 2, self._call_bytes)
        return limits

    @property
    def _call_bytes(self) -> int:
        """The keys of a call's own rows."""
        return self._scheduler.max_call_rows * self._store.keys.bytes_per_row

    def _share_out(self, job: Job) -> None:
        """Share memory that can't grow out between keys and outputs as a request needs them.

        Where no keys are kept but those of shared rows, their part depends on how long a template
        is, which the first request tells, and any that has no room alone. None runs.
        """
        if self._keep_keys or self._store.can_grow:
            return
        job.find_nodes()
        sizes = self._node_bytes(job)
        has_room = all(
            size <= most for size, most in zip(self._by_place(sizes), self._limits(), strict=True)
        )
        if self._store.peak_bytes and has_room:
            return
        key_bytes, output_bytes = (sum(kind) for kind in zip(*sizes.values(), strict=True))
        needed_bytes, all_bytes = key_bytes + output_bytes, self._store.max_bytes
        # The keys of a call take of what the request leaves: calls of fewer rows do as well.
        spare_bytes = max(0, all_bytes - needed_bytes)
        call_share = min(spare_bytes / 2, self._call_bytes * self._num_devices) / all_bytes
        of_shared = (1 - call_share) * key_bytes / needed_bytes
        keys_share = max(KEYS_SHARE, call_share + of_shared)
        if abs(keys_share - self._keys_share) > SAME_SHARE:
            share_out(self._store, self._layers, keys_share)
            self._keys_share = keys_share
            logger.info("%.0f %% of the memory of states is for keys", 100 * keys_share)

    def _by_place(self, sizes: Mapping[TrieNode, tuple[int, int]]) -> list[int]:
        """The bytes at each place."""
        held = [0] * len(self._store.budgets)
        for node, of_node in sizes.items():
            for place, size in zip(self._store.places_of(node), of_node, strict=True):
                held[place] += size
        return held

    def _node_bytes(self, job: Job) -> dict[TrieNode, tuple[int, int]]:
        """The estimated memory of the states of a job's nodes: keys and values, and outputs."""
        answer_rows = job.answer.wanted_rows()
        if not self._store.can_grow:
            answer_rows = [*job.with_past(answer_rows)]
        num_shared = job.known.num_shared_rows
        num_rows = job.known.trie.token_tree.num_context - num_shared + len(answer_rows)
        key_bytes, output_bytes = self._store.keys.bytes_per_row, self._store.hidden.bytes_per_row
        own = (num_rows * key_bytes if self._keep_keys else 0, num_rows * output_bytes)
        shared = (num_shared * key_bytes, num_shared * output_bytes)
        return dict.fromkeys(job.nodes, own) | dict.fromkeys(job.shared_nodes, shared)
