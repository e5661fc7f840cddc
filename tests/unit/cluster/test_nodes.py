"""Which nodes get no more work, and when a worker was lost with its node."""

import socket
from typing import Any

import pytest
import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from search_cluster.cluster import nodes
from search_cluster.cluster.nodes import NodeWatch, died_with_its_node, num_alive_outside
from search_cluster.workers.group import breaks


def test_a_node_is_given_up_when_its_devices_failed_three_times(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = NodeWatch(draining=set)
    for _ in range(breaks.MAX_BREAKS - 1):
        watch.count_break("a", "CUDA error")
        watch.count_break("b", "CUDA error")
    assert watch.closed == frozenset()
    watch.count_break("a", "ECC error")
    watch.count_break("a", "ECC error")
    assert watch.given_up == watch.closed == {"a"}
    (line,) = caplog.messages
    assert line == (
        "node a is given up: its devices failed 3 times, at last: ECC error; no more workers are "
        "started on it"
    )


def test_failures_that_are_long_ago_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr("search_cluster.workers.group.breaks.time.monotonic", lambda: now_s)
    watch = NodeWatch(draining=set)
    for _ in range(20):
        watch.count_break("a", "CUDA error")
        now_s += 0.6 * breaks.BREAKS_WITHIN_S
    assert watch.given_up == frozenset()


def test_failures_of_nowhere_close_nothing() -> None:
    watch = NodeWatch(draining=set)
    for _ in range(5):
        watch.count_break("", "CUDA error")
    assert watch.closed == frozenset()


def test_nodes_that_are_about_to_go_get_no_more_work(caplog: pytest.LogCaptureFixture) -> None:
    draining = {"c"}
    watch = NodeWatch(draining=lambda: draining)
    watch.look()
    assert watch.closed == {"c"}
    draining.clear()
    watch.look()  # so soon that nobody is asked
    assert watch.closed == {"c"}
    watch._look_s = 0.0
    watch.look()
    assert watch.closed == frozenset()
    assert caplog.text.count("is about to go") == 1


def test_nodes_that_live_and_have_what_is_needed_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def node(name: str, *, alive: bool = True, **resources: float) -> dict[str, Any]:
        return {"NodeID": name, "Alive": alive, "Resources": resources}

    there = [
        node("head", CPU=4.0),
        node("gone", alive=False, CPU=4.0, GPU=8.0),
        node("a", CPU=64.0, GPU=8.0),
        node("b", CPU=64.0, GPU=8.0),
    ]
    monkeypatch.setattr(ray, "nodes", lambda: there)
    assert num_alive_outside(set()) == 3
    assert num_alive_outside({"a"}, "GPU") == 1
    assert num_alive_outside({"a", "b"}, "GPU") == 0
    assert num_alive_outside({"a", "b"}, "CPU") == 1


def unavailable() -> RayActorError:
    return ActorUnavailableError("socket closed", None)


@pytest.fixture
def listener() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def node_at(monkeypatch: pytest.MonkeyPatch, name: str, port: int, *, alive: bool = True) -> None:
    """Let Ray believe in a node."""
    node = {
        "NodeID": name,
        "Alive": alive,
        "NodeManagerAddress": "127.0.0.1",
        "NodeManagerPort": port,
    }
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "nodes", lambda: [node])
    monkeypatch.setattr(nodes, "SECOND_PROBE_S", 0.0)


def test_a_node_that_takes_connections_is_there(
    monkeypatch: pytest.MonkeyPatch, listener: Any
) -> None:
    node_at(monkeypatch, "there", listener.getsockname()[1])
    assert not died_with_its_node(unavailable(), "there")
    listener.close()  # Ray has not heard of it yet
    assert died_with_its_node(unavailable(), "there")


def test_a_node_that_ray_calls_dead_or_does_not_know_is_gone(
    monkeypatch: pytest.MonkeyPatch, listener: Any
) -> None:
    node_at(monkeypatch, "dead", listener.getsockname()[1], alive=False)
    assert died_with_its_node(unavailable(), "dead")
    assert died_with_its_node(unavailable(), "another")


def test_a_node_that_was_cut_off_for_a_while_is_there_again(
    monkeypatch: pytest.MonkeyPatch, listener: Any
) -> None:
    now_s = 1000.0
    monkeypatch.setattr("search_cluster.workers.group.breaks.time.monotonic", lambda: now_s)
    node_at(monkeypatch, "cut off", 1)  # a port that takes no connection
    assert died_with_its_node(unavailable(), "cut off")
    node_at(monkeypatch, "cut off", listener.getsockname()[1])
    assert died_with_its_node(unavailable(), "cut off")  # its other workers were lost as well
    now_s += nodes.FOUND_GONE_S
    assert not died_with_its_node(unavailable(), "cut off")


def test_a_preemption_is_taken_at_its_word() -> None:
    assert died_with_its_node(RayActorError(preempted=True), "")
    assert not died_with_its_node(RayActorError(), "")
