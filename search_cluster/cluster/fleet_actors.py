"""The actors of a fleet, and which of them is whose: some have several workers."""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Protocol

import ray

from search_cluster.cluster.worker_handle import WorkerHandle

logger = logging.getLogger(__name__)

GROWTH_LOOK_S = 5.0
"""Seconds between two looks for room for more workers."""
NODE_LABEL = "ray.io/node-id"


def other_nodes(avoid: Collection[str]) -> dict[str, str] | None:
    """The label selector of nodes other than these; ``None``: any."""
    return {NODE_LABEL: f"!in({','.join(sorted(avoid))})"} if avoid else None


class MakeActor(Protocol):
    """Asks Ray for an actor like that of a worker, on other nodes than some."""

    def __call__(self, worker: int, *, lasting: bool, avoid: Collection[str]) -> Any:
        """The actor's handle.

        Args:
            worker: whose place it takes.
            lasting: whether Ray restarts it. Only the death of one that it does not restart comes
                with the cause.
            avoid: nodes, by Ray's names.
        """
        ...


class FleetActors:
    """Makes, replaces and kills the actors of workers.

    Args:
        workers: handles of actors that were just asked for.
        make: makes another actor; ``None``: none is ever replaced.
        room: tells for how many workers the cluster has room now; ``None``: there are never more
            than at the start.
    """

    def __init__(
        self,
        workers: Sequence[WorkerHandle],
        make: MakeActor | None,
        room: Callable[[], int] | None,
    ) -> None:
        self._workers = {worker.number: worker for worker in workers}
        self._make = make
        self._room = room
        self._look_s = time.monotonic()
        self._next_number = max(self._workers, default=-1) + 1
        """All below it were asked for."""
        self._leaving: set[int] = set()
        """Workers that are to move, and wait for the others of their actor."""
        self._mortal: set[int] = set()
        """Workers whose actors Ray does not restart."""

    def __len__(self) -> int:
        return len(self._workers)

    def __iter__(self) -> Iterator[WorkerHandle]:
        return iter(list(self._workers.values()))

    def __contains__(self, number: int) -> bool:
        return number in self._workers

    def grow(self, avoid: Collection[str]) -> list[WorkerHandle]:
        """Ask for more workers if there is room for more than were ever asked for; the new ones.

        Those that were left out count: what was wrong with them would be so again.
        """
        now_s = time.monotonic()
        if self._make is None or self._room is None or now_s - self._look_s < GROWTH_LOOK_S:
            return []
        self._look_s = now_s
        numbers = range(self._next_number, self._room())
        if numbers:
            self._next_number = numbers.stop
            logger.warning("the cluster has grown: %d more workers are asked for", len(numbers))
        new = [
            WorkerHandle(number=number, actor=self._make(number, lasting=True, avoid=avoid))
            for number in numbers
        ]
        self._workers |= {worker.number: worker for worker in new}
        return new

    def stop_growing(self) -> None:
        """Ask for no more workers from now on."""
        self._room = None

    def busy_s(self) -> float | None:
        """Seconds for which scripted devices were busy until now; ``None`` for real workers."""
        actors = {worker.actor for worker in self}
        if not all(hasattr(actor, "busy_s") for actor in actors):
            return None
        busy_s: list[float] = ray.get([actor.busy_s.remote() for actor in actors])
        return sum(busy_s)

    def move(
        self, worker: WorkerHandle, is_unused: Callable[[int], bool], avoid: Collection[str]
    ) -> list[WorkerHandle]:
        """Ask for a worker's place on another node, as soon as its actor has nothing more to do.

        Args:
            worker: it has left whoever gave it work.
            is_unused: whether another worker has nothing to do either.
            avoid: nodes that will not do.

        Returns:
            The workers that have a new actor.
        """
        self._leaving.add(worker.number)
        alike = [other for other in self if other.actor == worker.actor]
        if not all(other.number in self._leaving or is_unused(other.number) for other in alike):
            return []
        self._leaving -= {other.number for other in alike}
        if self._make is None:
            ray.kill(worker.actor, no_restart=False)
            return alike
        self._mortal -= {other.number for other in alike}
        ray.kill(worker.actor)  # first: it holds the place
        actor = self._make(alike[0].number, lasting=True, avoid=avoid)
        moved = [WorkerHandle(number=old.number, actor=actor, slot=old.slot) for old in alike]
        self._workers |= {new.number: new for new in moved}
        return moved

    def make_mortal(self, worker: WorkerHandle, avoid: Collection[str]) -> WorkerHandle | None:
        """Let an actor take a worker's place whose death comes with the cause.

        ``None`` where there is no such actor, or it would take others' places, too.
        """
        if self._make is None or sum(other.actor == worker.actor for other in self) > 1:
            return None
        self._mortal.add(worker.number)
        return self._replace(worker, self._make, lasting=False, avoid=avoid)

    def make_lasting(self, worker: WorkerHandle, avoid: Collection[str]) -> WorkerHandle:
        """A worker that was lost, with an actor that Ray restarts; its own if it had one."""
        if self._make is None or worker.number not in self._mortal:
            return worker
        self._mortal.remove(worker.number)
        return self._replace(worker, self._make, lasting=True, avoid=avoid)

    def _replace(
        self, worker: WorkerHandle, make: MakeActor, *, lasting: bool, avoid: Collection[str]
    ) -> WorkerHandle:
        ray.kill(worker.actor)  # first: it holds the place
        actor = make(worker.number, lasting=lasting, avoid=avoid)
        self._workers[worker.number] = new = WorkerHandle(number=worker.number, actor=actor)
        return new

    def remove(self, worker: WorkerHandle) -> None:
        """Leave a worker out; its actor lives as long as one of its workers is of use."""
        if self._workers.pop(worker.number, None) is not None and all(
            other.actor != worker.actor for other in self
        ):
            ray.kill(worker.actor)

    def close(self) -> None:
        """Kill all actors. Idempotent."""
        for actor in {worker.actor for worker in self}:
            ray.kill(actor)
        self._workers.clear()
