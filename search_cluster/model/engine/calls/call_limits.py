"""How large calls may be, of a layer and of the head, and which nodes run in one of a layer."""

import logging
from collections.abc import Iterable, Mapping

from search_cluster.model.engine.prefix_trie import TrieNode
from search_cluster.model.engine.token_tree import RowSet

logger = logging.getLogger(__name__)

HEAD_CALLS = "calls of the head"
CALL_ROWS = {"cpu": 1024}
"""The largest number of rows in one layer call, for each kind of device."""
ACCELERATOR_CALL_ROWS = 8192
"""The same for devices that are not named there."""
HEAD_ROWS = {"cpu": 128}
"""The largest number of rows whose logits are in memory together; each row has a whole
vocabulary."""
ACCELERATOR_HEAD_ROWS = 1024
"""The same for devices that are not named there."""
RECOVERY_CALLS = 64
"""After so many calls without trouble, calls whose size was halved may be twice as long again."""


def usual_rows(kind: str) -> tuple[int, int]:
    """The largest numbers of rows on a kind of device: of a layer's call, and of the head's."""
    return (
        CALL_ROWS.get(kind, ACCELERATOR_CALL_ROWS),
        HEAD_ROWS.get(kind, ACCELERATOR_HEAD_ROWS),
    )


class RowLimit:
    """A number of rows, which falls out of memory and grows back.

    Args:
        max_rows: the largest number of rows in one call.
        least_rows: a number below which it does not fall.
        calls: what the log calls these calls.
    """

    def __init__(self, max_rows: int, least_rows: int = 1, calls: str = "calls") -> None:
        self.max_rows = max_rows
        """The largest number of rows in one call for now."""
        self._wanted_rows = max_rows
        self._least_rows = min(max_rows, least_rows)
        self._calls = calls
        self._calls_since_trouble = 0

    def halve(self, num_rows: int) -> bool:
        """Take note of a call of so many rows that had no room; whether the limit fell."""
        self._calls_since_trouble = 0
        before = self.max_rows
        self.max_rows = max(self._least_rows, min(before, num_rows) // 2)
        if self.max_rows == before:
            return False
        logger.warning(
            "out of memory in a call of %d rows: %s have at most %d rows for now",
            *(num_rows, self._calls, self.max_rows),
        )
        return True

    def recover(self) -> None:
        """Let calls grow back after one that had room: what took the memory may be gone."""
        if self.max_rows >= self._wanted_rows:
            return
        self._calls_since_trouble += 1
        if self._calls_since_trouble >= RECOVERY_CALLS:
            self._calls_since_trouble = 0
            self.max_rows = min(self._wanted_rows, 2 * self.max_rows)
            logger.warning("%s have up to %d rows again", self._calls, self.max_rows)


class CallLimits(RowLimit):
    """The size of calls of layers.

    Args:
        max_rows: the largest number of rows in one call, unless a single segment is longer.
        keys_per_row: the number of keys that a call may gather for each of so many rows; ``None``
            if that does not matter.
    """

    def __init__(self, max_rows: int, keys_per_row: int | None) -> None:
        super().__init__(max_rows)
        self._keys_per_row = keys_per_row

    def calls(
        self, nodes: Iterable[TrieNode], missing: Mapping[TrieNode, RowSet]
    ) -> Iterable[list[TrieNode]]:
        """The nodes in parts of bounded size; nodes of one example stand together."""
        part: list[TrieNode] = []
        num_rows = num_keys = 0
        for node in sorted(nodes, key=lambda node: (len(missing[node]), id(node.trie))):
            run = missing[node]
            more_keys = 0 if self._keys_per_row is None else run.num_keys()
            if part and (
                num_rows + len(run) > self.max_rows
                or num_keys + more_keys > self.max_rows * (self._keys_per_row or 0)
            ):
                yield part
                part, num_rows, num_keys = [], 0, 0
            part.append(node)
            num_rows += len(run)
            num_keys += more_keys
        yield part
