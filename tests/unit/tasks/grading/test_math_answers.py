"""The math grader: equality, hostile input, threads, forks, the end of its parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from search_cluster.errors import TaskError
from search_cluster.tasks.example import Example
from search_cluster.tasks.grading import math_answers as math_grading
from search_cluster.tasks.grading.boxed import last_boxed
from search_cluster.tasks.grading.math_answers import MathVerifier, grade_math
from search_cluster.workers.own_trouble import is_own_trouble

_ORPHAN = """
import os, time
from search_cluster.tasks.grading.boxed import last_boxed
from search_cluster.tasks.grading.math_answers import MathVerifier
verifier = MathVerifier()
assert verifier.equal("1", "\\\\boxed{1}")
print(verifier._process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    verifier = MathVerifier()
    yield verifier
    verifier.close()


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("\\frac{1}{2}", "\\boxed{0.5}", True),
        ("\\frac{\\pi}{2}", "\\boxed{\\pi/2}", True),
        ("(3, \\frac{\\pi}{2})", "\\boxed{(3,\\pi/2)}", True),
        ("0", "the answer is 0.", True),
        ("5", "\\boxed{4}", False),
        ("x+1", "\\boxed{1+x}", True),
        ("5", "", False),
        ("5", "\\boxed{", False),
        ("5", "\x00\ud800", False),
    ],
)
def test_equality(verifier: MathVerifier, gold: str, answer: str, equal: bool) -> None:
    assert verifier.equal(gold, answer) is equal


def test_hostile_input_earns_nothing_and_the_next_request_works(
    verifier: MathVerifier, caplog: pytest.LogCaptureFixture
) -> None:
    started = time.monotonic()
    assert verifier.equal("1", "\\boxed{9^{9^{9^{9}}}}") is False
    assert time.monotonic() - started < math_grading.WALL_LIMIT_S
    assert "took too long" in caplog.text
    assert verifier.equal("1", "\\boxed{1}") is True


def test_threads_share_one_worker(verifier: MathVerifier) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: verifier.equal(str(n % 3), f"\\boxed{{{n}}}"), range(24)))
    assert answers == [n < 3 for n in range(24)]


def test_a_killed_worker_is_replaced(verifier: MathVerifier) -> None:
    assert verifier.equal("1", "\\boxed{1}")
    process = verifier._process
    assert process is not None
    process.kill()
    process.wait()
    assert verifier.equal("2", "\\boxed{2}")
    assert verifier._process is not process


def killing(monkeypatch: pytest.MonkeyPatch, num_times: int) -> list[str]:
    """Let something kill the worker while it judges, so many times; what it was asked."""
    asked: list[str] = []
    ask = math_grading._ask

    def ask_and_kill(process: subprocess.Popen[bytes], request: str) -> object:
        asked.append(request)
        if len(asked) <= num_times:
            process.send_signal(signal.SIGSTOP)
            process.stdin.write(request.encode() + b"\n")  # type: ignore[union-attr]
            process.kill()
            return math_grading._read_line(process, 10.0)
        return ask(process, request)

    monkeypatch.setattr(math_grading, "_ask", ask_and_kill)
    return asked


def test_an_answer_whose_worker_was_killed_from_outside_is_judged_again(
    verifier: MathVerifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = killing(monkeypatch, 1)
    assert verifier.equal("1", "\\boxed{1}")
    assert len(asked) == 2
    assert not caplog.records


def test_a_machine_that_kills_the_worker_again_and_again_is_no_wrong_answer(
    verifier: MathVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    killing(monkeypatch, math_grading.MAX_KILLS)
    with pytest.raises(OSError, match="was killed 2 times") as caught:
        verifier.equal("1", "\\boxed{1}")
    assert is_own_trouble(caught.value)
    assert verifier.equal("1", "\\boxed{1}")


def test_the_worker_does_not_outlive_a_killed_parent() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _ORPHAN], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        worker_pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while _is_alive(worker_pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_alive(worker_pid)


def _is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_that_does_not_start_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(3)")
    monkeypatch.setattr(math_grading, "_WORKER", broken)
    with pytest.raises(TaskError, match=r"the math grader did not start: .* ended with 3"):
        MathVerifier().equal("1", "1")


def test_closing_twice_is_harmless() -> None:
    verifier = MathVerifier()
    verifier.close()
    verifier.close()


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("so \\boxed{3}", "3"),
        ("\\boxed{1} and \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\fbox{7}", "7"),
        ("$\\boxed 7$", "7"),
        ("\\boxed{}", None),
        ("\\boxed{1", None),
        ("\\boxed", None),
        ("none", None),
    ],
)
def test_last_boxed(text: str, content: str | None) -> None:
    assert last_boxed(text) == content


def test_equal_texts_need_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math_grading, "_WORKER", Path(os.devnull))
    gold = Example(task="math", question="q", gold="\\frac{1}{2}", split="test", source="here")
    assert grade_math(gold, "\\boxed{\\frac{1}{2}}") == 1.0


def test_grading_from_a_thread_as_an_actor_would() -> None:
    gold = Example(task="math", question="q", gold="0.5", split="test", source="here")
    rewards: list[float] = []
    thread = threading.Thread(target=lambda: rewards.append(grade_math(gold, "\\boxed{\\frac12}")))
    thread.start()
    thread.join()
    assert rewards == [1.0]
