"""A task whose question "poison" kills the process that grades it, as an example that crashes a worker would."""

import os
from typing import Any

from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task


class PoisonTask:
    """The capitals task with one deadly question."""

    name = "poison"

    def __init__(self) -> None:
        self._inner = get_task("capitals")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def grade(self, example: Example, output: str) -> float:
        """Dies on poison."""
        if example.question == "poison":
            os._exit(1)
        return self._inner.grade(example, output)


TASK = PoisonTask()
