"""A task with a question that kills the process that grades it.

An example that crashes a worker does the same.

The deadly question is "poison", or what a file ``poison`` beside a copy of this file holds.
"""

import os
from pathlib import Path
from typing import Any

from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task

POISON_FILE = Path(__file__).with_name("poison")


class PoisonTask:
    """The capitals task with one deadly question."""

    name = "poison"

    def __init__(self) -> None:
        self._inner = get_task("capitals")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def grade(self, example: Example, output: str) -> float:
        """Dies on poison."""
        deadly = POISON_FILE.read_text() if POISON_FILE.exists() else "poison"
        if example.question == deadly:
            os._exit(1)
        return self._inner.grade(example, output)


TASK = PoisonTask()
