"""The link to a Redis-protocol server: pipelined commands, short time-outs. The only module that imports redis.

Knows nothing about verdicts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import BlockingConnectionPool, Redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from search_cluster.cache.server_url import redact_url
from search_cluster.errors import CacheError

TIMEOUT_S = 1.0
"""For connecting, and for every answer."""
NUM_RETRIES = 3
FIRST_BACKOFF_S = 0.02
MAX_BACKOFF_S = 0.2
MAX_CONNECTIONS = 4
COMMANDS_PER_PIPELINE = 1000
"""Commands sent before their answers are read, so that a large batch neither times out nor fills buffers."""

Command = tuple[str | bytes, ...]
"""Name and arguments of a command."""


class LinkLostError(CacheError):
    """The server did not answer in time, or closed the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What stands in the place of a command's answer if the server refused it."""

    message: str

    @property
    def concerns_key_only(self) -> bool:
        """Whether other keys can be written nevertheless: the key holds another type of value."""
        return self.message.startswith("WRONGTYPE")


class RedisClient:
    """A client for one thread. Connects when first used.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.

    Raises:
        CacheError: the URL is malformed.
    """

    def __init__(self, url: str) -> None:
        self.shown_url = redact_url(url)
        self._patient = self._client(
            url, Retry(ExponentialBackoff(cap=MAX_BACKOFF_S, base=FIRST_BACKOFF_S), NUM_RETRIES)
        )
        self._impatient = self._client(url, Retry(NoBackoff(), 0))

    def __repr__(self) -> str:
        return f"RedisClient({self.shown_url!r})"

    def _client(self, url: str, retry: Retry) -> Any:
        rest = url.partition("://")[2]
        authority = re.split("[/?#]", rest, maxsplit=1)[0]
        try:
            if ":" in authority and "@" not in authority and "@" in rest:
                raise ValueError("a reserved character in the password ends the authority")
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=MAX_CONNECTIONS,
                timeout=TIMEOUT_S,
                socket_timeout=TIMEOUT_S,
                socket_connect_timeout=TIMEOUT_S,
                retry=retry,
                retry_on_error=[RedisConnectionError, RedisTimeoutError],
                protocol=2,
            )
            pool.connection_class(**pool.connection_kwargs)  # Does not connect; refuses unknown options.
        except (ValueError, TypeError):
            # The cause is cut off: it may quote a part of the password.
            raise CacheError(
                f"redis url {self.shown_url} is malformed; write redis://user:password@host:port/db, rediss://... or "
                "unix://user:password@/path with options that redis-py knows; percent-encode reserved characters"
            ) from None
        return Redis(connection_pool=pool)

    def is_alive(self) -> bool:
        """Whether the server answers right now; one attempt, at most about `TIMEOUT_S`."""
        try:
            return bool(self._impatient.ping())
        except RedisError:
            return False

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to commands, in their order; a `Refusal` in the place of an error answer. Retries a few times.

        Raises:
            LinkLostError: the server did not answer; which commands it has executed is unknown.
        """
        answers: list[Any] = []
        for start in range(0, len(commands), COMMANDS_PER_PIPELINE):
            try:
                with self._patient.pipeline(transaction=False) as pipeline:
                    for command in commands[start : start + COMMANDS_PER_PIPELINE]:
                        pipeline.execute_command(*command)
                    answers += pipeline.execute(raise_on_error=False)
            except RedisError as error:
                raise LinkLostError(f"cache server {self.shown_url} does not answer: {error}") from error
        return [Refusal(message=str(answer)) if isinstance(answer, RedisError) else answer for answer in answers]

    def close(self) -> None:
        """Close all connections. Idempotent."""
        self._patient.connection_pool.disconnect()
        self._impatient.connection_pool.disconnect()
