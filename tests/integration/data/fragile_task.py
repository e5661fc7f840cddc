"""A task whose pace and whose device a test changes while it is asked.

Files beside a copy of this one say how: ``pause_s`` has the pause before each grade; where there is
a file ``break``, the next process that grades takes it away and suffers from a broken accelerator
from then on; where there is a file ``broken``, all do.
"""

import time
from pathlib import Path
from typing import Any

import torch

from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task

PAUSE, BREAK, BROKEN = (Path(__file__).with_name(name) for name in ("pause_s", "break", "broken"))


class FragileTask:
    """The capitals task, at a stated pace, on devices that break."""

    name = "fragile"

    def __init__(self) -> None:
        self._inner = get_task("capitals")
        self._is_broken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def grade(self, example: Example, output: str) -> float:
        """As the capitals task, later.

        Raises:
            AcceleratorError: the device is broken.
        """
        if not self._is_broken and BREAK.exists():
            try:
                BREAK.unlink()  # one process alone does it
                self._is_broken = True
            except FileNotFoundError:
                pass
        if self._is_broken or BROKEN.exists():
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        time.sleep(float(PAUSE.read_text()) if PAUSE.exists() else 0.0)
        return self._inner.grade(example, output)


TASK = FragileTask()
