"""Encoded verdicts that wait for the server: first writer wins, bounded in bytes."""

from collections.abc import Collection
from itertools import islice

BYTES_PER_ENTRY = 300
"""The bytes that Python needs for one entry beside its value (keys, headers, the slot in the
dict)."""

WriteKey = tuple[str, bytes]
"""The example id and the encoded path of a verdict."""


class WriteBuffer:
    """A dict from `WriteKey` to an encoded verdict, in order of arrival.

    Args:
        max_bytes: the largest estimated memory; entries beyond it are turned away.
    """

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._entries: dict[WriteKey, bytes] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: WriteKey) -> bool:
        return key in self._entries

    def add(self, key: WriteKey, value: bytes) -> bool:
        """Keep a value unless the key has one.

        Returns:
            Whether the key has a value now: it had one, or there was room.
        """
        if key in self._entries:
            return True
        if self._num_bytes + len(value) + BYTES_PER_ENTRY > self._max_bytes:
            return False
        self._entries[key] = value
        self._num_bytes += len(value) + BYTES_PER_ENTRY
        return True

    def oldest(self, count: int) -> list[tuple[WriteKey, bytes]]:
        """Up to ``count`` entries, oldest first, which stay."""
        return list(islice(self._entries.items(), count))

    def remove(self, keys: Collection[WriteKey]) -> None:
        """Forget entries; every key must be there."""
        for key in keys:
            self._num_bytes -= len(self._entries.pop(key)) + BYTES_PER_ENTRY

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._num_bytes = 0
