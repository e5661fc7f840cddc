"""A task that takes its time to grade where a test says so, which can then disturb it.

The pause in seconds is in the environment (``GRADE_PAUSE_S``), or in a file ``pause_s`` beside a
copy of this file, which workers of a running cluster see, too.
"""

import os
import time
from pathlib import Path
from typing import Any

from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task

PAUSE_FILE = Path(__file__).with_name("pause_s")


class SlowTask:
    """The capitals task with a pause before each grade."""

    name = "slow"

    def __init__(self) -> None:
        self._inner = get_task("capitals")
        text = (
            PAUSE_FILE.read_text() if PAUSE_FILE.exists() else os.environ.get("GRADE_PAUSE_S", "0")
        )
        self._pause_s = float(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def grade(self, example: Example, output: str) -> float:
        """As the capitals task, later."""
        time.sleep(self._pause_s)
        return self._inner.grade(example, output)


TASK = SlowTask()
