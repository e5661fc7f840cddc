"""Handles of workers: what a process needs to give one work, wherever it runs."""

from dataclasses import dataclass
from typing import Any

from search_cluster.workers.group.worker import Lost, Ready
from search_cluster.workers.wire import PackedBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHandle:
    """One device of a worker actor; travels between processes, owns nothing."""

    number: int
    """Unique within a run, from 0."""
    actor: Any
    slot: int = 0
    """Which of the actor's devices; actors of real models have one."""

    def placed(self) -> Any:
        """Reference of a call that returns when the actor has its place, before it is ready."""
        return self.actor.placed.remote()

    def info(self) -> Any:
        """Reference of a call that returns when the model is loaded.

        Its value is (`WorkerInfo`, seconds since the actor was placed). It survives restarts of the
        actor.
        """
        return self.actor.info.options(max_task_retries=-1).remote(self.slot)

    def info_once(self) -> Any:
        """As `info`, but the death of the actor ends the call with its cause."""
        return self.actor.info.options(max_task_retries=0).remote(self.slot)

    def num_restarts(self) -> int:
        """How often Ray has restarted the actor; 0 where this version of Ray does not tell."""
        try:
            from ray._private.state import actors  # none of Ray's public interfaces tells it

            return int(actors(self.actor._actor_id.hex())["NumRestarts"])
        except (ImportError, AttributeError, KeyError, TypeError, ValueError):
            return 0

    def evaluate(self, batch: PackedBatch) -> Any:
        """Reference of a call that returns a batch's `search_cluster.workers.wire.PackedReport`."""
        return self.actor.evaluate.remote(self.slot, batch)


ReadyWorker = Ready[WorkerHandle]
LostWorker = Lost[WorkerHandle]
