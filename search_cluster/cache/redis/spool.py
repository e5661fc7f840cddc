"""Verdicts on disk that wait for a lost server: one file per store that lost it.

The files lie in the run folder. A file is `MAGIC`, then frames: length and CRC-32 of the payload
(two little-endian 32-bit numbers), then the payload, a msgpack array ``[example id, encoded path,
encoded verdict]``. What was appended survives the end of the process, however that ends. It is not
forced to the disk, so a power cut may take the last seconds. A torn or damaged tail is left out.
The file's owner holds a lock on it: a file without an owner is left over from a run that ended, and
is for the next.
"""

import errno
import logging
import os
import secrets
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgpack

from search_cluster.cache.redis.write_buffer import WriteKey
from search_cluster.lock import try_lock

MAGIC = b"lpsspl1\n"
SUFFIX = ".spool"
MAX_SPOOL_BYTES = 2**30
MAX_FRAME_BYTES = 2**26
_FRAME = struct.Struct("<II")

logger = logging.getLogger(__name__)

Entry = tuple[WriteKey, bytes]


class Spool:
    """An append-only file of entries, made when something is appended first. One thread owns it.

    Args:
        folder: where the files are.
        namespace: the namespace of the verdicts; files of others are never looked at.
        max_bytes: the largest size of the file; what does not fit is turned away.
    """

    def __init__(self, folder: Path, *, namespace: str, max_bytes: int = MAX_SPOOL_BYTES) -> None:
        self._folder = folder
        self._namespace = namespace
        self._max_bytes = max_bytes
        self.path = folder / f"{namespace}-{secrets.token_hex(6)}{SUFFIX}"
        self._fd: int | None = None
        self._num_bytes = 0
        self._has_complained = False

    def append(self, entries: Iterable[Entry]) -> bool:
        """Keep entries, all or none, and return whether they are kept.

        The first failure is said, and further ones are silent.
        """
        data = b"".join(map(_frame, entries))
        try:
            if self._num_bytes + len(data) > self._max_bytes:
                raise OSError(f"it holds {self._num_bytes} of at most {self._max_bytes} bytes")
            self._write(data)
        except OSError as error:
            if not self._has_complained:
                logger.warning(
                    "verdicts that wait for the cache server can't be kept in %s: %s; they are "
                    "kept in memory only, so let the server return before this run ends, or make "
                    "room",
                    self.path,
                    error.strerror or error,
                )
            self._has_complained = True
            return False
        return True

    def _write(self, data: bytes) -> None:
        """Write all, or leave the file as it was."""
        if self._fd is None:
            self._fd = self._create()
        # Written at the end that is known to be good, and cut off there if it fails, so that a full
        # disk leaves no half frame in front of later ones. Only a death in between can tear the
        # tail.
        data = data if self._num_bytes else MAGIC + data
        position = self._num_bytes
        try:
            view = memoryview(data)
            while view:
                count = os.pwrite(self._fd, view, position)
                view, position = view[count:], position + count
        except OSError:
            os.ftruncate(self._fd, self._num_bytes)
            raise
        self._num_bytes = position

    def _create(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # Until the lock is held, a store that starts just now may take the file for left over and
        # remove it, since it is empty. If it still holds the lock here, this call of `append` fails
        # and its entries stay in memory only; if it is done, the file has no name any more, and
        # what is appended ends with this process.
        if not try_lock(fd):
            os.close(fd)
            raise BlockingIOError(errno.EWOULDBLOCK, "another process has just locked it")
        return fd

    def entries(self) -> Iterator[Entry]:
        """What was appended, oldest first."""
        return read_spool(self.path) if self._num_bytes else iter(())

    def clear(self) -> None:
        """Forget everything: it is on the server."""
        if self._fd is not None:
            self.path.unlink(missing_ok=True)
            self.close()

    def close(self) -> None:
        """Leave the file, if there is one, to the next run."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd, self._num_bytes = None, 0

    def left_over(self) -> Iterator[Path]:
        """Files of this namespace whose owner is gone.

        Each is locked while the caller works on it.
        """
        for path in sorted(self._folder.glob(f"{self._namespace}-*{SUFFIX}")):
            try:
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:  # Somebody else has just written it to the server.
                continue
            except OSError as error:
                logger.warning(
                    "%s can't be read: %s; its verdicts will be computed again",
                    path,
                    error.strerror,
                )
                continue
            try:
                if not try_lock(fd):
                    continue
                # A part of the magic is a file whose owner died at once. A file without a name has
                # been written to the server by a store that held the lock between the opening and
                # the locking here.
                if not MAGIC.startswith(os.pread(fd, len(MAGIC), 0)):
                    logger.warning("%s is no spool of this program; it is left alone", path)
                elif os.fstat(fd).st_nlink:
                    yield path
            except OSError as error:
                logger.warning("%s is left alone: %s", path, error.strerror)
            finally:
                os.close(fd)


def count_waiting(folder: Path, *, namespace: str) -> int:
    """The number of entries in the files of a namespace, whoever owns them.

    What several processes wrote is counted for each.
    """
    count = 0
    for path in sorted(folder.glob(f"{namespace}-*{SUFFIX}")):
        try:
            count += sum(1 for _ in read_spool(path))
        except OSError as error:
            logger.warning(
                "%s can't be read: %s; its verdicts are not counted", path, error.strerror
            )
    return count


def read_spool(path: Path) -> Iterator[Entry]:
    """The entries of a file up to its end, or up to where it is torn or damaged, which is said."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            logger.warning("%s is no spool of this program; nothing is read from it", path)
            return
        while header := file.read(_FRAME.size):
            entry = _entry(header, file.read(_length(header)))
            if entry is None:
                logger.warning(
                    "%s is torn or damaged after %d bytes; the rest is left out", path, file.tell()
                )
                return
            yield entry


def _frame(entry: Entry) -> bytes:
    (example_id, field), value = entry
    payload: bytes = msgpack.packb([example_id, field, value])
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _length(header: bytes) -> int:
    return min(_FRAME.unpack(header)[0], MAX_FRAME_BYTES) if len(header) == _FRAME.size else 0


def _entry(header: bytes, payload: bytes) -> Entry | None:
    if len(header) != _FRAME.size or _FRAME.unpack(header) != (len(payload), zlib.crc32(payload)):
        return None
    try:
        elements = msgpack.unpackb(payload)
    except (ValueError, msgpack.UnpackException):
        return None
    match elements:
        case [str(example_id), bytes(field), bytes(value)]:
            return (example_id, field), value
    return None
