"""A task with a question that breaks the device of the process that grades it."""

from typing import Any

import torch

from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task


class BrokenTask:
    """The capitals task; the question is "poison"."""

    name = "broken"

    def __init__(self) -> None:
        self._inner = get_task("capitals")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def grade(self, example: Example, output: str) -> float:
        """Raises what torch raises for a device that failed an assertion."""
        if example.question == "poison":
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")
        return self._inner.grade(example, output)


TASK = BrokenTask()
