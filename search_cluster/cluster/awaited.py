"""Workers that are awaited: which were built, which die on the way, and which hang there."""

import logging
import math
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import ray

from search_cluster.cluster.worker_handle import ActorLife, WorkerHandle

logger = logging.getLogger(__name__)

LOOK_S = 3.0
"""Seconds between two looks at workers that are not there."""
MAX_LOOKED_AT = 16
"""Workers that are looked at then, in turn; each costs a call."""
MAX_DEATHS = 3
"""Deaths of a worker on the way after which it is taken for one that dies again and again."""


@dataclass(slots=True, kw_only=True)
class _Signs:
    """What is known of one process of an actor; time in which nobody looked counts as one look."""

    ref: Any
    """A call that it answers as soon as it is there."""
    num_restarts: int
    look: int
    """When it was last looked at, in looks."""
    silent_s: float = 0.0
    """Seconds for which it did not answer."""
    loading_s: float = 0.0
    """Seconds for which it has not said what it is, whether it answers or not."""


class AwaitedWorkers:
    """Workers whose `info` was asked for; used by one thread.

    Nobody gives them work, so nobody else would see that one hangs.

    Args:
        timeout_s: an actor that is up and does not answer for so long is killed; Ray starts it
            again.
        load_timeout_s: the same for one that answers, and does not say what it is.
    """

    def __init__(self, timeout_s: float = math.inf, load_timeout_s: float = math.inf) -> None:
        self._timeout_s = timeout_s
        self._load_timeout_s = load_timeout_s
        self._building: dict[Any, WorkerHandle] = {}
        """By the reference of what they will say of themselves."""
        self._restarts_before: dict[int, int] = {}
        """Restarts of workers when they were first looked at after they were lost."""
        self._signs: dict[Any, _Signs] = {}
        """By the actor."""
        self._last_look_s = time.monotonic()
        self._num_looks = 0
        self._next_place = 0

    def __len__(self) -> int:
        return len(self._building)

    def __iter__(self) -> Iterator[WorkerHandle]:
        return iter(list(self._building.values()))

    def add(self, worker: WorkerHandle, *, is_new: bool = False) -> None:
        """Wait for a worker to say what it is.

        Args:
            worker: one that was just asked for, or that was lost; Ray restarts it, if need be
                elsewhere.
            is_new: whether all restarts of its actor count, not only those from now on.
        """
        self._building[worker.info()] = worker
        if is_new:
            self._restarts_before[worker.number] = 0
        else:
            self._restarts_before.pop(worker.number, None)

    def replace(self, worker: WorkerHandle, last: WorkerHandle) -> None:
        """Wait for a worker's mortal successor, whose death ends the call."""
        self.drop([worker.number])
        self._building[last.info_once()] = last

    def drop(self, numbers: Collection[int]) -> None:
        """Wait for these no longer."""
        for ref, worker in list(self._building.items()):
            if worker.number in numbers:
                self.take(ref)

    def wait(self, timeout_s: float) -> None:
        """Return when one of them has said what it is, or has failed."""
        ray.wait(list(self._building), num_returns=1, timeout=timeout_s)

    def done(self) -> list[Any]:
        """References of those that have; `take` says whose they are."""
        if not self._building:
            return []
        return list(ray.wait(list(self._building), num_returns=len(self._building), timeout=0)[0])

    def take(self, ref: Any) -> WorkerHandle | None:
        """The worker behind a reference, no longer awaited; ``None``: it was not even before."""
        worker = self._building.pop(ref, None)
        if worker is not None:
            self._signs.pop(worker.actor, None)
        return worker

    def look(self) -> list[WorkerHandle]:
        """Kill those that hang, if it is time to look.

        Returns:
            Those that died on the way again and again; each is told about at every look.
        """
        now_s = time.monotonic()
        if now_s - self._last_look_s < LOOK_S:
            return []
        self._last_look_s = now_s
        self._num_looks += 1
        dying, seen = [], set()
        for worker in self._in_turn():
            life = worker.life()
            before = self._restarts_before.setdefault(worker.number, life.num_restarts)
            if life.num_restarts - before >= MAX_DEATHS:
                dying.append(worker)
            elif worker.actor not in seen and (what := self._hangs(worker, life)):
                del self._signs[worker.actor]
                logger.warning("worker %d: %s, and is killed", worker.number, what)
                ray.kill(worker.actor, no_restart=False)
            seen.add(worker.actor)
        return dying

    def clear(self) -> None:
        """Wait for none."""
        self._building.clear()
        self._signs.clear()

    def _in_turn(self) -> list[WorkerHandle]:
        """Those that are looked at now: others than last time if there are many."""
        workers = list(self)
        if len(workers) <= MAX_LOOKED_AT:
            return workers
        first = self._next_place % len(workers)
        self._next_place = first + MAX_LOOKED_AT
        return (workers + workers)[first : first + MAX_LOOKED_AT]

    def _hangs(self, worker: WorkerHandle, life: ActorLife) -> str:
        """What an actor that is up has not done for too long; empty if it is well."""
        if not life.is_up:  # it waits for a place, or for its process
            self._signs.pop(worker.actor, None)
            return ""
        signs = self._signs.get(worker.actor)
        if signs is None or signs.num_restarts != life.num_restarts:
            self._signs[worker.actor] = _Signs(
                ref=worker.placed(), num_restarts=life.num_restarts, look=self._num_looks
            )
            return ""
        # Where there are many, not each look is at this one.
        passed_s = LOOK_S * (self._num_looks - signs.look)
        signs.look = self._num_looks
        signs.loading_s += passed_s
        if ray.wait([signs.ref], num_returns=1, timeout=0)[0]:
            signs.ref, signs.silent_s = worker.placed(), 0.0
        else:
            signs.silent_s += passed_s
        if signs.silent_s > self._timeout_s:
            return f"it has not answered for {self._timeout_s:.0f} s"
        if signs.loading_s > self._load_timeout_s:
            return f"it has been loading its model for {self._load_timeout_s:.0f} s"
        return ""
