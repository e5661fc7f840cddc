"""Progress over a sequence, on standard error: a bar on a terminal, lines elsewhere."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

LOG_INTERVAL_S = 5.0
"""The time between two lines where there is no terminal, in seconds."""

Item = TypeVar("Item")


def track(items: Sequence[Item], description: str) -> Iterator[Item]:
    """Yield the items and show how many have come."""
    console = Console(stderr=True)
    if console.is_terminal:
        yield from rich_track(items, description=description, console=console)
        return
    last_s = time.monotonic()
    for number, item in enumerate(items, start=1):
        yield item
        if number == len(items) or time.monotonic() - last_s >= LOG_INTERVAL_S:
            print(f"{description}: {number}/{len(items)}", file=sys.stderr, flush=True)
            last_s = time.monotonic()
