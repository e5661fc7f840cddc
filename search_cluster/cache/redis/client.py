"""A client of a Redis-protocol server or cluster: pipelined commands, short time-outs.

It is the only module that imports redis, and it knows nothing about verdicts.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis import BlockingConnectionPool, Redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from search_cluster.cache.url import redact_url
from search_cluster.errors import CacheError

TIMEOUT_S = 1.0
"""The time-out for connecting, and for every answer."""
NUM_RETRIES = 3
FIRST_BACKOFF_S = 0.02
MAX_BACKOFF_S = 0.2
MAX_CONNECTIONS = 4
COMMANDS_PER_PIPELINE = 1000
"""The number of commands sent before their answers are read, so that a large batch neither times
out nor fills buffers."""

KEYS_PER_SCAN = 1000

Command = tuple[str | bytes, ...]
"""The name and the arguments of a command."""


class LinkLostError(CacheError):
    """The server did not answer in time, or closed the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What stands in the place of a command's answer if the server refused it."""

    message: str

    @property
    def concerns_key_only(self) -> bool:
        """Whether other keys can be written nevertheless: this one holds another type of value."""
        return self.message.startswith("WRONGTYPE")


class RedisClient:
    """A client for one thread, which connects when first used.

    It then asks whether the server is a node of a cluster.

    Args:
        url: a ``redis://``, ``rediss://`` or ``unix://`` URL; any node's of a cluster.

    Raises:
        CacheError: the URL is malformed.
    """

    def __init__(self, url: str) -> None:
        self.shown_url = redact_url(url)
        self._patient = self._client(url, _patience())
        self._impatient = self._client(url, Retry(NoBackoff(), 0))
        self._url = url
        self._is_single: bool | None = None
        self._cluster: Any = None

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
                retry_on_error=[RedisConnectionError, RedisTimeoutError],
                **_options(retry),
            )
            # This does not connect, but refuses unknown options.
            pool.connection_class(**pool.connection_kwargs)
        except (ValueError, TypeError):
            # The cause is cut off: it may quote a part of the password.
            raise CacheError(
                f"redis url {self.shown_url} is malformed; write "
                "redis://user:password@host:port/db, rediss://... or unix://user:password@/path "
                "with options that redis-py knows; percent-encode reserved characters"
            ) from None
        return Redis(connection_pool=pool)

    def is_alive(self) -> bool:
        """Whether the server, or a node of the cluster, answers right now.

        It makes one attempt, which takes about `TIMEOUT_S` at most.
        """
        try:
            return bool((self._cluster or self._impatient).ping())
        except (RedisError, RedisClusterException):
            return False

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to commands, in their order; an error answer comes as a `Refusal`.

        Commands are retried a few times. On a cluster only commands with the same hash tag are
        executed in their order.

        Raises:
            LinkLostError: the server, or a node of the cluster, did not answer; what was executed
                is unknown.
        """
        answers: list[Any] = []
        for start in range(0, len(commands), COMMANDS_PER_PIPELINE):
            try:
                with self._server().pipeline(transaction=False) as pipeline:
                    for command in commands[start : start + COMMANDS_PER_PIPELINE]:
                        pipeline.execute_command(*command)
                    answers += pipeline.execute(raise_on_error=False)
            except (RedisError, RedisClusterException) as error:
                raise self._lost(error) from error
        return [
            Refusal(message=str(answer)) if isinstance(answer, RedisError) else answer
            for answer in answers
        ]

    def scan(self, pattern: str) -> Iterator[bytes]:
        """The keys that match, of all nodes; some may come twice.

        Raises:
            LinkLostError: the server did not answer.
            CacheError: it refuses to list keys.
        """
        try:
            yield from self._server().scan_iter(match=pattern, count=KEYS_PER_SCAN)
        except ResponseError as error:
            raise CacheError(
                f"cache server {self.shown_url} refuses SCAN: {error}; give the user +scan"
            ) from error
        except (RedisError, RedisClusterException) as error:
            raise self._lost(error) from error

    def info(self) -> list[dict[str, Any]]:
        """What each primary says of itself; empty if the user may not ask.

        Raises:
            LinkLostError: a server did not answer.
        """
        try:
            server = self._server()
            if self._is_single:
                return [server.info()]
            return list(server.info(target_nodes=RedisCluster.PRIMARIES).values())
        except ResponseError:
            return []
        except (RedisError, RedisClusterException) as error:
            raise self._lost(error) from error

    def close(self) -> None:
        """Close all connections. Idempotent."""
        self._patient.connection_pool.disconnect()
        self._impatient.connection_pool.disconnect()
        if self._cluster is not None:
            self._cluster.close()

    def _server(self) -> Any:
        """What takes commands: the client of one server, or of a cluster."""
        if self._is_single is None:
            self._is_single = not self._is_cluster_node()
        if self._is_single:
            return self._patient
        if self._cluster is None:
            self._cluster = RedisCluster.from_url(
                self._url,
                max_connections=MAX_CONNECTIONS,
                **_options(_patience()),
                require_full_coverage=False,
            )
        return self._cluster

    def _is_cluster_node(self) -> bool:
        try:
            answer = self._patient.execute_command("HELLO")
        except ResponseError:  # It does not know the command, or refuses it to this user.
            return False
        facts = dict(zip(answer[::2], answer[1::2], strict=False))
        return facts.get(b"mode") == b"cluster"

    def _lost(self, error: Exception) -> LinkLostError:
        return LinkLostError(f"cache server {self.shown_url} does not answer: {error}")


def _patience() -> Retry:
    return Retry(ExponentialBackoff(cap=MAX_BACKOFF_S, base=FIRST_BACKOFF_S), NUM_RETRIES)


def _options(retry: Retry) -> dict[str, Any]:
    return {
        "socket_timeout": TIMEOUT_S,
        "socket_connect_timeout": TIMEOUT_S,
        "retry": retry,
        "protocol": 2,
    }
