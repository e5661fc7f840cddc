"""The guard of an embedded server, with a stand-in for the server that never ends by itself."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.command import wait_for

from search_cluster.cache.server import guard


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    server = tmp_path / "server"
    server.write_text("#!/bin/sh\ncat >/dev/null\nexec sleep 600\n")
    server.chmod(0o755)
    (private := tmp_path / "private").mkdir()
    (lock := tmp_path / "lock").touch()
    lock_fd = os.open(lock, os.O_RDWR)
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, str(server), str(tmp_path), str(private),
         str(lock_fd), str(os.getpid())],
        stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=(lock_fd,),
    )  # fmt: skip
    os.close(lock_fd)
    assert process.stdin is not None
    process.stdin.write(b"settings" + guard.END_OF_CONFIG)
    process.stdin.flush()
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.stdin.close()
        process.wait(30)


def children(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


def test_a_server_that_is_killed_right_behind_its_first_answer_is_restarted(
    guarded: subprocess.Popen[bytes],
) -> None:
    wait_for(lambda: children(guarded), timeout_s=30)
    (first,) = children(guarded)
    guarded.send_signal(signal.SIGSTOP)  # It sees both at once: the answer, and the end.
    assert guarded.stdin is not None
    guarded.stdin.write(guard.READY)
    guarded.stdin.flush()
    first.kill()
    wait_for(lambda: first.status() == psutil.STATUS_ZOMBIE, timeout_s=30)
    guarded.send_signal(signal.SIGCONT)
    wait_for(
        lambda: [item.pid for item in children(guarded)] not in ([], [first.pid]), timeout_s=30
    )
    assert guarded.poll() is None


def test_a_server_that_never_answered_is_not_restarted(guarded: subprocess.Popen[bytes]) -> None:
    wait_for(lambda: children(guarded), timeout_s=30)
    (first,) = children(guarded)
    first.kill()
    assert guarded.wait(30) != 0
