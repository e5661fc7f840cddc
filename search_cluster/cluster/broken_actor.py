"""How the actor of a broken device ends: its callers hear why, then its process is gone.

Ray starts another process in its place. What the old one would have said after the fault is of no
use to anybody, so it answers nothing more.
"""

import asyncio
import logging
import os
import platform
import threading
from typing import Never

import ray

from search_cluster.errors import DeviceBrokenError

logger = logging.getLogger(__name__)

LAST_WORD_S = 0.3
"""Seconds in which the error reaches those who wait for a batch."""
EXIT_CODE = 13
"""Of a process whose device is broken."""


class BrokenActor:
    """The part of an actor that knows whether its device is broken; used on one event loop."""

    def __init__(self) -> None:
        self._is_ending = False

    @property
    def is_ending(self) -> bool:
        """Whether the process is about to end."""
        return self._is_ending

    def end(self, error: DeviceBrokenError) -> DeviceBrokenError:
        """Let this process end in a moment, whatever it does; the error for those who wait."""
        if not self._is_ending:
            self._is_ending = True
            logger.error("this worker ends: %s", error)
            timer = threading.Timer(LAST_WORD_S, os._exit, (EXIT_CODE,))
            timer.daemon = True
            timer.start()
        return located(error)

    async def never(self) -> Never:
        """Wait for the end; whoever asked is answered by the next process, or told of the end."""
        while True:
            await asyncio.sleep(60.0)


def located(error: DeviceBrokenError) -> DeviceBrokenError:
    """The same with Ray's name of this node."""
    found = DeviceBrokenError(f"{error} (on {platform.node()})")
    found.node_id = this_node_id()
    return found


def this_node_id() -> str:
    """Ray's name of the node that this process runs on; empty where there is no Ray."""
    if not ray.is_initialized():
        return ""
    return str(ray.get_runtime_context().get_node_id())
