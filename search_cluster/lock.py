"""Exclusive locks on folders: one writing process per run folder, one server per cache folder.

A lock ends with the last process that holds it, however that process ends; nothing stale can be
left behind. A file system without locks is refused, unless the user says that nobody else writes
there (`NO_LOCKS_VARIABLE`).
"""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search_cluster.errors import CacheError, CorpusError

logger = logging.getLogger(__name__)

NO_LOCKS_VARIABLE = "LPS_NO_LOCKS"
"""The environment variable that lets runs go on without locks, where it is 1."""
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
"""What file systems say that have no locks, such as a Lustre without ``-o flock``."""
WRITER_LOCK_NAME = ".writer.lock"
SERVER_LOCK_NAME = "server.lock"
LIVE_OWNER_WAIT_S = 1.0
"""How long to wait for an owner that is just ending, or was killed and is not yet reaped."""
DEAD_OWNER_WAIT_S = 15.0
"""How long the server of a killed run may need to write and stop."""
POLL_S = 0.05
"""The pause between two tries."""


class NoLocksError(OSError):
    """The file system has no locks, and nobody said to go on without."""


def try_lock(descriptor: int) -> bool:
    """Lock an open file if nobody else has; whether it is locked, or locks are done without.

    Raises:
        NoLocksError: its file system has no locks.
        OSError: the operating system refused for another reason.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        if error.errno not in NO_LOCKS:
            raise
        if os.environ.get(NO_LOCKS_VARIABLE) != "1":
            raise NoLocksError(error.errno, error.strerror) from error
        logger.warning(
            "%s=1: nothing keeps a second process from writing to the same folder",
            NO_LOCKS_VARIABLE,
        )
    return True


def no_locks_text(folder: Path, error: OSError) -> str:
    """What to do about a folder whose file system has no locks."""
    return (
        f"the file system of {folder} has no locks ({error.strerror}), which keep two processes "
        "from writing there at once: name a folder on another one (a local disk), mount it with "
        f"locks, or set {NO_LOCKS_VARIABLE}=1 if nothing else ever writes there"
    )


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
        is_locked = try_lock(descriptor)
    except NoLocksError as error:
        os.close(descriptor)
        raise CorpusError(no_locks_text(folder, error)) from error
    except OSError as error:
        os.close(descriptor)
        raise CorpusError(
            f"{folder} can't be locked: {error}; name a folder on another file system"
        ) from error
    if not is_locked:
        os.close(descriptor)
        raise CorpusError(
            f"another process writes into {folder}; wait for it or stop it, then run the same "
            "command again"
        )
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
    except NoLocksError as error:
        os.close(lock_fd)
        raise CacheError(
            f"{no_locks_text(folder, error)}; or pass --redis-url none, or the URL of a server"
        ) from error
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
        if try_lock(lock_fd):
            return
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
