"""Which worker processes are started again, and when they are given up: without processes."""

import math
import time
from typing import Any

import pytest
from support.worker_doubles import worker_info

from search_cluster.errors import DeviceBrokenError, EvaluatorError, ModelError
from search_cluster.workers.group.suspects import Break
from search_cluster.workers.group.worker import Loss, Lost, WorkerLostError
from search_cluster.workers.messages import WorkerSpec
from search_cluster.workers.processes import fleet as fleet_module
from search_cluster.workers.processes.fleet import ProcessFleet

SPEC = WorkerSpec(
    model="", dtype="", device="cuda", revision=None, trust_remote_code=False, chat="auto",
    task="", num_threads=1,
)  # fmt: skip

HANGS = "hangs"
"""In the place of what a process says that is never ready."""


class Process:
    """In the place of a process; a test says what becomes of it."""

    def __init__(self, spec: WorkerSpec, num_workers: int) -> None:
        self.spec = spec
        self.num_workers = num_workers
        self.generation = 0
        self.started_s = time.monotonic()
        self.pid = 7
        self.is_over = True
        self.built: Any = None
        self.next_built: Any = None

    def start(self) -> None:
        assert self.is_over
        self.generation += 1
        self.started_s = time.monotonic()
        infos = [worker_info(device=self.spec.device) for _ in range(self.num_workers)]
        self.is_over, self.built = False, self.next_built or infos
        if self.next_built == HANGS:
            self.built = None

    def kill(self, why: str) -> None:
        self.is_over = True
        self.built = self.built or WorkerLostError(Loss.PROCESS, why)

    def close(self) -> None:
        self.is_over = True


@pytest.fixture(autouse=True)
def _processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "WorkerProcess", Process)
    monkeypatch.setattr(fleet_module, "receive_from", lambda processes, timeout_s: None)


def started(
    *devices: str, num_workers: int, placement_timeout_s: float = math.inf
) -> tuple[ProcessFleet, list[Any], dict[int, Any]]:
    """A fleet, its processes, and its workers by number."""
    fleet = ProcessFleet(SPEC, devices, num_workers, placement_timeout_s=placement_timeout_s)
    fleet.wait()
    return fleet, fleet._processes, {one.handle.number: one for one in fleet.ready()}


def lose(fleet: ProcessFleet, ready: Any, kind: Loss) -> None:
    if kind is not Loss.IDLE:
        ready.handle.process.is_over = True
    fleet.lost(Lost(handle=ready.handle, kind=kind, node_id=ready.info.node_id))


def test_workers_are_spread_over_the_processes_and_share_their_devices() -> None:
    fleet, processes, workers = started("cuda:0", "cuda:2", num_workers=3)
    assert [process.num_workers for process in processes] == [2, 1]
    assert [process.spec.workers_per_gpu for process in processes] == [2, 2]
    assert {number: one.info.node_id for number, one in workers.items()} == {
        0: "cuda:0", 1: "cuda:2", 2: "cuda:0"
    }  # fmt: skip
    assert [workers[number].handle.place for number in range(3)] == [0, 0, 1]
    assert (fleet.num_awaited, fleet.ready()) == (0, [])


def test_a_process_is_started_once_for_all_of_its_workers_and_each_is_ready_when_it_is_lost() -> (
    None
):
    fleet, (process,), workers = started("cuda", num_workers=2)
    lose(fleet, workers[0], Loss.PROCESS)
    (again,) = fleet.ready()  # nobody has missed the other one yet
    assert (again.handle.number, again.handle.generation, again.is_doubtful) == (0, 2, False)
    lose(fleet, workers[1], Loss.IDLE)
    (other,) = fleet.ready()
    assert (other.handle.number, other.handle.generation) == (1, 2)
    assert process.generation == 2


def test_a_worker_whose_device_broke_is_doubtful_when_it_is_back() -> None:
    fleet, _, workers = started("cuda", num_workers=1)
    lose(fleet, workers[0], Loss.DEVICE)
    assert [one.is_doubtful for one in fleet.ready()] == [True]


def test_a_device_that_failed_three_times_is_given_up_and_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fleet, processes, workers = started("cuda:0", "cuda:1", num_workers=2)
    for _ in range(2):
        fleet.count_break(Break(node_id="cuda:0", cause="CUDA error"))
        lose(fleet, workers[0], Loss.DEVICE)
        workers |= {one.handle.number: one for one in fleet.ready()}
    assert fleet.closed_nodes == frozenset()
    processes[0].next_built = DeviceBrokenError("device cuda:0 is broken: ECC error")
    lose(fleet, workers[0], Loss.DEVICE)
    assert fleet.ready() == []
    assert fleet.closed_nodes == {"cuda:0"}
    assert (processes[0].is_over, fleet.num_awaited) == (True, 0)
    why = "device cuda:0 failed 3 times, at last: device cuda:0 is broken: ECC error"
    assert fleet.missing() == f"1 of 2 workers are ready ({why})"
    assert caplog.messages == [f"the worker process on cuda:0 is not started again: {why}"]


def test_a_process_that_can_not_be_built_again_is_given_up_after_three_attempts() -> None:
    fleet, (process,), workers = started("cuda", num_workers=1)
    process.next_built = WorkerLostError(Loss.PROCESS, "its process ended by SIGSEGV")
    lose(fleet, workers[0], Loss.PROCESS)
    attempts = 0
    while fleet.num_awaited:
        assert fleet.ready() == []
        attempts += 1
    assert attempts == process.generation - 1 == fleet_module.MAX_BUILD_FAILURES
    assert fleet.missing() == (
        "0 of 1 workers are ready (it can't be built again: its process ended by SIGSEGV)"
    )


def test_what_keeps_a_process_from_its_first_start_is_raised() -> None:
    for error, wanted, text in (
        (ModelError("no such model"), ModelError, "^no such model$"),
        (WorkerLostError(Loss.PROCESS, "it ended"), EvaluatorError, "died while .*: it ended"),
    ):
        fleet = ProcessFleet(SPEC, ["cuda"], 1)
        fleet._processes[0].next_built = error  # type: ignore[attr-defined]
        with pytest.raises(wanted, match=text):
            fleet.wait()


def test_a_process_that_ends_with_all_its_workers_counts_once_for_its_device() -> None:
    fleet, (process,), workers = started("cuda", num_workers=4)
    for _ in workers:
        fleet.count_break(Break(node_id="cuda", cause="its process ended by SIGSEGV"))
    assert fleet.closed_nodes == frozenset()
    assert not process.is_over


def test_a_process_that_hangs_at_its_first_start_ends_the_run_in_one_line() -> None:
    fleet = ProcessFleet(SPEC, ["cuda:0", "cuda:1"], 2, placement_timeout_s=0.01)
    fleet._processes[1].next_built = HANGS  # type: ignore[attr-defined]
    with pytest.raises(
        EvaluatorError, match=r"^the .* process on cuda:1 was not ready after 0.01 s; raise placeme"
    ) as error:
        fleet.wait()
    assert "\n" not in str(error.value)


def test_a_process_that_hangs_when_it_is_started_again_is_killed_and_given_up_after_three_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet, (process, _), workers = started(
        "cuda:0", "cuda:1", num_workers=2, placement_timeout_s=60.0
    )
    now_s = time.monotonic()
    monkeypatch.setattr(fleet_module.time, "monotonic", lambda: now_s)
    process.next_built = HANGS
    lose(fleet, workers[0], Loss.PROCESS)
    looks = 0
    while fleet.num_awaited:
        assert fleet.ready() == []
        looks += 1
        now_s += 25.0
    assert process.generation - 1 == fleet_module.MAX_BUILD_FAILURES
    assert looks == 3 * fleet_module.MAX_BUILD_FAILURES + 1
    assert "it can't be built again: it was not ready after 60 s" in fleet.missing()
