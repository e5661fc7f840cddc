"""Coordinators in this process: a stand-in for Ray whose calls are done when they return."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayError
from support.worker_doubles import raised_by_worker

from search_cluster.cluster import worker_group
from search_cluster.cluster.coordinators import group, handle, working
from search_cluster.cluster.nodes import NodeWatch
from search_cluster.cluster.scripted_devices import scripted_verdict
from search_cluster.cluster.worker_handle import LostWorker, ReadyWorker, WorkerHandle
from search_cluster.errors import DeviceBrokenError, SearchClusterError
from search_cluster.identity import ModelIdentity
from search_cluster.protocols.counters import EngineWork
from search_cluster.protocols.messages import EvaluationResult
from search_cluster.workers.group.suspects import Break
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
        try:
            return Ref(getattr(self._actor.body, self._name)(*arguments))
        except RayError as error:
            return Ref(None, error)
        except SearchClusterError as error:
            return Ref(None, raised_by_worker(error))


class InstantRay:
    """What the modules of coordinators use of Ray."""

    def __init__(self) -> None:
        self.actors: list[InstantActor] = []
        """All that were made, in order."""
        self.options: list[dict[str, Any]] = []
        """What was asked for each of them."""

    def remote(self, actor_class: Any) -> Any:
        ray = self

        class Maker:
            def options(self, **options: Any) -> "Maker":
                ray.options.append(options)
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
        self.node_id = "0"
        self.is_sick = False

    def evaluate(self, slot: int, batch: PackedBatch) -> PackedReport:
        if self.is_sick:
            raise DeviceBrokenError("device scripted is broken")
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
    """Workers that are ready at once, and again when they were lost, but on nodes given up."""

    num_awaited = 0

    def __init__(self, num_workers: int, num_layers: int) -> None:
        self.num_workers = num_workers
        self._num_layers = num_layers
        self.devices = [InstantDevice() for _ in range(num_workers)]
        self.nodes = NodeWatch(draining=set)
        self.leaving: frozenset[str] = frozenset()
        self._ready = [self._ready_worker(number) for number in range(num_workers)]

    @property
    def closed_nodes(self) -> frozenset[str]:
        return self.nodes.closed | self.leaving

    def make_sick(self, numbers: Sequence[int], node_id: str) -> None:
        """Let no process live on the devices of a node."""
        for number in numbers:
            self.devices[number].node_id = node_id
            self.devices[number].is_sick = True
        self._ready = [self._ready_worker(ready.handle.number) for ready in self._ready]

    def _ready_worker(self, number: int) -> ReadyWorker:
        info = WorkerInfo(
            model=ModelIdentity(fingerprint="scripted"), chat=False, num_layers=self._num_layers,
            dtype="float32", device="scripted", tie_threshold=0.0, node="n",
            node_id=self.devices[number].node_id,
        )  # fmt: skip
        actor = InstantActor(self.devices[number])
        return ReadyWorker(handle=WorkerHandle(number=number, actor=actor), info=info, held_s=0.0)

    def wait(self) -> WorkerInfo:
        return self._ready[0].info

    def ready(self) -> list[ReadyWorker]:
        ready, self._ready = self._ready, []
        return [worker for worker in ready if worker.info.node_id not in self.nodes.given_up]

    def watch(self, worker: WorkerHandle) -> None:
        self._ready.append(self._ready_worker(worker.number))

    def lost(self, worker: LostWorker) -> None:
        self.watch(worker.handle)

    def count_break(self, failure: Break) -> None:
        self.nodes.count_break(failure.node_id, failure.cause)

    def missing(self) -> str:
        return "they are sick"

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
