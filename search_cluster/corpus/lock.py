"""One writing process per corpus folder."""

import fcntl
import os
from pathlib import Path

from search_cluster.errors import CorpusError

LOCK_NAME = ".writer.lock"


def locked_folder(folder: Path) -> int:
    """Create the folder if need be and lock it for this process; the lock ends with the process, however it ends.

    Returns:
        A file descriptor; closing it gives the lock back.

    Raises:
        CorpusError: another process holds the lock, or the operating system refused.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CorpusError(f"can't write to {folder}: {error}; name a folder that you may write to") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise CorpusError(
            f"another process writes the corpus {folder}; wait for it or stop it, then run the same command again"
        ) from error
    return descriptor
