"""Handles of workers: what a process needs to give one work, wherever it runs."""

from dataclasses import dataclass
from typing import Any

from search_cluster.workers.group.worker import Lost, Ready
from search_cluster.workers.wire import PackedBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorLife:
    """What the cluster knows of an actor without asking it."""

    num_restarts: int = 0
    """How often it was restarted."""
    is_up: bool = False
    """Whether it has a process that was there when the cluster last heard of it."""


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

    def life(self) -> ActorLife:
        """What Ray says of the actor; nothing where this version of Ray does not tell."""
        try:
            from ray._private.state import actors  # none of Ray's public interfaces tells it

            actor = actors(self.actor._actor_id.hex())
            is_up = actor["State"] == "ALIVE"
            return ActorLife(num_restarts=int(actor["NumRestarts"]), is_up=is_up)
        except (ImportError, AttributeError, KeyError, TypeError, ValueError):
            return ActorLife()

    def evaluate(self, batch: PackedBatch) -> Any:
        """Reference of a call that returns a batch's `search_cluster.workers.wire.PackedReport`."""
        return self.actor.evaluate.remote(self.slot, batch)


ReadyWorker = Ready[WorkerHandle]
LostWorker = Lost[WorkerHandle]
