"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search_cluster.errors import CorpusError

TEMPORARY_PATTERN = ".*.tmp"
"""Matches the temporary files of `replaced_whole`, which a killed process may leave behind."""


@contextmanager
def replaced_whole(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target`` to write to; on success it is fsynced and atomically becomes ``target``.

    On any error the temporary file is removed and ``target`` stays as it was.

    Raises:
        CorpusError: the operating system refused a write (full disk, no permission).
    """
    temporary = target.parent / f".{target.name}.tmp"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _fsync(temporary)
        os.replace(temporary, target)  # noqa: PTH105 - the call that the atomicity rests on, spelled out
        _fsync(target.parent)
    except OSError as error:
        raise CorpusError(
            f"can't write {target}: {error.strerror or error}; what was written before is kept and nothing is half "
            "written: free space or fix the permissions, then run the same command again"
        ) from error
    finally:
        with suppress(OSError):  # on a read-only disk there is none, and the error above says more
            temporary.unlink()


def write_text_whole(target: Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``target``, atomically.

    Raises:
        CorpusError: the operating system refused.
    """
    with replaced_whole(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
