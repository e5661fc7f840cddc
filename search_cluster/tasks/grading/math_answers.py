r"""Mathematical equality of an answer in ``\boxed{}`` and a gold answer, judged by math-verify.

math-verify needs the main thread (it sets an alarm signal) and may loop for ever on hostile input;
its own process makes it usable from threads and Ray actors and can be ended. It is started
at the first use, once in each process, and again after a request that it did not survive; such an
answer earns nothing, unless the process was killed from outside: then it is judged again.
"""

import atexit
import errno
import json
import logging
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from search_cluster.errors import TaskError
from search_cluster.tasks.example import Example
from search_cluster.tasks.grading.boxed import is_box_cut, last_boxed, own_answer
from search_cluster.tasks.grading.math_forms import settle, settle_prose

MATH_GRADER_VERSION = "math-verify-2"
WALL_LIMIT_S = 60.0
"""Seconds that a reply may take: a backstop behind the worker's own limit of processor time, wide
because machines may be busy."""
START_LIMIT_S = 120.0
"""Seconds that the worker may take to start."""
END_LIMIT_S = 1.0
"""Seconds to wait for the end of a worker whose pipe has ended."""
MAX_KILLS = 2
"""Kills from outside after which the machine is to blame, and not an accident."""
_MAX_ANSWER_CHARACTERS = 4000
_BOXES_OFFERED = re.compile(
    r"\}[\s$]*\bor\b[\s$]*\\(?:boxed|fbox)\s*\{[^{}]*\}(?:(?!\\(?:boxed|fbox)).)*$", re.DOTALL
)
"""The last two boxes are offered together: ``\\boxed{3} or \\boxed{5}``."""
_WORKER = Path(__file__).with_name("math_worker.py")
_logger = logging.getLogger(__name__)


class MathVerifier:
    """Owns one worker process.

    It is safe to call from any thread, one request at a time; it is not carried across a fork.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner_pid = 0

    def equal(self, gold: str, answer: str) -> bool:
        """Whether the answer is mathematically the gold answer.

        An answer that takes too long to judge counts as another one.

        Raises:
            TaskError: the worker can't be started (math-verify is not installed, or broken).
            OSError: something else on this machine kills the worker again and again.
        """
        request = json.dumps([gold, answer[:_MAX_ANSWER_CHARACTERS]])
        with self._lock:
            for _ in range(MAX_KILLS):
                process = self._running_process()
                reply = _ask(process, request)
                if reply is not None or not _was_killed(process):
                    break
            else:
                raise OSError(
                    errno.ENOMEM,
                    f"the math grader was killed {MAX_KILLS} times, as a machine without memory "
                    "does (dmesg names it)",
                )
            if reply is None:
                self._stop()
                _logger.warning(
                    "grading %.80r against %.80r took too long or too much; it earns 0",
                    answer,
                    gold,
                )
            return reply is True

    def close(self) -> None:
        """End the worker; the next request starts another one. Idempotent."""
        with self._lock:
            self._stop()

    def _running_process(self) -> subprocess.Popen[bytes]:
        if self._owner_pid != os.getpid():
            self._process = None  # the parent's worker: answers to us would be lost to it
            self._owner_pid = os.getpid()
        if self._process is None or self._process.poll() is not None:
            self._stop()
            self._process = _start_worker()
        return self._process

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None or self._owner_pid != os.getpid():
            return
        process.kill()
        process.communicate()


def _start_worker() -> subprocess.Popen[bytes]:
    # -P keeps this folder off the worker's sys.path; its modules must not shadow anybody's.
    command = [sys.executable, "-P", str(_WORKER)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    )
    if _read_line(process, START_LIMIT_S) != "ready":
        process.kill()
        process.communicate()
        raise TaskError(
            f"the math grader did not start: {' '.join(command)} ended with {process.returncode}; "
            "run it by hand to see why (is math-verify installed?)"
        )
    return process


def _ask(process: subprocess.Popen[bytes], request: str) -> object:
    assert process.stdin is not None
    try:
        process.stdin.write(request.encode() + b"\n")
    except BrokenPipeError:
        return None
    return _read_line(process, WALL_LIMIT_S)


def _was_killed(process: subprocess.Popen[bytes]) -> bool:
    """Whether it ended by a kill, which none of its own limits does: that says nothing of answers.

    Of one that has just ended its end may be seen a moment later.
    """
    with suppress(subprocess.TimeoutExpired):
        return process.wait(END_LIMIT_S) == -signal.SIGKILL
    return False


def _read_line(process: subprocess.Popen[bytes], limit_s: float) -> object:
    """The next reply; ``None`` if the worker ended or the time is over."""
    assert process.stdout is not None
    received = b""
    deadline = time.monotonic() + limit_s
    while not received.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(process.stdout.fileno(), 4096) if ready else b""
        if not chunk:
            return None
        received += chunk
    reply: object = json.loads(received)
    return reply


_VERIFIER = MathVerifier()
atexit.register(_VERIFIER.close)


@lru_cache(maxsize=65_536)
def answers_equal(gold: str, answer: str) -> bool:
    """As `MathVerifier.equal`, with one worker for the whole process.

    Verdicts are kept in memory, since many paths give the same answer.
    """
    return _VERIFIER.equal(gold, answer)


def grade_math(example: Example, output: str) -> float:
    r"""1 if the last ``\boxed{}`` of the answer equals the gold answer, else 0.

    Without a box the whole answer is compared. Values are equal exactly or not at all: ``0.333333``
    is not ``\frac{1}{3}``, and ``10`` is not ``10\%``. An open box may be cut off and is wrong.
    """
    first = own_answer(output)
    if re.search(r"[\d\\$]|^\s*\S+\s*$", first):
        output = first
    if is_box_cut(output):
        return 0.0
    gold, answer = last_boxed(example.gold) or example.gold, last_boxed(output)
    if answer is None:
        settled = settle_prose(gold, output)
    elif _BOXES_OFFERED.search(output):
        return 0.0
    else:
        settled = answer == gold or settle(gold, answer)
    if isinstance(settled, bool):
        return float(settled)
    said = settled.answer if settled.is_prose else f"\\boxed{{{settled.answer}}}"
    return float(answers_equal(settled.gold, said))
