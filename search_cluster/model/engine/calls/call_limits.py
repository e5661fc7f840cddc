"""How large calls of a layer may be, and which nodes run in one of them."""

import logging
from collections.abc import Iterable, Mapping

from search_cluster.model.engine.prefix_trie import TrieNode
from search_cluster.model.engine.token_tree import RowSet

logger = logging.getLogger(__name__)

RECOVERY_CALLS = 64
"""After so many calls without trouble, calls whose size was halved may be twice as long again."""


class CallLimits:
    """The size of calls, which falls out of memory and grows back.

    Args:
        max_rows: the largest number of rows in one call, unless a single segment is longer.
        keys_per_row: the number of keys that a call may gather for each of so many rows; ``None``
            if that does not matter.
    """

    def __init__(self, max_rows: int, keys_per_row: int | None) -> None:
        self.max_rows = max_rows
        self._keys_per_row = keys_per_row
        self._wanted_rows = max_rows
        self._calls_since_trouble = 0

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

    def halve(self, num_rows: int) -> None:
        """Take note of a call of so many rows that had no room."""
        self._calls_since_trouble = 0
        self.max_rows = max(1, min(self.max_rows, num_rows) // 2)
        logger.warning(
            "out of memory in a call of %d rows: calls have at most %d rows for now",
            num_rows,
            self.max_rows,
        )

    def recover(self) -> None:
        """Let calls grow back after one that had room: what took the memory may be gone."""
        if self.max_rows >= self._wanted_rows:
            return
        self._calls_since_trouble += 1
        if self._calls_since_trouble >= RECOVERY_CALLS:
            self._calls_since_trouble = 0
            self.max_rows = min(self._wanted_rows, 2 * self.max_rows)
            logger.warning("calls have up to %d rows again", self.max_rows)
