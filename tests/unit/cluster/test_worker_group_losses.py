"""What becomes of a group's requests when devices break, nodes go, or workers hang: no cluster."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import ray
from ray.exceptions import ObjectStoreFullError, OutOfMemoryError, RayActorError
from support.worker_doubles import raised_by_worker, worker_info

from search_cluster.cluster import losses
from search_cluster.cluster.worker_group import WorkerGroup
from search_cluster.cluster.worker_handle import ReadyWorker
from search_cluster.errors import DeviceBrokenError, EvaluatorError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.counters import EngineWork
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.group.suspects import MAX_ATTEMPTS
from search_cluster.workers.group.waiting_work import TRIAL_ID
from search_cluster.workers.group.worker import Loss
from search_cluster.workers.messages import BatchReport
from search_cluster.workers.wire import LinkIn, PackedBatch, pack_report

Reply = Callable[[], Any]
Ids = list[int]


def broken() -> Exception:
    """What Ray raises for a batch whose device broke."""
    return raised_by_worker(DeviceBrokenError("device cuda is broken: CUDA error: scripted"))


class Device:
    """A handle that answers at once, unless the script raises for the ids of a batch."""

    def __init__(self, number: int, script: Callable[[int, Ids], Exception | None]) -> None:
        self.number = number
        self.actor = f"actor {number}"
        self.batches: list[Ids] = []
        self._script = script
        self._link = LinkIn()

    def evaluate(self, batch: PackedBatch) -> Reply:
        requests = self._link.unpack(batch)
        self.batches.append([request.request_id for request in requests])
        error = self._script(self.number, self.batches[-1])

        def reply() -> Any:
            if error is not None:
                raise error
            verdict = Verdict(reward=1.0, margin=None, output="", num_layer_tokens=1)
            return pack_report(
                BatchReport(
                    results=tuple(
                        EvaluationResult(
                            request_id=request.request_id, outcome=verdict, device_busy_s=0.01
                        )
                        for request in requests
                    ),
                    work=EngineWork(),
                )
            )

        return reply


@pytest.fixture(autouse=True)
def _ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(calls: Sequence[Reply], *, timeout: float | None, **_: Any) -> tuple[Any, Any]:
        return list(calls[:1]), list(calls[1:])

    monkeypatch.setattr(ray, "wait", wait)
    monkeypatch.setattr(ray, "get", lambda call: call())
    monkeypatch.setattr(
        losses, "died_with_its_node", lambda error, node_id: getattr(error, "preempted", False)
    )


class Cluster:
    """Devices of some nodes and a group over them; a lost worker is back at once, where it was."""

    def __init__(
        self,
        nodes: Sequence[str],
        script: Callable[[int, Ids], Exception | None],
        *,
        requests_per_batch: int = 16,
    ) -> None:
        self.devices = [Device(number, script) for number in range(len(nodes))]
        self._nodes = nodes
        self.group = WorkerGroup(requests_per_batch)
        self.lost: list[Any] = []
        self.breaks: list[Any] = []
        self.given_up = set[str]()
        for device in self.devices:
            self.join(device.number)

    def join(self, number: int, *, is_doubtful: bool = False) -> None:
        handle: Any = self.devices[number]
        info = worker_info(device="cuda", node_id=self._nodes[number])
        self.group.join(ReadyWorker(handle=handle, info=info, held_s=0.0, is_doubtful=is_doubtful))

    def answers(self, num_requests: int) -> dict[int, EvaluationResult]:
        self.group.submit([request(number) for number in range(num_requests)])
        results: dict[int, EvaluationResult] = {}
        while len(results) < num_requests and len(self.group):
            for result in self.group.collect(timeout_s=0.01):
                assert result.request_id not in results
                results[result.request_id] = result
            self._look()
        self._look()
        return results

    def _look(self) -> None:
        self.breaks += self.group.take_breaks()
        for node in set(self._nodes):
            if sum(item.node_id == node for item in self.breaks) >= 3:
                self.given_up.add(node)
        for lost in self.group.take_lost():
            self.lost.append(lost)
            if lost.node_id not in self.given_up:
                is_device = lost.kind is Loss.DEVICE
                self.join(lost.handle.number, is_doubtful=is_device)


def request(number: int) -> EvaluationRequest:
    example = Example(task="t", question=f"q{number}", gold="g", split="train", source="test")
    return EvaluationRequest(request_id=number, example=example, path=LayerPath((0, 1), 2))


def failures(results: dict[int, EvaluationResult]) -> dict[int, Failure]:
    return {
        number: result.outcome
        for number, result in results.items()
        if isinstance(result.outcome, Failure)
    }


@pytest.mark.parametrize("nodes", [["a"], ["a", "a"], ["a", "b"], ["a", "a", "b", "b"]])
def test_a_request_that_breaks_every_device_is_found_and_no_node_is_to_blame(
    nodes: list[str],
) -> None:
    cluster = Cluster(nodes, lambda device, ids: broken() if 77 in ids else None)
    results = cluster.answers(200)
    assert failures(results).keys() == {77}
    assert failures(results)[77].kind == "DeviceBroken"
    assert "devices broke of it: device cuda is broken: CUDA" in failures(results)[77].message
    assert cluster.breaks == []
    assert MAX_ATTEMPTS <= len(cluster.lost) <= MAX_ATTEMPTS + 2
    places = {lost.node_id for lost in cluster.lost}
    assert places == set(nodes)


@pytest.mark.parametrize("others", [["b"], ["a", "b"], ["b", "c", "c"]])
@pytest.mark.parametrize("from_batch", [0, 3])
def test_a_device_that_breaks_with_all_it_gets_is_given_up_and_makes_no_culprits(
    others: list[str], from_batch: int
) -> None:
    cluster = Cluster(["a", *others], lambda *_: None)
    bad = cluster.devices[0]
    bad._script = lambda device, ids: broken() if len(bad.batches) > from_batch else None
    results = cluster.answers(400)
    assert failures(results) == {}
    assert "b" not in cluster.given_up
    if len(bad.batches) > from_batch + 3:
        assert cluster.given_up == {"a"}
    # After its first failure, which may take two batches along, it gets one request at a time.
    assert all(len(ids) == 1 for ids in bad.batches[from_batch + 2 :])


def test_a_single_device_that_breaks_with_all_it_gets_makes_no_culprits() -> None:
    cluster = Cluster(["a"], lambda device, ids: broken())
    assert cluster.answers(40) == {}
    assert cluster.given_up == {"a"}
    assert [len(ids) for ids in cluster.devices[0].batches] == [16, 16, 1, 1, 1]
    assert cluster.group.stats().num_failures == 0


def test_a_device_that_broke_by_itself_is_charged_once_its_requests_are_answered() -> None:
    broke: list[Ids] = []

    def script(device: int, ids: Ids) -> Exception | None:
        if len(broke) < 1 and 20 in ids:
            broke.append(ids)
            return broken()
        return None

    cluster = Cluster(["a", "b"], script)
    assert failures(cluster.answers(100)) == {}
    assert [item.node_id for item in cluster.breaks] == [cluster.lost[0].node_id]


def test_a_worker_whose_device_failed_is_tried_with_an_answer_that_is_known() -> None:
    cluster = Cluster(["a"], lambda *_: None)
    cluster.answers(10)
    cluster.group.release()
    cluster.devices[0].batches.clear()
    cluster.join(0, is_doubtful=True)
    results = cluster.answers(40)
    assert sorted(results) == list(range(40))  # the trial's answer is nobody's
    assert cluster.devices[0].batches[0] == [TRIAL_ID]
    assert cluster.devices[0].batches[1] == list(range(16))
    assert cluster.group.stats().num_evaluated == 50


def preempted() -> Exception:
    error: Exception = RayActorError(preempted=True)
    return error


def test_a_node_that_is_preempted_accuses_no_request_and_its_work_is_back_in_normal_batches() -> (
    None
):
    gone: set[int] = set()

    def script(device: int, ids: Ids) -> Exception | None:
        if device >= 8 and (device in gone or len(cluster.devices[device].batches) > 1):
            gone.add(device)
            return preempted()
        return None

    cluster = Cluster(["a"] * 8 + ["b"] * 32, lambda *_: None, requests_per_batch=32)
    for device in cluster.devices:
        device._script = script
    cluster.group.submit([request(number) for number in range(4000)])
    answered: list[int] = []
    while len(answered) < 4000:
        answered += [result.request_id for result in cluster.group.collect(timeout_s=0.01)]
        cluster.lost += cluster.group.take_lost()
    assert sorted(answered) == list(range(4000))
    assert {lost.kind for lost in cluster.lost} == {Loss.NODE}
    assert len(cluster.lost) > 20  # more in a row than would end the run otherwise
    sizes = [len(ids) for device in cluster.devices for ids in device.batches]
    assert sum(sizes) / len(sizes) > 24
    assert cluster.group.take_breaks() == []


def test_a_worker_that_hangs_is_killed_and_its_work_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed: list[str] = []
    monkeypatch.setattr(ray, "kill", lambda actor, no_restart: killed.append(actor))
    now_s = 0.0

    def wait(calls: Sequence[Reply], *, timeout: float | None, **_: Any) -> tuple[Any, Any]:
        nonlocal now_s
        ready = [call for call in calls if call not in hanging]
        now_s += 0.1 if ready else 1.0
        return ready, [call for call in calls if call not in ready]

    monkeypatch.setattr(ray, "wait", wait)
    monkeypatch.setattr("search_cluster.workers.group.base_group.time.monotonic", lambda: now_s)
    cluster = Cluster(["a", "a"], lambda *_: None)
    group = cluster.group
    group._worker_timeout_s = 30.0
    hanging: list[Reply] = []
    answer = cluster.devices[1].evaluate

    def hang(batch: PackedBatch) -> Reply:
        hanging.append(answer(batch))
        return hanging[-1]

    monkeypatch.setattr(cluster.devices[1], "evaluate", hang)
    group.submit([request(number) for number in range(64)])
    answered: list[int] = []
    while len(answered) < 64:
        answered += [result.request_id for result in group.collect(timeout_s=5.0)]
    assert sorted(answered) == list(range(64))
    assert killed == ["actor 1"]
    assert 25.0 < now_s < 60.0
    assert [lost.kind for lost in group.take_lost()] == [Loss.PROCESS]


def test_workers_on_a_node_that_is_about_to_go_end_what_they_have() -> None:
    cluster = Cluster(["a", "b"], lambda *_: None)
    group = cluster.group
    group.submit([request(number) for number in range(200)])
    group.close_nodes({"a"})
    assert group.take_lost() == []
    answered: list[int] = []
    while len(answered) < 200:
        answered += [result.request_id for result in group.collect(timeout_s=0.01)]
        group.close_nodes({"a"})
    assert sorted(answered) == list(range(200))
    (lost,) = group.take_lost()
    assert (lost.kind, lost.node_id) == (Loss.MOVING, "a")
    assert len(cluster.devices[0].batches) == 2
    assert group.stats().num_worker_restarts == 0
    assert len(group) == 1


def test_idle_workers_go_but_for_one() -> None:
    cluster = Cluster(["a"] * 3, lambda *_: None)
    assert cluster.group.let_go_idle(math.inf) == []
    assert len(cluster.group.let_go_idle(-1.0)) == 2
    assert len(cluster.group) == 1
    assert cluster.group.take_lost() == []
    assert len(cluster.answers(40)) == 40
    assert cluster.group.stats().num_devices == 1


def test_a_full_object_store_ends_the_run_in_one_line_that_says_what_to_set() -> None:
    cluster = Cluster(["a"], lambda *_: ObjectStoreFullError("no room\nfor 300000 bytes"))
    with pytest.raises(EvaluatorError, match=r"store on n is full .*shm-size") as error:
        cluster.answers(1)
    assert "\n" not in str(error.value)


def test_memory_that_ran_out_is_named_when_workers_die_of_it() -> None:
    text = "worker killed: Memory on the node was 23 GB used / 24 GB limit\nObject store: pages"
    cluster = Cluster(["a", "b"], lambda *_: OutOfMemoryError(text))
    with pytest.raises(EvaluatorError) as error:
        cluster.answers(400)
    assert "Ray's memory monitor killed it: worker killed: Memory on the node" in str(error.value)
    assert "fewer --workers" in str(error.value)
    assert "\n" not in str(error.value)
