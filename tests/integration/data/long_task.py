"""The capitals task, of whose questions some are longer than a tiny model's window."""

from dataclasses import replace
from typing import Any

from search_cluster.tasks.registry import get_task

EVERY = 4
"""One question of so many is too long, for a window of 2,048 tokens."""


class LongTask:
    """Makes every fourth question of a split too long."""

    name = "long"

    def __init__(self) -> None:
        self._inner = get_task("capitals")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def load(self, split: str, data_dir: Any = None) -> Any:
        """As the capitals task, but for those questions."""
        loaded = self._inner.load(split, data_dir)
        return replace(
            loaded,
            examples=tuple(
                item if place % EVERY else replace(item, question=item.question + " the" * 2048)
                for place, item in enumerate(loaded.examples)
            ),
        )


TASK = LongTask()
