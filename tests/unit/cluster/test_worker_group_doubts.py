"""Who is to blame where nobody says so: a request, its worker's device, or its node. No cluster."""

from typing import Any

import pytest
import ray
from ray.exceptions import RayActorError
from support.scripted_group import (
    NO_ROOM,
    VERDICT,
    Cluster,
    Ids,
    NodeGoneError,
    Outcomes,
    broken,
    failures,
    request,
    without_ray,
)

from search_cluster.errors import EvaluatorError
from search_cluster.protocols.messages import Failure
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.group.breaks import BREAKS_WITHIN_S
from search_cluster.workers.group.suspects import MAX_ATTEMPTS, MAX_NODE_LOSSES
from search_cluster.workers.group.waiting_work import TRIAL_ID
from search_cluster.workers.group.worker import Loss

WRONG = Verdict(reward=0.0, margin=None, output="gibberish", num_layer_tokens=1)


@pytest.fixture(autouse=True)
def _ray(monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)


@pytest.mark.parametrize("nodes", [["a"], ["a", "b"], ["a", "b", "c", "d"]])
def test_a_request_that_takes_every_node_down_is_found_and_takes_no_other_with_it(
    nodes: list[str],
) -> None:
    cluster = Cluster(nodes, lambda device, ids: NodeGoneError() if 77 in ids else None)
    results = cluster.answers(200)
    assert failures(results).keys() == {77}
    assert failures(results)[77].kind == "WorkerDied"
    assert {lost.kind for lost in cluster.lost} == {Loss.NODE}
    assert len(cluster.lost) <= MAX_NODE_LOSSES + MAX_ATTEMPTS + 1
    assert cluster.breaks == []


def test_nodes_that_go_without_notice_accuse_no_request_at_first() -> None:
    gone: list[Ids] = []

    def script(device: int, ids: Ids) -> Exception | None:
        if 77 in ids and len(gone) < MAX_NODE_LOSSES - 1:
            gone.append(ids)
            return NodeGoneError()
        return None

    cluster = Cluster(["a", "b"], script)
    assert failures(cluster.answers(200)) == {}
    assert [len(ids) for ids in gone] == [16] * len(gone)
    assert sum(len(device.batches) for device in cluster.devices) <= 18


def test_a_node_that_goes_when_it_was_to_go_accuses_no_request() -> None:
    cluster = Cluster(["a"], lambda *_: NodeGoneError() if len(cluster.lost) < 5 else None)
    cluster.group.submit([request(number) for number in range(16)])
    while not (results := cluster.collect()):
        cluster.group.close_nodes(cluster.nodes[:1])
    assert failures(results) == {}
    assert [len(ids) for ids in cluster.devices[0].batches] == [16] * 6


@pytest.mark.parametrize("others", [[], ["b"], ["b", "b", "c"]])
@pytest.mark.parametrize("from_batch", [0, 3])
def test_a_device_that_crashes_without_a_word_is_given_up_and_makes_no_culprits(
    others: list[str], from_batch: int
) -> None:
    cluster = Cluster(["a", *others], lambda *_: None)
    bad = cluster.devices[0]
    bad.script = lambda device, ids: RayActorError() if len(bad.batches) > from_batch else None
    results = cluster.answers(400)
    assert failures(results) == {}
    assert len(results) == 400 or not others
    assert cluster.given_up == {"a"}


def test_who_crashes_a_worker_that_was_not_tried_is_tried_where_an_answer_was_given() -> None:
    cluster = Cluster(["a"], lambda device, ids: RayActorError() if 16 in ids else None)
    results = cluster.answers(17)
    assert failures(results).keys() == {16}
    assert len(cluster.lost) == MAX_ATTEMPTS
    # The first trial has cleared the worker, the second one is what the request is judged by.
    assert cluster.devices[0].batches[1:] == [[16], [16], [TRIAL_ID], [TRIAL_ID], [16]]
    assert cluster.breaks == []


def test_two_that_crash_their_workers_are_given_up_though_nothing_else_is_left() -> None:
    cluster = Cluster(["a"], lambda device, ids: RayActorError() if max(ids) > 15 else None)
    assert failures(cluster.answers(18)).keys() == {16, 17}
    assert cluster.breaks == []


def test_a_device_that_answers_wrong_after_it_broke_is_given_up_and_no_answer_of_it_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed: list[str] = []
    monkeypatch.setattr(ray, "kill", lambda actor, no_restart: killed.append(actor))

    def script(device: int, ids: Ids) -> Exception | Outcomes | None:
        if device or len(cluster.devices[0].batches) < 4:
            return None
        return broken() if len(cluster.devices[0].batches) == 4 else dict.fromkeys(ids, WRONG)

    cluster = Cluster(["a", "b"], lambda *_: None)
    for device in cluster.devices:
        device.script = script
    results = cluster.answers(400)
    assert [result.outcome for result in results.values()] == [VERDICT] * 400
    assert killed
    assert set(killed) == {"actor 0"}
    assert {item.node_id for item in cluster.breaks} == {"a"}
    causes = [item.cause for item in cluster.breaks]
    assert any("otherwise than that was answered before" in cause for cause in causes)


def test_a_device_that_breaks_right_after_each_trial_is_given_up_and_makes_no_culprits() -> None:
    cluster = Cluster(["a"], lambda *_: None)
    device = cluster.devices[0]

    def script(number: int, ids: Ids) -> Exception | None:
        return broken() if len(device.batches) > 2 and device.num_batches != 1 else None

    device.script = script
    assert failures(cluster.answers(100)) == {}
    assert cluster.given_up == {"a"}


def test_a_device_that_breaks_with_all_but_what_is_known_ends_the_run() -> None:
    cluster = Cluster(["a"], lambda *_: None)
    device = cluster.devices[0]

    def script(number: int, ids: Ids) -> Exception | None:
        return broken() if len(device.batches) > 2 and ids != [TRIAL_ID] else None

    device.script = script
    with pytest.raises(EvaluatorError, match="workers died 14 times without one result"):
        cluster.answers(400)
    assert cluster.group.stats().num_failures <= 1


@pytest.mark.parametrize("from_batch", [0, 3])
def test_a_worker_that_has_no_room_for_anything_makes_no_failures_and_is_given_up(
    from_batch: int,
) -> None:
    def script(device: int, ids: Ids) -> Outcomes | None:
        is_full = device == 0 and len(cluster.devices[0].batches) > from_batch
        return dict.fromkeys(ids, NO_ROOM) if is_full else None

    cluster = Cluster(["a", "b"], lambda *_: None)
    for device in cluster.devices:
        device.script = script
    results = cluster.answers(400)
    assert failures(results) == {}
    assert cluster.given_up == {"a"}
    assert "out of memory. Tried to" in cluster.breaks[-1].cause
    # After its first batches it gets nothing but what is known.
    assert sum(ids != [TRIAL_ID] for ids in cluster.devices[0].batches[from_batch:]) <= 3
    assert cluster.group.stats().num_failures == 0


@pytest.mark.parametrize("nodes", [["a"], ["a", "a"], ["a", "b", "c"]])
def test_a_request_that_has_room_nowhere_is_a_failure_with_its_cause_and_no_device_is_to_blame(
    nodes: list[str],
) -> None:
    tried: list[int] = []

    def script(device: int, ids: Ids) -> Outcomes | None:
        if 77 not in ids:
            return None
        tried.append(device)
        return {77: NO_ROOM}

    cluster = Cluster(nodes, script)
    results = cluster.answers(200)
    assert failures(results) == {77: Failure(kind="OutOfMemoryError", message=NO_ROOM.message)}
    assert len(tried) == MAX_ATTEMPTS
    assert len(set(tried)) >= min(2, len(nodes))
    assert (cluster.breaks, cluster.lost) == ([], [])
    stats = cluster.group.stats()
    assert (stats.num_evaluated, stats.num_failures, stats.num_in_flight) == (199, 1, 0)


def test_a_request_alone_that_has_room_nowhere_is_a_failure_in_the_end() -> None:
    cluster = Cluster(["a"], lambda device, ids: dict.fromkeys(ids, NO_ROOM))
    assert failures(cluster.answers(1)).keys() == {0}
    assert len(cluster.devices[0].batches) <= 8


@pytest.mark.parametrize("others", [[], ["b"]])
def test_a_device_that_hangs_with_all_it_gets_is_given_up_before_its_breaks_are_forgotten(
    monkeypatch: pytest.MonkeyPatch, others: list[str]
) -> None:
    now_s = 0.0

    def wait(calls: list[Any], *, timeout: float | None, **_: Any) -> tuple[list[Any], list[Any]]:
        """Calls of the first device get no answer; each look takes a second then."""
        nonlocal now_s
        ready = [call for call in calls if call not in hanging]
        now_s += 0.001 if ready else 1.0
        return ready[:1], calls

    monkeypatch.setattr(ray, "wait", wait)
    monkeypatch.setattr("search_cluster.workers.group.base_group.time.monotonic", lambda: now_s)
    cluster = Cluster(["a", *others], lambda *_: None)
    cluster.group._worker_timeout_s = 1800.0
    hanging: list[Any] = []
    device = cluster.devices[0]
    answer = device.evaluate

    def evaluate(batch: Any) -> Any:
        reply = answer(batch)
        if len(device.batches) > 2:
            hanging.append(reply)
        return reply

    monkeypatch.setattr(device, "evaluate", evaluate)
    breaks_s: list[float] = []
    cluster.group.submit([request(number) for number in range(200)])
    answered: dict[int, Any] = {}
    while len(answered) < 200 and len(cluster.group):
        answered |= cluster.collect()
        breaks_s += [now_s] * (len(cluster.breaks) - len(breaks_s))
    assert failures(answered) == {}
    if not others:
        assert cluster.given_up == {"a"}
        assert breaks_s[-1] - breaks_s[0] < BREAKS_WITHIN_S / 2


class CountedDict(dict[Any, Any]):
    """Counts how often somebody walks through it."""

    num_walks = 0

    def __iter__(self) -> Any:
        self.num_walks += 1
        return super().__iter__()

    def items(self) -> Any:
        self.num_walks += 1
        return super().items()

    def values(self) -> Any:
        self.num_walks += 1
        return super().values()


def num_walks_of_a_dispatch(num_workers: int) -> int:
    """Walks through all workers while each is asked for, with suspects that have to wait."""
    cluster = Cluster([f"n{number}" for number in range(num_workers)], lambda *_: None)
    group = cluster.group
    group.submit([request(number) for number in range(16 * num_workers)])
    group._lose(group._workers[0], Loss.PROCESS, "it ended")
    assert group._work.suspects
    workers, queues = CountedDict(group._workers), CountedDict(group._work._dispatcher._queues)
    group._workers = group._work._workers = workers
    group._work._dispatcher._queues = queues
    group._dispatch()
    return workers.num_walks + queues.num_walks


def test_what_a_worker_costs_to_ask_for_does_not_grow_with_the_number_of_workers() -> None:
    assert num_walks_of_a_dispatch(50) == num_walks_of_a_dispatch(5) <= 4
