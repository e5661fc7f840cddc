"""Coordinators in this process: a stand-in for Ray whose calls are done when they return."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from ray.exceptions import RayActorError

from search_cluster.cluster import worker_group
from search_cluster.cluster.coordinators import group, handle, working
from search_cluster.cluster.scripted_devices import scripted_verdict
from search_cluster.cluster.worker_handle import ReadyWorker, WorkerHandle
from search_cluster.identity import ModelIdentity
from search_cluster.protocols.counters import EngineWork
from search_cluster.protocols.messages import EvaluationResult
from search_cluster.workers.messages import BatchReport, WorkerInfo
from search_cluster.workers.wire import LinkIn, PackedBatch, PackedReport, pack_report


class Ref:
    """What a call returned, or what it raised."""

    def __init__(self, value: Any, error: Exception | None = None) -> None:
        self.value = value
        self.error = error


class InstantActor:
    """An object whose methods are called through `remote`; a dead one answers nothing."""

    def __init__(self, body: Any) -> None:
        self.body = body
        self.is_dead = False

    def __getattr__(self, name: str) -> "_Method":
        return _Method(self, name)


class _Method:
    def __init__(self, actor: InstantActor, name: str) -> None:
        self._actor = actor
        self._name = name

    def remote(self, *arguments: Any) -> Ref:
        if self._actor.is_dead:
            return Ref(None, RayActorError())
        return Ref(getattr(self._actor.body, self._name)(*arguments))


class InstantRay:
    """What the modules of coordinators use of Ray."""

    def __init__(self) -> None:
        self.actors: list[InstantActor] = []
        """All that were made, in order."""

    def remote(self, actor_class: Any) -> Any:
        ray = self

        class Maker:
            def options(self, **_: Any) -> "Maker":
                return self

            def remote(self, *arguments: Any, **named: Any) -> InstantActor:
                ray.actors.append(InstantActor(actor_class(*arguments, **named)))
                return ray.actors[-1]

        return Maker()

    def get(self, ref: Any) -> Any:
        if isinstance(ref, list):
            return [self.get(one) for one in ref]
        if ref.error is not None:
            raise ref.error
        return ref.value

    def wait(
        self, refs: list[Ref], *, num_returns: int, timeout: float | None
    ) -> tuple[list[Ref], list[Ref]]:
        return refs[:num_returns], refs[num_returns:]

    def kill(self, actor: InstantActor, *, no_restart: bool = True) -> None:
        actor.is_dead = True


class InstantDevice:
    """Answers batches as scripted devices do."""

    def __init__(self) -> None:
        self._link = LinkIn()
        self.num_answered = 0

    def evaluate(self, slot: int, batch: PackedBatch) -> PackedReport:
        requests = self._link.unpack(batch)
        self.num_answered += len(requests)
        results = tuple(
            EvaluationResult(
                request_id=item.request_id, outcome=scripted_verdict(item), device_busy_s=1e-6
            )
            for item in requests
        )
        return pack_report(BatchReport(results=results, work=EngineWork()))


class InstantFleet:
    """Workers that are ready at once, and again as soon as they were lost or moved."""

    closed_nodes: frozenset[str] = frozenset()
    num_awaited = 0

    def __init__(self, num_workers: int, num_layers: int) -> None:
        self.num_workers = num_workers
        self._num_layers = num_layers
        self.devices = [InstantDevice() for _ in range(num_workers)]
        self._ready = [self._ready_worker(number) for number in range(num_workers)]

    def _ready_worker(self, number: int) -> ReadyWorker:
        info = WorkerInfo(
            model=ModelIdentity(fingerprint="scripted"), chat=False, num_layers=self._num_layers,
            dtype="float32", device="scripted", tie_threshold=0.0, node="n", node_id="0",
        )  # fmt: skip
        actor = InstantActor(self.devices[number])
        return ReadyWorker(handle=WorkerHandle(number=number, actor=actor), info=info, held_s=0.0)

    def wait(self) -> WorkerInfo:
        return self._ready[0].info

    def ready(self) -> list[ReadyWorker]:
        ready, self._ready = self._ready, []
        return ready

    def watch(self, worker: WorkerHandle) -> None:
        self._ready.append(self._ready_worker(worker.number))

    def let_go(self, worker: WorkerHandle) -> None:
        pass


@contextmanager
def instant_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[InstantRay]:
    """Let coordinators be made in this process."""
    ray = InstantRay()
    for module in (group, handle, working, worker_group):
        monkeypatch.setattr(module, "ray", ray)
    logger = logging.getLogger("search_cluster")
    handlers: Sequence[logging.Handler] = list(logger.handlers)
    yield ray
    for handler in set(logger.handlers) - set(handlers):
        logger.removeHandler(handler)
