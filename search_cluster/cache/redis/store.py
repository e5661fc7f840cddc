"""A verdict store on a Redis-protocol server (Redis 6.2 or later, Valkey).

Reads are one HMGET per example, writes HSETNX (`layout`), all pipelined: one round trip, and one
more for misses to claim them (`claims`). While the server is lost (`link`), reads are misses and
writes wait in a bounded buffer, and in a file for the next run, should this one end first. A server
that answers but refuses writes (full, failed over to a replica) is still read.
"""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from search_cluster.cache.codec import encode_verdict
from search_cluster.cache.keys import (
    STORED_APART,
    VerdictContext,
    apart_key,
    context_key,
    example_key,
)
from search_cluster.cache.redis.breaker import Breaker
from search_cluster.cache.redis.check import first_refusal, require_usable
from search_cluster.cache.redis.claims import CLAIM_TTL_S, Claims
from search_cluster.cache.redis.client import RedisClient
from search_cluster.cache.redis.layout import (
    KeyOf,
    decode_all,
    delete_commands,
    read_commands,
    read_values,
)
from search_cluster.cache.redis.link import ServerLink
from search_cluster.cache.redis.spool import Spool
from search_cluster.cache.redis.write_buffer import WriteKey
from search_cluster.cache.redis.writer import VerdictWriter
from search_cluster.cache.store import Claim, StoreErrors
from search_cluster.errors import InvalidPathError
from search_cluster.paths.codec import encode_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.verdict import Verdict

FAILURES_TO_OPEN = 2
"""The number of calls in a row without an answer, each with its retries, until the server is taken
for lost (8 s if it hangs)."""
MAX_PROBE_WAIT_S = 60.0
logger = logging.getLogger(__name__)


class RedisStore:
    """Implements `VerdictStore` on a server. One thread owns it; `close` writes what still waits.

    Args:
        url: a ``redis://``, ``rediss://`` or ``unix://`` URL, with ``user:password@`` where the
            server wants it.
        context: what all verdicts of this store depend on.
        spool_dir: where writes that wait for a lost server are kept on disk, too; what earlier
            stores left there is written to the server at once. ``None`` means nowhere.
        max_buffered_bytes: the memory for writes that wait; beyond it they are on disk only, or
            dropped and counted.
        probe_after_s: seconds from losing the server to the first attempt to return; it doubles up
            to `MAX_PROBE_WAIT_S`.
        claim_ttl_s: seconds after which others compute what this store claimed and did not keep
            claiming.
        may_be_lost: whether a server that does not answer is taken for lost, and its return waited
            for in use.
        clock: seconds that never run backwards.

    Raises:
        CacheError: the server can't be reached, refuses the user, or can't be written to (unless it
            ``may_be_lost``).
    """

    def __init__(
        self,
        url: str,
        *,
        context: VerdictContext,
        spool_dir: Path | None = None,
        max_buffered_bytes: int = 64 * 2**20,
        probe_after_s: float = 2.0,
        claim_ttl_s: float = CLAIM_TTL_S,
        may_be_lost: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        client = RedisClient(url)
        self._shown_url = client.shown_url
        self._namespace = context.namespace
        self._num_layers = context.num_layers
        self._claims = Claims(context.namespace, claim_ttl_s=claim_ttl_s, clock=clock)
        waits: dict[str, Any] = {
            "first_wait_s": probe_after_s,
            "max_wait_s": MAX_PROBE_WAIT_S,
            "clock": clock,
        }
        # Two ways to fail: a server that does not answer is left alone altogether, and one that
        # answers but refuses writes is still read.
        self._link = ServerLink(client, Breaker(max_failures=FAILURES_TO_OPEN, **waits))
        self._writer = VerdictWriter(
            self._link,
            self._claims,
            Breaker(max_failures=1, **waits),
            namespace=context.namespace,
            shown_url=client.shown_url,
            max_buffered_bytes=max_buffered_bytes,
            spool=None if spool_dir is None else Spool(spool_dir, namespace=context.namespace),
            clock=clock,
        )
        self._reads_refused = False
        self._num_corrupt = 0
        if not may_be_lost:
            require_usable(client)
        self._link.run([("SET", context_key(context.namespace), context.canonical_json())])
        self._writer.write_left_over()

    def __repr__(self) -> str:
        return f"RedisStore({self._shown_url!r}, namespace={self._namespace!r})"

    @property
    def errors(self) -> StoreErrors:
        """Counters since the store was opened."""
        return StoreErrors(
            num_corrupt=self._num_corrupt + self._writer.num_corrupt,
            num_failed=self._link.num_failed,
            num_buffered=len(self._writer.pending),
            num_dropped=self._writer.num_dropped,
        )

    def get_many(self, items: Sequence[tuple[str, LayerPath]]) -> list[Verdict | None]:
        """See `VerdictStore`.

        Raises:
            InvalidPathError: a path belongs to a model of another depth than the context's.
        """
        wanted = self._write_keys(items)
        verdicts = self._look_up(wanted)
        self._writer.flush()  # No thread writes what waits: each call takes some of it along.
        return [verdicts.get(key) for key in wanted]

    def claim_many(self, items: Sequence[tuple[str, LayerPath]]) -> list[Verdict | Claim]:
        """See `VerdictStore`.

        Raises:
            InvalidPathError: a path belongs to a model of another depth than the context's.
        """
        wanted = self._write_keys(items)
        verdicts = self._look_up(wanted)
        self._writer.flush()
        # What this store holds itself is not asked for again: the server would say that it is
        # taken.
        theirs, late = self._claim_missing(
            [key for key in wanted if key not in verdicts and key not in self._claims]
        )
        verdicts |= late
        return [verdicts.get(key, Claim.THEIRS if key in theirs else Claim.OURS) for key in wanted]

    def keep_claims(self) -> None:
        """See `VerdictStore`."""
        if self._claims.is_renewal_due:
            self._link.run(self._claims.renewals())

    def release_many(self, items: Sequence[tuple[str, LayerPath]]) -> None:
        """See `VerdictStore`."""
        self._release(self._write_keys(items))

    def put_many(self, items: Sequence[tuple[str, LayerPath, Verdict]]) -> None:
        """See `VerdictStore`.

        Raises:
            InvalidPathError: a path belongs to a model of another depth than the context's.
        """
        for example_id, path, verdict in items:
            self._writer.pending.add((example_id, self._field(path)), encode_verdict(verdict))
        self._writer.flush()

    def close(self) -> None:
        """See `VerdictStore`. What could not be written waits on disk, or is counted as dropped.

        It is idempotent.
        """
        if len(self._writer.pending) and self._link.retry_now():
            self._writer.flush(anyway=True)
        if not (len(self._writer.pending) or self._link.is_lost):
            self._writer.write_left_over()  # Of stores that died while this one was open.
        self._writer.close()
        # After the writes, which release what they write: whoever is granted what is left must not
        # be able to miss a verdict that is about to come. A lost server forgets the claims by
        # itself.
        if not self._link.is_lost:
            self._release(self._claims.held())
        self._link.close()

    def _field(self, path: LayerPath) -> bytes:
        if path.num_layers != self._num_layers:
            raise InvalidPathError(
                f"path {path} is of a model of {path.num_layers} layers; this cache is of one of "
                f"{self._num_layers}"
            )
        return encode_path(path)

    def _write_keys(self, items: Sequence[tuple[str, LayerPath]]) -> list[WriteKey]:
        return [(example_id, self._field(path)) for example_id, path in items]

    def _look_up(self, wanted: Sequence[WriteKey]) -> dict[WriteKey, Verdict]:
        """The verdicts that the server has; values that are none are counted and removed."""
        values = self._read(example_key, wanted)
        apart = [key for key in wanted if values.get(key) == STORED_APART]
        values |= {key: None for key in apart} | self._read(apart_key, apart)
        verdicts, corrupt = decode_all(values)
        if corrupt:  # They are removed, since HSETNX would never replace them by good ones.
            self._num_corrupt += len(corrupt)
            self._link.run(delete_commands(self._namespace, corrupt))
        return verdicts

    def _claim_missing(
        self, missing: Sequence[WriteKey]
    ) -> tuple[set[WriteKey], dict[WriteKey, Verdict]]:
        """Ask for the claims on verdicts that a look-up missed.

        Returns:
            The keys that somebody else has claimed, and the verdicts that were put in the meantime.
        """
        # The second look-up stands behind the claims in one pipeline, and a verdict is written
        # before its claim is released (`VerdictWriter`). So whoever is granted a claim that another
        # store has just released sees that one's verdict here, although the look-up before had
        # missed it. On a cluster both keys are in one slot, which keeps their order.
        requests = self._claims.requests(missing)
        reads, fields = read_commands(example_key, self._namespace, missing)
        answers = self._link.run([*requests, *reads])
        if answers is None:  # Without a server everybody computes for themselves.
            return set(), {}
        by_key = dict(zip(missing, answers[: len(requests)], strict=True))
        # A refused claim is neither theirs nor held: the verdict is computed here without one.
        theirs = {key for key, answer in by_key.items() if answer is None}
        self._claims.hold(key for key, answer in by_key.items() if answer is True)
        values = read_values(fields, answers[len(requests) :])
        late = [key for key, value in values.items() if value is not None]
        verdicts = self._look_up(late) if late else {}
        self._release(verdicts)
        return theirs, verdicts

    def _release(self, keys: Collection[WriteKey]) -> None:
        self._link.run(self._claims.releases(keys))
        self._claims.forget(keys)

    def _read(self, key_of: KeyOf, wanted: Sequence[WriteKey]) -> dict[WriteKey, bytes | None]:
        """The raw values that the server has; an empty dict if it is lost."""
        commands, fields = read_commands(key_of, self._namespace, wanted)
        answers = self._link.run(commands) or ()
        refused = first_refusal(answers)
        if refused is not None and not self._reads_refused:
            logger.warning(
                "%s refuses reads: %s; what it holds is computed again",
                self._shown_url,
                refused.message,
            )
        self._reads_refused = refused is not None or (self._reads_refused and not answers)
        return read_values(fields, answers)
