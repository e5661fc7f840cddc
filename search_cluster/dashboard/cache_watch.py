"""A cache server as seen from the page: counted now and then, whoever asks how often."""

import time
from collections.abc import Callable
from dataclasses import asdict
from threading import Lock
from typing import Any

from search_cluster.cache.redis.census import take_census
from search_cluster.cache.redis.client import RedisClient
from search_cluster.errors import CacheError

MIN_PAUSE_S = 5.0
"""The shortest pause between two censuses."""
PAUSE_PER_CENSUS = 20.0
"""The seconds of pause for each second of counting, so that watching costs a server 5 % of its time
at most."""


class CacheWatch:
    """Counts what a server holds; safe to share between threads.

    Args:
        url: the address of the server: ``redis://``, ``rediss://`` or ``unix://``.
        clock: gives seconds that only grow.

    Raises:
        CacheError: the URL is malformed, or the server does not answer now.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = RedisClient(url)
        self._clock = clock
        self._lock = Lock()
        self._next_s = 0.0
        self._last: dict[str, Any] = {}
        self._count()

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        return self._client.shown_url

    def describe(self) -> dict[str, Any]:
        """The last census, ready for JSON; ``problem`` says why there is no newer one."""
        with self._lock:
            if self._clock() >= self._next_s:
                try:
                    self._count()
                except CacheError as error:
                    self._last = {**self._last, "problem": str(error)}
                    self._next_s = self._clock() + MIN_PAUSE_S
            return self._last

    def close(self) -> None:
        """Let go of the server. Idempotent."""
        self._client.close()

    def _count(self) -> None:
        started_s = self._clock()
        census = take_census(self._client)
        ended_s = self._clock()
        self._last = {**asdict(census), "problem": None}
        self._next_s = ended_s + max(MIN_PAUSE_S, PAUSE_PER_CENSUS * (ended_s - started_s))
