"""What becomes of a group's requests when devices break, nodes go, or workers hang: no cluster."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import ray
from ray.exceptions import ObjectStoreFullError, OutOfMemoryError
from support.scripted_group import (
    Cluster,
    Ids,
    Reply,
    broken,
    failures,
    preempted,
    request,
    without_ray,
)

from search_cluster.errors import EvaluatorError
from search_cluster.workers.group.suspects import MAX_ATTEMPTS
from search_cluster.workers.group.waiting_work import TRIAL_ID
from search_cluster.workers.group.worker import Loss
from search_cluster.workers.wire import PackedBatch


@pytest.fixture(autouse=True)
def _ray(monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)


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
    bad.script = lambda device, ids: broken() if len(bad.batches) > from_batch else None
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
        device.script = script
    cluster.group.submit([request(number) for number in range(4000)])
    answered: list[int] = []
    while len(answered) < 4000:
        answered += [result.request_id for result in cluster.group.collect(timeout_s=0.01)]
        cluster.lost += cluster.group.take_lost()
    assert sorted(answered) == list(range(4000))
    assert {lost.kind for lost in cluster.lost} == {Loss.PREEMPTED}
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
    # It had answered nothing: whoever starts it again has it tried.
    assert [lost.kind for lost in group.take_lost()] == [Loss.DEVICE]


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
    assert cluster.answers(400) == {}
    assert cluster.given_up == {"a", "b"}
    for failure in cluster.breaks:
        assert "Ray's memory monitor killed it: worker killed: Memory on" in failure.cause
        assert "fewer --workers" in failure.cause
        assert "\n" not in failure.cause
