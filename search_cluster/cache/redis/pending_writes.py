"""Encoded verdicts on their way to the server.

They wait in memory, and on disk as well while the server does not take them.
"""

from collections.abc import Collection, Iterator
from itertools import islice

from search_cluster.cache.redis.spool import Entry, Spool
from search_cluster.cache.redis.write_buffer import WriteBuffer, WriteKey

ENTRIES_PER_READ = 1000


class PendingWrites:
    """A bounded buffer with a spool behind it.

    What waits is in both, and what the buffer has no room for is on disk only. Use: `add` some
    entries, write the `oldest`, `remove` what was written, and `settle` when no more can be
    written.

    Args:
        max_bytes: the size of the buffer.
        spool: the file behind it; ``None`` means memory only.
    """

    def __init__(self, *, max_bytes: int, spool: Spool | None) -> None:
        self._buffer = WriteBuffer(max_bytes=max_bytes)
        self._spool = spool
        self._fresh: list[tuple[Entry, bool]] = []
        """The entries added since `settle`, each with whether the buffer took it."""
        self._num_on_disk_only = 0
        self._num_in_memory_only = 0
        self._reading: Iterator[Entry] | None = None
        self._read: dict[WriteKey, bytes] = {}
        """The part of the disk that is being written, which is not in the buffer."""

    def __len__(self) -> int:
        return len(self._buffer) + len(self._read) + self._num_on_disk_only

    def add(self, key: WriteKey, value: bytes) -> None:
        """Take an entry; the first value of a key in the buffer wins."""
        self._fresh.append(((key, value), self._buffer.add(key, value)))

    def oldest(self, count: int) -> list[Entry]:
        """Up to ``count`` entries, oldest first, which stay. It is empty only if nothing waits."""
        if len(self._buffer):
            return self._buffer.oldest(count)
        if not self._read and self._num_on_disk_only:
            self._read_on()
        return list(islice(self._read.items(), count))

    def remove(self, keys: Collection[WriteKey]) -> None:
        """Forget entries that `oldest` gave and that were written."""
        if self._read and not len(self._buffer):
            for key in keys:
                del self._read[key]
        else:
            self._buffer.remove(keys)

    def settle(self) -> int:
        """Put on disk what was added and not written.

        Returns:
            The number of entries there was no room for anywhere.
        """
        waiting = [
            (entry, kept) for entry, kept in self._fresh if not kept or entry[0] in self._buffer
        ]
        self._fresh.clear()
        if not waiting:
            if not len(self):
                self._forget_disk()
            return 0
        num_buffered = sum(kept for _, kept in waiting)
        if self._spool is not None and self._spool.append(entry for entry, _ in waiting):
            self._num_on_disk_only += len(waiting) - num_buffered
            return 0
        self._num_in_memory_only += num_buffered
        return len(waiting) - num_buffered

    def close(self) -> int:
        """Leave the disk to the next run.

        Returns:
            The number of entries that are lost, since they were in memory only.
        """
        num_lost = min(self._num_in_memory_only, len(self._buffer))
        self._buffer.clear()
        self._read.clear()
        self._num_on_disk_only = 0
        if self._spool is not None:
            self._spool.close()
        return num_lost

    def _read_on(self) -> None:
        """Read the next part of the disk, in its order.

        Some of it may have been written from the buffer already.
        """
        assert self._spool is not None
        if self._reading is None:
            self._reading = self._spool.entries()
        entries = list(islice(self._reading, ENTRIES_PER_READ))
        for key, value in entries:
            self._read.setdefault(key, value)
        if len(entries) < ENTRIES_PER_READ:
            self._reading, self._num_on_disk_only = None, 0

    def _forget_disk(self) -> None:
        self._reading, self._num_in_memory_only = None, 0
        if self._spool is not None:
            self._spool.clear()
