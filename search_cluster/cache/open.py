"""Opens the verdict store that a redis url names."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from search_cluster.cache.keys import VerdictContext
from search_cluster.cache.memory import MemoryStore
from search_cluster.cache.redis.check import require_usable
from search_cluster.cache.redis.client import RedisClient
from search_cluster.cache.redis.spool import count_waiting
from search_cluster.cache.redis.store import RedisStore
from search_cluster.cache.server.embedded import EmbeddedServer
from search_cluster.cache.store import VerdictStore
from search_cluster.cache.url import is_server_url, redact_url
from search_cluster.errors import ConfigError

EMBEDDED = "embedded"
NONE = "none"
EMBEDDED_FOLDER = "cache"
"""The folder of the embedded server within a run folder."""
SPOOL_FOLDER = "spool"
"""The folder of verdicts that wait for a lost server, within a run folder."""


@contextmanager
def open_store(
    redis_url: str, *, context: VerdictContext, run_dir: Path, may_be_lost: bool = False
) -> Iterator[VerdictStore]:
    """The store for a run, closed at the end of the ``with`` block.

    An embedded server is stopped after it.

    Args:
        redis_url: ``embedded``, ``none``, or a ``redis://``, ``rediss://`` or ``unix://`` URL.
        context: what the verdicts depend on.
        run_dir: the run folder; an embedded server keeps its data in `EMBEDDED_FOLDER` under it,
            and verdicts that a lost server did not take wait in `SPOOL_FOLDER` under it.
        may_be_lost: whether a shared server that does not answer is waited for in use, as one that
            is lost later is.

    Raises:
        ConfigError: ``redis_url`` has none of these forms.
        CacheError: the server can't be started, reached or written to.
    """
    require_known_url(redis_url)
    if redis_url == NONE:
        with closing(MemoryStore()) as memory_store:
            yield memory_store
    elif redis_url == EMBEDDED:
        with (
            EmbeddedServer(run_dir / EMBEDDED_FOLDER) as server,
            closing(
                RedisStore(server.url, context=context, spool_dir=run_dir / SPOOL_FOLDER)
            ) as embedded_store,
        ):
            yield embedded_store
    else:
        shared_store = RedisStore(
            redis_url, context=context, spool_dir=run_dir / SPOOL_FOLDER, may_be_lost=may_be_lost
        )
        with closing(shared_store):
            yield shared_store


def num_waiting(run_dir: Path, context: VerdictContext) -> int:
    """The number of verdicts of a run's closed stores that wait on disk.

    The next store of the run writes them to the server.
    """
    return count_waiting(run_dir / SPOOL_FOLDER, namespace=context.namespace)


def require_usable_url(redis_url: str) -> None:
    """Pass if `open_store` will do with this URL, as far as can be said now.

    A shared server is asked.

    Raises:
        ConfigError: ``redis_url`` has none of the known forms.
        CacheError: the server can't be reached, read or written to.
    """
    require_known_url(redis_url)
    if is_server_url(redis_url):
        with closing(RedisClient(redis_url)) as client:
            require_usable(client)


def require_known_url(redis_url: str) -> None:
    """Pass if `open_store` knows this form; this connects to nothing.

    Raises:
        ConfigError: it does not know the form.
    """
    if redis_url not in (NONE, EMBEDDED) and not is_server_url(redis_url):
        raise ConfigError(
            f"redis url {redact_url(redis_url)!r} is unknown; use 'embedded', 'none', "
            "redis://host:port/db, rediss://user:password@host:port/db or unix:///path/to/socket"
        )
