"""Exclusive locks on folders: one writing process per run folder, one server per cache folder.

A lock ends with the last process that holds it, however that process ends; nothing stale can be
left behind.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search_cluster.errors import CacheError, CorpusError

WRITER_LOCK_NAME = ".writer.lock"
SERVER_LOCK_NAME = "server.lock"
LIVE_OWNER_WAIT_S = 1.0
"""How long to wait for an owner that is just ending, or was killed and is not yet reaped."""
DEAD_OWNER_WAIT_S = 15.0
"""How long the server of a killed run may need to write and stop."""
POLL_S = 0.05
"""The pause between two tries."""


def lock_run_folder(folder: Path) -> int:
    """Create the folder if need be and lock it for this process.

    The lock ends with the process, however that ends.

    Returns:
        A file descriptor; closing it gives the lock back.

    Raises:
        CorpusError: another process holds the lock, or the operating system refused.
    """
    path = folder / WRITER_LOCK_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CorpusError(
            f"can't write to {folder}: {error}; name a folder that you may write to"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise CorpusError(
            f"another process writes into {folder}; wait for it or stop it, then run the same "
            "command again"
        ) from error
    if not _is_same_file(descriptor, path):  # its holder removed it between the two calls
        os.close(descriptor)
        return lock_run_folder(folder)
    return descriptor


@contextmanager
def locked_run_folder(folder: Path) -> Iterator[int]:
    """Hold the lock of a run folder; one that holds nothing else at the end goes with it.

    So a run that fails before it writes anything, such as one of a model that is not there, leaves
    no folder behind.

    Raises:
        CorpusError: see `lock_run_folder`.
    """
    descriptor = lock_run_folder(folder)
    try:
        yield descriptor
    finally:
        with suppress(OSError):
            if [item.name for item in folder.iterdir()] == [WRITER_LOCK_NAME]:
                (folder / WRITER_LOCK_NAME).unlink()
                folder.rmdir()
        os.close(descriptor)


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def lock_server_folder(folder: Path) -> int:
    """Lock ``folder`` and return a file descriptor that holds the lock.

    Child processes may inherit the descriptor.

    The lock is free again when the last copy of the descriptor is closed; nothing stale can be left
    behind. The file names the owner's process id, which tells a run in progress (an error soon)
    from one that was killed and whose server still writes (worth waiting for).

    Raises:
        CacheError: another live process has the lock, or the folder can't be written to.
    """
    path = folder / SERVER_LOCK_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock_fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _not_writable(folder, error) from error
    try:
        _acquire(lock_fd, folder)
        os.ftruncate(lock_fd, 0)
        os.pwrite(lock_fd, f"{os.getpid()}\n".encode(), 0)
        os.fsync(lock_fd)
    except OSError as error:
        os.close(lock_fd)
        raise _not_writable(folder, error) from error
    except BaseException:
        os.close(lock_fd)
        raise
    return lock_fd


def _acquire(lock_fd: int, folder: Path) -> None:
    started_at = time.monotonic()
    while True:
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
        owner = os.pread(lock_fd, 32, 0).decode("ascii", "replace").strip()
        if time.monotonic() - started_at > (
            LIVE_OWNER_WAIT_S if _is_alive(owner) else DEAD_OWNER_WAIT_S
        ):
            raise CacheError(
                f"{folder} is in use by the cache server of process {owner or 'unknown'}; a folder "
                "has one server at a time; wait for that run to end, or use another run folder"
            )
        time.sleep(POLL_S)


def _is_alive(pid: str) -> bool:
    if not pid.isdigit() or int(pid) < 1:
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _not_writable(folder: Path, error: OSError) -> CacheError:
    return CacheError(
        f"cache folder {folder} can't be written to: {error.strerror}; the embedded server keeps "
        "verdicts there; make room or choose another run folder, or set the redis url to 'none'"
    )
