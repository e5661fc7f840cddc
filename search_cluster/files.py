"""Files that appear whole or not at all, and text that every format can hold."""

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search_cluster.errors import ConfigError, CorpusError

NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""What a file system says that can't sync a folder."""
TEMPORARY_PATTERN = ".*.tmp"
"""This matches the temporary files of `replaced_whole`, which a killed process may leave behind."""


@contextmanager
def replaced_whole(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target`` to write to.

    On success it is fsynced and atomically becomes ``target``.

    On any error the temporary file is removed and ``target`` stays as it was.

    Raises:
        CorpusError: the operating system refused a write (full disk, no permission), or ``target``
            is a device or a stream such as ``/dev/stdout``, which a file would take the place of.
    """
    temporary = target.parent / f".{target.name}.tmp"
    try:
        _require_file(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _fsync(temporary)
        os.replace(temporary, target)  # noqa: PTH105 - the call that the atomicity rests on, spelled out
        _fsync_folder(target.parent)
    except OSError as error:
        raise CorpusError(
            f"can't write {target}: {error.strerror or error}; what was written before is kept and "
            "nothing is half written: free space or fix the permissions, then run the same "
            "command again"
        ) from error
    finally:
        with suppress(OSError):  # on a read-only disk there is none, and the error above says more
            temporary.unlink()


def _require_file(target: Path) -> None:
    # /dev/stdout is a link to /proc/self/fd/1.
    place = target.readlink() if target.is_symlink() else target.absolute()
    is_stream = place.is_relative_to("/proc") or target.absolute().is_relative_to("/dev/fd")
    if is_stream or (target.exists() and not target.is_file() and not target.is_dir()):
        raise CorpusError(
            f"can't write {target}: it is a device or a stream, not a file; name a file"
        )


def write_text_whole(target: Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``target``, atomically.

    Raises:
        CorpusError: the operating system refused.
    """
    with replaced_whole(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def require_new(out: Path) -> None:
    """Check, before any work is done, that there is nothing where a folder is to appear.

    Raises:
        ConfigError: there is something.
    """
    if out.exists():
        raise ConfigError(f"{out} exists; give a new folder with --out, or remove it")


@contextmanager
def new_folder_whole(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` to write into, which becomes ``out`` on success.

    On any error nothing of it stays.

    Raises:
        ConfigError: ``out`` exists.
    """
    require_new(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=out.parent, prefix=f".{out.name}.", ignore_cleanup_errors=True
    ) as parent:
        unfinished = Path(parent) / "export"
        unfinished.mkdir()
        yield unfinished
        unfinished.rename(out)


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_digest(path: Path) -> str:
    """16 hexadecimal digits that are equal for files of equal content.

    Raises:
        OSError: the file can't be read.
    """
    return file_sha256(path)[:16]


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync_folder(folder: Path) -> None:
    """Let a rename outlive the machine, where the file system knows how to.

    Some shared ones and some in user space can't sync a folder; the rename is done all the same.
    """
    try:
        _fsync(folder)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise


def storable_text(text: str) -> str:
    """``text`` with lone surrogates, which UTF-8 can't encode, replaced by U+FFFD.

    Other text comes back as it is.
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
