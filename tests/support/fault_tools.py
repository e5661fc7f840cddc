"""What faults on a real Ray are made with: its processes, a server of Debian's, a small disk."""

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from support.command import wait_for

WORKER = re.compile(r"ray::\w*(Worker|WorkerHandle)\w*Actor")
COORDINATOR = re.compile(r"ray::CoordinatorActor")


def actors(name: re.Pattern[str], of: psutil.Process | None = None) -> list[psutil.Process]:
    """Actors of this process' own Ray, or of one node of it, that run.

    Args:
        name: what Ray calls their processes.
        of: the node's process; ``None``: all nodes.
    """
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in (of or psutil.Process()).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                does_run = process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
                if does_run and name.search(" ".join(process.cmdline())):
                    found.append(process)
    return found


def has_ended(process: psutil.Process) -> bool:
    """Whether a process is gone, or nobody has asked yet what became of it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it went between the two questions
        return True


@contextlib.contextmanager
def redis_server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Debian's server on a loopback port; what it takes is in its file at once."""
    if (binary := shutil.which("redis-server")) is None:
        pytest.skip("no redis-server on the PATH: apt-get install redis-server")
    folder.mkdir(exist_ok=True)
    flags = (
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--save",
        "",
    )
    process = subprocess.Popen([binary, *flags], cwd=folder, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as client:
            wait_for(lambda: _answers(client))
        yield process
    finally:
        process.kill()
        process.wait()


def _answers(client: "redis.Redis[bytes]") -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of that size, such as ``4m``, at a folder that is made for it."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no right to mount a small disk")
    try:
        yield folder
    finally:
        wait_for(lambda: subprocess.run(["umount", str(folder)], check=False).returncode == 0)


def fill(folder: Path) -> Path:
    """A file that leaves no room for anything else."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast
