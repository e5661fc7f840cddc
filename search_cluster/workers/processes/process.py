"""A worker process as whoever started it sees it, with the processes that take its place."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing import Pipe, connection
from typing import Any

from search_cluster.errors import DeviceBrokenError, in_one_line
from search_cluster.workers.group.worker import Loss, WorkerLostError
from search_cluster.workers.messages import WorkerInfo, WorkerSpec
from search_cluster.workers.processes.serving import BUILT, LAST_WORD
from search_cluster.workers.wire import PackedBatch, PackedReport

GRACE_S = 5.0
"""How long a process has to end when its connection has; then it is killed."""
MODULE = "search_cluster.workers.processes.serving"


@dataclass(slots=True, eq=False)
class SentBatch:
    """A batch that was sent, and in the end what became of it."""

    process: "WorkerProcess"
    answer: PackedReport | Exception | None = None


class WorkerProcess:
    """One process, and after `start` another one in its place. Used by one thread.

    Args:
        spec: what its workers build; they share one model.
        num_workers: how many.
    """

    def __init__(self, spec: WorkerSpec, num_workers: int) -> None:
        self.spec = spec
        self.num_workers = num_workers
        self.generation = 0
        """How many processes there have been."""
        self.started_s = 0.0
        self.is_over = True
        """Whether the present one has ended."""
        self.built: list[WorkerInfo] | Exception | None = None
        """What its workers say of themselves, or why they can't be built."""
        self._calls: dict[int, SentBatch] = {}
        self._num_calls = 0
        self._last_word: Exception | None = None
        self._is_killed_for = ""

    def start(self) -> None:
        """Start a process; the one before has ended."""
        assert self.is_over, "there is one already"
        ours, theirs = Pipe()
        python_path = os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109
        with theirs:
            # A plain interpreter: `multiprocessing` would run the user's own script again.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": python_path},
            )
        self.generation += 1
        self.started_s = time.monotonic()
        self.is_over, self.built, self._last_word = False, None, None
        self._is_killed_for = ""
        self._connection = ours
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=_post, args=(ours, self._outbox), daemon=True).start()
        self._outbox.put((self.spec, self.num_workers))

    @property
    def pid(self) -> int:
        """The number of the present process."""
        return self._process.pid

    @property
    def fileno(self) -> int:
        """What becomes readable when it says something, or ends."""
        return self._connection.fileno()

    def evaluate(self, place: int, generation: int, batch: PackedBatch) -> SentBatch:
        """Send a batch to one of its workers.

        Args:
            place: which one.
            generation: the process that the sender knows; to another one it means nothing.
            batch: it.
        """
        call = SentBatch(self)
        if generation != self.generation:
            call.answer = WorkerLostError(Loss.IDLE, "its process was replaced")
        elif self.is_over:
            call.answer = WorkerLostError(*self._loss())
        else:
            self._num_calls += 1
            self._calls[self._num_calls] = call
            self._outbox.put((self._num_calls, place, batch))
        return call

    def receive(self) -> None:
        """Take what it has said; does not wait."""
        try:
            while not self.is_over and self._connection.poll():
                number, what = self._connection.recv()
                if number == BUILT:
                    self.built = what
                elif number == LAST_WORD:
                    self._last_word = what
                else:
                    self._calls.pop(number).answer = what
        except (EOFError, OSError):
            self._end()

    def kill(self, why: str) -> None:
        """End it at once, such as one that hangs."""
        if not self.is_over:
            self._is_killed_for = why
            self._process.kill()
            self._end()

    def close(self) -> None:
        """Let it end. Idempotent."""
        if self.is_over:
            return
        self._outbox.put(None)
        self._connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)
        self.kill("it is not needed any more")

    def _end(self) -> None:
        """Note that it has ended, and what was lost with it."""
        self._outbox.put(None)
        self._connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)  # its end of the connection goes a little earlier
        if self._process.poll() is None:
            self._process.kill()
            # One that waits inside a broken device's driver may outlive even this.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_S)
        self.is_over = True
        loss = self._loss()
        for call in self._calls.values():
            call.answer = WorkerLostError(*loss)
        self._calls.clear()
        if self.built is None:
            self.built = WorkerLostError(*loss)

    def _loss(self) -> tuple[Loss, str]:
        """How the present process was lost, and why, in one line."""
        if isinstance(self._last_word, DeviceBrokenError):
            return Loss.DEVICE, in_one_line(self._last_word)
        if self._last_word is not None:
            return Loss.PROCESS, in_one_line(self._last_word)
        if self._is_killed_for:
            return Loss.PROCESS, self._is_killed_for
        code = self._process.returncode
        if code is None:
            return Loss.PROCESS, "its process does not end though it was killed"
        if code == -signal.SIGKILL:
            return Loss.PROCESS, (
                "its process was killed, as when the kernel ends it for want of memory (dmesg "
                "tells); take a smaller --dtype or model, or a machine with more"
            )
        what = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return Loss.PROCESS, f"its process ended {what}"


def receive_from(processes: Iterable[WorkerProcess], timeout_s: float) -> None:
    """Wait until one of some processes says something or ends, and take it."""
    living = {process.fileno: process for process in processes if not process.is_over}
    for ready in connection.wait(list(living), timeout_s):
        living[ready].receive()  # type: ignore[index]


def _post(to: Any, outbox: "queue.SimpleQueue[Any]") -> None:
    """Send what is in an outbox, on a thread: a process that hangs takes nothing."""
    with contextlib.suppress(OSError, ValueError):
        while (what := outbox.get()) is not None:
            to.send(what)
