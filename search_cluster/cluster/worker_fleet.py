"""The workers of a run: asked of Ray at once, ready one after another, lost and ready again.

The process that owns the fleet owns the actors. What a worker does is not its business: whoever
gives it work says when it was lost. Nodes that are about to go, or whose devices fail again and
again, get no more work, and their workers' places are asked for elsewhere.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence

import ray
from ray.exceptions import RayError, RayTaskError

from search_cluster.cluster.awaited import LOOK_S, AwaitedWorkers
from search_cluster.cluster.fleet_actors import FleetActors, MakeActor
from search_cluster.cluster.losses import build_error
from search_cluster.cluster.nodes import NodeWatch, num_alive_outside
from search_cluster.cluster.session import describe_resources
from search_cluster.cluster.worker_handle import LostWorker, ReadyWorker, WorkerHandle
from search_cluster.errors import DeviceBrokenError, EvaluatorError
from search_cluster.workers.group.suspects import Break
from search_cluster.workers.group.worker import Loss
from search_cluster.workers.messages import WorkerInfo, difference_of, require_alike

logger = logging.getLogger(__name__)

JOIN_GRACE_S = 10.0
"""How long the first worker waits for the others; who comes later joins the running search."""
MAX_BUILD_FAILURES = 3
"""How often a worker may fail to come back before it is given up."""


class WorkerFleet:
    """Follows workers from their request to their readiness; used by one thread.

    Args:
        workers: handles of actors that were just asked for; the fleet kills them in the end.
        needs: what one of them asks of the cluster, such as ``1 CPU, 1 GPU``.
        resource: what only nodes have where workers may live, by Ray's name; ``None``: all do.
        placement_timeout_s: how long to wait for the first one at the start, and later for one to
            come back when all are lost.
        grace_s: how long the first one waits for the others.
        worker_timeout_s: an actor that is awaited, is up, and answers nothing for so long is
            killed and restarted; one that loads its model has the longer of this and
            ``placement_timeout_s``.
        make: makes another actor of the same kind; ``None``: none is replaced, and the fleet never
            grows.
        room: tells for how many workers the cluster has room now; more are asked for when that
            grows. ``None``: there are never more than at the start.
    """

    def __init__(
        self,
        workers: Sequence[WorkerHandle],
        *,
        needs: str,
        resource: str | None = None,
        placement_timeout_s: float,
        grace_s: float = JOIN_GRACE_S,
        worker_timeout_s: float = math.inf,
        make: MakeActor | None = None,
        room: Callable[[], int] | None = None,
    ) -> None:
        self._workers = FleetActors(workers, make, room)
        self._needs = needs
        self._resource = resource
        self._placement_timeout_s = placement_timeout_s
        self._grace_s = grace_s
        self._started_s = time.monotonic()
        self._placing = [worker.placed() for worker in workers]
        self._awaited = AwaitedWorkers(worker_timeout_s, max(worker_timeout_s, placement_timeout_s))
        self._nodes = NodeWatch()
        self._doubtful: dict[int, str] = {}
        """Workers whose device failed, and the nodes that have it."""
        self._last_break = ""
        self._counted: set[tuple[int, str, int]] = set()
        """Processes of workers, by worker, node and number, whose first seconds on their device
        were handed on."""
        self._failures: Counter[int] = Counter()
        """Failures of workers since they were last ready."""
        self._at_start: list[ReadyWorker] = []
        self._at_start_s = 0.0
        self._warned = False
        for worker in workers:
            self._awaited.add(worker, is_new=True)

    def wait(self) -> WorkerInfo:
        """Wait for the first worker and, for a short time, for the others.

        Returns:
            What they all say of their model and their arithmetic.

        Raises:
            EvaluatorError: none was ready in time, one died, or they hold different models or
                compute with unlike arithmetic.
            SearchClusterError: what building a worker raises.
        """
        give_up_s = self._started_s + self._placement_timeout_s
        while self._awaited and (left_s := give_up_s - time.monotonic()) > 0:
            self._awaited.wait(min(left_s, LOOK_S))
            is_first = not self._at_start
            self._at_start += self._take_ready(raising=True)
            if not (self._at_start or self.num_awaited):
                break
            if self._at_start and is_first:
                give_up_s = min(give_up_s, time.monotonic() + self._grace_s)
        if not self._at_start:
            raise EvaluatorError(self.missing())
        self._info = require_alike([ready.info for ready in self._at_start])
        self._at_start_s = time.monotonic()
        return self._info

    def missing(self) -> str:
        """Which workers are not there, and what the cluster has instead."""
        num_placed = len(ray.wait(self._placing, num_returns=len(self._placing), timeout=0)[0])
        num_wanted = len(self._workers)
        num_ready = num_wanted - len(self._awaited)
        waited_s = time.monotonic() - self._started_s
        ready = f"{num_ready} of {num_wanted} workers were ready after {waited_s:.0f} s"
        if given_up := self._nodes.given_up:
            return (
                f"{ready} (devices of {len(given_up)} nodes failed again and again, which get no "
                f"more workers: {self._last_break}); mend or replace these nodes"
            )
        if num_placed > num_ready:
            return (
                f"{ready} ({num_placed} had a place and were loading the model); raise "
                "placement_timeout_s in the file of --config if that takes longer"
            )
        return (
            f"{ready} (no place was found for the others); each asks for {self._needs}, and the "
            f"cluster has {describe_resources()}: add nodes, or ask for fewer --workers"
        )

    def ready(self) -> list[ReadyWorker]:
        """Workers that became ready since the last call, or came back; does not wait.

        One that can't be built, or whose verdicts must not be mixed with the others', is reported
        and left out.
        """
        self._nodes.look()
        for new in self._workers.grow(self._nodes.closed):
            self._placing.append(new.placed())
            self.watch(new)
        found = [ready.after(time.monotonic() - self._at_start_s) for ready in self._at_start]
        self._at_start.clear()
        for late in self._take_ready(raising=False):
            difference = difference_of(self._info, late.info)
            if difference is None:
                found.append(late)
            else:
                self._give_up(late.handle, difference)
        if (
            self._awaited
            and not self._warned
            and time.monotonic() - self._started_s > self._placement_timeout_s
        ):
            self._warned = True
            logger.warning("the search goes on without some workers: %s", self.missing())
        return found

    @property
    def num_workers(self) -> int:
        """Workers of the run, whether they are there or not."""
        return len(self._workers)

    @property
    def num_awaited(self) -> int:
        """Workers that may become ready yet: none if no node is left that is not given up."""
        given_up = self._nodes.given_up
        if given_up and not self._at_start and not num_alive_outside(given_up, self._resource):
            return 0
        return len(self._awaited) + len(self._at_start)

    @property
    def closed_nodes(self) -> frozenset[str]:
        """Nodes that get no more work; workers there end what they have, and leave."""
        return self._nodes.closed

    def busy_s(self) -> float | None:
        """Seconds for which scripted devices were busy until now; ``None`` for real workers."""
        return self._workers.busy_s()

    def watch(self, worker: WorkerHandle) -> None:
        """Wait for a worker that died to be back; Ray restarts it, if need be elsewhere."""
        self._awaited.add(worker)

    def lost(self, worker: LostWorker) -> None:
        """Wait for a worker that left whoever gave it work; its actor is restarted, or replaced."""
        handle = worker.handle
        if handle.number not in self._workers:  # let go meanwhile
            return
        if worker.kind is Loss.DEVICE:
            self._doubtful[handle.number] = worker.node_id
        if worker.kind is Loss.MOVING:
            self._move(handle)
        else:
            self.watch(handle)

    def count_break(self, failure: Break) -> None:
        """Note that a device failed and that no request is to blame."""
        self._last_break = failure.cause
        self._nodes.count_break(failure.node_id, failure.cause)

    def let_go(self, worker: WorkerHandle) -> None:
        """Give a worker's device back for good; from now on the fleet grows no more."""
        self._workers.stop_growing()
        self._workers.remove(worker)

    def _move(self, worker: WorkerHandle) -> None:
        """Ask for a worker's place on another node, once its actor has nothing more to do."""
        awaited = {other.number for other in self._awaited}
        moved = self._workers.move(worker, awaited.__contains__, self._nodes.closed)
        self._awaited.drop({other.number for other in moved})
        for other in moved:
            self.watch(other)

    def _replace_dying(self) -> None:
        """Let a mortal actor take the place of a worker that dies on the way again and again."""
        for worker in self._awaited.look():
            last = self._workers.make_mortal(worker, self._nodes.closed)
            if last is not None:
                self._awaited.replace(worker, last)
                self._failures[last.number] = MAX_BUILD_FAILURES

    def close(self) -> None:
        """Kill the actors, which frees their devices. Idempotent."""
        self._workers.close()
        self._awaited.clear()

    def _take_ready(self, *, raising: bool) -> list[ReadyWorker]:
        self._replace_dying()
        found: list[ReadyWorker] = []
        for ref in self._awaited.done():
            worker = self._awaited.take(ref)
            if worker is None:  # its actor was replaced in this very loop
                continue
            try:
                info, held_s = ray.get(ref)
            except RayError as error:
                if isinstance(error, RayTaskError) and isinstance(error.cause, DeviceBrokenError):
                    self._wait_for_sound(worker, error.cause)
                    continue
                # At the start an error is a setting's and ends the run; later it is one node's, as
                # is a death where others live.
                is_death = not isinstance(error, RayTaskError)
                if raising and not (is_death and (found or self._at_start)):
                    raise build_error(error, len(self._workers)) from error
                self._retry(worker, error)
                continue
            if info.node_id in self._nodes.given_up:  # it was restarted where it was
                self._move(worker)
                continue
            # They count from when the process was placed. Of one that somebody has had before, they
            # are counted there.
            process = (worker.number, info.node_id, info.pid)
            held_s = 0.0 if process in self._counted else held_s
            self._counted.add(process)
            self._failures.pop(worker.number, None)
            is_doubtful = self._doubtful.pop(worker.number, None) == info.node_id
            found.append(
                ReadyWorker(handle=worker, info=info, held_s=held_s, is_doubtful=is_doubtful)
            )
        return found

    def _wait_for_sound(self, worker: WorkerHandle, error: DeviceBrokenError) -> None:
        """Wait for a worker whose device is broken, elsewhere if its node is given up."""
        self.count_break(Break(node_id=error.node_id, cause=str(error)))
        self._doubtful[worker.number] = error.node_id
        if error.node_id in self._nodes.given_up:
            self._move(worker)
        else:
            self.watch(worker)

    def _retry(self, worker: WorkerHandle, error: Exception) -> None:
        self._failures[worker.number] += 1
        if self._failures[worker.number] < MAX_BUILD_FAILURES:
            self.watch(self._workers.make_lasting(worker, self._nodes.closed))
        else:
            self._give_up(worker, str(build_error(error, len(self._workers))))

    def _give_up(self, worker: WorkerHandle, reason: str) -> None:
        logger.error("worker %d is left out: %s", worker.number, reason)
        self._workers.remove(worker)
