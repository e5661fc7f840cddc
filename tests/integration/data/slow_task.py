"""A task that takes its time to grade where the environment says so, so that a test can disturb what it slows down."""

import os
import time
from typing import Any

from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task


class SlowTask:
    """The capitals task with a pause before each grade."""

    name = "slow"

    def __init__(self) -> None:
        self._inner = get_task("capitals")
        self._pause_s = float(os.environ.get("GRADE_PAUSE_S", "0"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def grade(self, example: Example, output: str) -> float:
        """As the capitals task, later."""
        time.sleep(self._pause_s)
        return self._inner.grade(example, output)


TASK = SlowTask()
