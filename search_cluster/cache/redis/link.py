"""A link to a server that may be lost.

Commands go through while it answers, and are not tried while it does not.
"""

import logging
from collections.abc import Sequence
from typing import Any

from search_cluster.cache.redis.breaker import Breaker
from search_cluster.cache.redis.client import Command, LinkLostError, RedisClient, Refusal

logger = logging.getLogger(__name__)


class ServerLink:
    """A client behind a breaker, which says once that the server is lost or has returned.

    Args:
        client: the server's client, which the link closes.
        breaker: decides when to try.
    """

    def __init__(self, client: RedisClient, breaker: Breaker) -> None:
        self._client = client
        self._breaker = breaker
        self.num_failed = 0
        """The number of calls that were not answered and of commands that were refused."""

    @property
    def is_lost(self) -> bool:
        """Whether the server is taken for lost."""
        return self._breaker.is_open

    def run(self, commands: Sequence[Command]) -> list[Any] | None:
        """Answers in the order of the commands; ``None`` if the server is lost."""
        if not commands:
            return []
        if not self._breaker.allows:
            return None
        try:
            if self._breaker.is_open and not self._client.is_alive():
                raise LinkLostError(f"cache server {self._client.shown_url} is still lost")
            answers = self._client.run(commands)
        except LinkLostError as error:
            self.num_failed += 1
            if self._breaker.fail():
                logger.warning(
                    "%s; going on without it, writes are buffered until it returns", error
                )
            return None
        self._note_success()
        self.num_failed += sum(isinstance(answer, Refusal) for answer in answers)
        return answers

    def retry_now(self) -> bool:
        """Ask the server once, whenever it was lost, and return whether it answers."""
        if not self._client.is_alive():
            return False
        self._note_success()
        return True

    def _note_success(self) -> None:
        if self._breaker.succeed():
            logger.warning("cache server %s has returned", self._client.shown_url)

    def close(self) -> None:
        """Close the client. Idempotent."""
        self._client.close()
