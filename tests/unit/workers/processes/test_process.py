"""What the starter of a worker process does when that does not end: without processes."""

import queue
import subprocess
from multiprocessing import Pipe
from typing import Any

from search_cluster.workers.group.worker import WorkerLostError
from search_cluster.workers.messages import WorkerSpec
from search_cluster.workers.processes.process import WorkerProcess

SPEC = WorkerSpec(
    model="", dtype="", device="cuda", revision=None, trust_remote_code=False, chat="auto",
    task="", num_threads=1,
)  # fmt: skip


class Undying:
    """In the place of a process that waits in its device's driver, and hears no signal."""

    returncode = None
    num_kills = 0

    def poll(self) -> None:
        return None

    def kill(self) -> None:
        self.num_kills += 1

    def wait(self, timeout: float | None = None) -> int:
        assert timeout is not None, "it would wait for ever"
        raise subprocess.TimeoutExpired("worker", timeout)


def test_a_process_that_outlives_its_kill_is_left_behind() -> None:
    process, popen = WorkerProcess(SPEC, 1), Undying()
    ours, theirs = Pipe()
    any_process: Any = process
    any_process._process, any_process._connection = popen, ours
    any_process._outbox = queue.SimpleQueue()
    process.is_over = False
    with theirs:
        process.kill("it hangs")
    assert process.is_over
    assert popen.num_kills >= 1
    assert isinstance(process.built, WorkerLostError)
    assert process.built.cause == "it hangs"
    any_process._is_killed_for = ""
    assert process._loss()[1] == "its process does not end though it was killed"
