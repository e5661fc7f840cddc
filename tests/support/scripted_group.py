"""A worker group over handles that follow a script, without a cluster."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import ray
from ray.exceptions import RayActorError
from support.worker_doubles import raised_by_worker, worker_info

from search_cluster.cluster import losses
from search_cluster.cluster.worker_group import WorkerGroup
from search_cluster.cluster.worker_handle import ReadyWorker
from search_cluster.errors import DeviceBrokenError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.counters import EngineWork
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.group.breaks import MAX_BREAKS
from search_cluster.workers.group.worker import Loss
from search_cluster.workers.messages import BatchReport
from search_cluster.workers.wire import LinkIn, PackedBatch, pack_report

Ids = list[int]
Reply = Callable[[], Any]
Outcomes = Mapping[int, Verdict | Failure]
Script = Callable[[int, Ids], "Exception | Outcomes | None"]
"""Says of a device and the ids of a batch what is raised, or which answers are unlike the usual."""

VERDICT = Verdict(reward=1.0, margin=None, output="", num_layer_tokens=1)
NO_ROOM = Failure(kind="OutOfMemoryError", message="CUDA out of memory.\nTried to allocate 2 GiB")
"""What counts as a worker's own trouble."""


def broken() -> Exception:
    """What Ray raises for a batch whose device broke."""
    return raised_by_worker(DeviceBrokenError("device cuda is broken: CUDA error: scripted"))


def preempted() -> Exception:
    """What Ray raises for a batch whose node went, as it had been told."""
    error: Exception = RayActorError(preempted=True)
    return error


class NodeGoneError(RayActorError):
    """What Ray raises for a batch whose node went without notice."""


class Device:
    """A handle that answers at once, by a script."""

    def __init__(self, number: int, script: Script) -> None:
        self.number = number
        self.actor = f"actor {number}"
        self.batches: list[Ids] = []
        self.first_batch = 0
        """Of its present process."""
        self.script = script
        self._link = LinkIn()

    @property
    def num_batches(self) -> int:
        """Batches that its present process got."""
        return len(self.batches) - self.first_batch

    def evaluate(self, batch: PackedBatch) -> Reply:
        requests = self._link.unpack(batch)
        self.batches.append([request.request_id for request in requests])
        said = self.script(self.number, self.batches[-1])

        def reply() -> Any:
            if isinstance(said, Exception):
                raise said
            outcomes = {request.request_id: VERDICT for request in requests} | dict(said or {})
            return pack_report(
                BatchReport(
                    results=tuple(
                        EvaluationResult(
                            request_id=request.request_id,
                            outcome=outcomes[request.request_id],
                            device_busy_s=0.01,
                        )
                        for request in requests
                    ),
                    work=EngineWork(),
                    local_ids=tuple(
                        request.request_id
                        for request in requests
                        if outcomes[request.request_id] is NO_ROOM
                    ),
                )
            )

        return reply


def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls to Ray mean calls of scripted devices."""

    def wait(calls: Sequence[Reply], *, timeout: float | None, **_: Any) -> tuple[Any, Any]:
        return list(calls[:1]), list(calls[1:])

    def went(error: Exception, node_id: str) -> bool:
        return isinstance(error, NodeGoneError) or getattr(error, "preempted", False)

    monkeypatch.setattr(ray, "wait", wait)
    monkeypatch.setattr(ray, "get", lambda call: call())
    monkeypatch.setattr(ray, "kill", lambda actor, no_restart: None)
    monkeypatch.setattr(losses, "died_with_its_node", went)


class Cluster:
    """Devices of some nodes and a group over them; a lost worker is back at once, where it was.

    Whose node went is back on a new one.
    """

    def __init__(
        self, nodes: Sequence[str], script: Script, *, requests_per_batch: int = 16
    ) -> None:
        self.devices = [Device(number, script) for number in range(len(nodes))]
        self.nodes = list(nodes)
        self.group = WorkerGroup(requests_per_batch)
        self.lost: list[Any] = []
        self.breaks: list[Any] = []
        self.given_up = set[str]()
        for device in self.devices:
            self.join(device.number)

    def join(self, number: int, *, is_doubtful: bool = False) -> None:
        handle: Any = self.devices[number]
        handle.first_batch = len(handle.batches)
        info = worker_info(device="cuda", node_id=self.nodes[number])
        self.group.join(ReadyWorker(handle=handle, info=info, held_s=0.0, is_doubtful=is_doubtful))

    def answers(self, num_requests: int) -> dict[int, EvaluationResult]:
        self.group.submit([request(number) for number in range(num_requests)])
        results: dict[int, EvaluationResult] = {}
        while len(results) < num_requests and len(self.group):
            found = self.collect()
            assert not found.keys() & results.keys()
            results |= found
        return results

    def collect(self) -> dict[int, EvaluationResult]:
        results = {item.request_id: item for item in self.group.collect(timeout_s=0.01)}
        self._look()
        return results

    def _look(self) -> None:
        self.breaks += self.group.take_breaks()
        for node in set(self.nodes):
            if sum(item.node_id == node for item in self.breaks) >= MAX_BREAKS:
                self.given_up.add(node)
        self.group.close_nodes(self.given_up)
        for lost in self.group.take_lost():
            self.lost.append(lost)
            number = lost.handle.number
            if lost.kind in (Loss.NODE, Loss.PREEMPTED):
                self.nodes[number] += "'"
            if lost.node_id not in self.given_up:
                self.join(number, is_doubtful=lost.kind is Loss.DEVICE)


def request(number: int) -> EvaluationRequest:
    example = Example(task="t", question=f"q{number}", gold="g", split="train", source="test")
    return EvaluationRequest(request_id=number, example=example, path=LayerPath((0, 1), 2))


def failures(results: dict[int, EvaluationResult]) -> dict[int, Failure]:
    return {
        number: result.outcome
        for number, result in results.items()
        if isinstance(result.outcome, Failure)
    }
