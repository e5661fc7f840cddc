"""A verdict store on a Redis-protocol server (Redis 6.2 or later, Valkey).

Reads are one HMGET per example, writes HSETNX (`layout`), all pipelined: one round trip, and one
more for misses to claim them (`claims`). While the server is lost (`link`), reads are misses and
writes wait in a bounded buffer, and in a file for the next run, should this one end first. A server
that answers but refuses writes (full, failed over to a replica) is still read.
"""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from itertools import islice
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
from search_cluster.cache.redis.client import RedisClient, Refusal
from search_cluster.cache.redis.layout import (
    KeyOf,
    decode_all,
    delete_commands,
    is_verdict,
    read_commands,
    read_values,
    write_commands,
)
from search_cluster.cache.redis.link import ServerLink
from search_cluster.cache.redis.pending_writes import PendingWrites
from search_cluster.cache.redis.spool import Entry, Spool, read_spool
from search_cluster.cache.redis.write_buffer import WriteKey
from search_cluster.cache.store import Claim, StoreErrors
from search_cluster.errors import InvalidPathError
from search_cluster.paths.codec import encode_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.verdict import Verdict

FAILURES_TO_OPEN = 2
"""The number of calls in a row without an answer, each with its retries, until the server is taken
for lost (8 s if it hangs)."""
MAX_PROBE_WAIT_S = 60.0
ENTRIES_PER_FLUSH = 1000
FLUSH_S = 5.0
"""The seconds that one call spends on what waited; the rest goes with the next calls, so that
callers answer and claims are renewed."""

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
        self._clock = clock
        self._namespace = context.namespace
        self._num_layers = context.num_layers
        spool = None if spool_dir is None else Spool(spool_dir, namespace=context.namespace)
        self._spool = spool
        self._pending = PendingWrites(max_bytes=max_buffered_bytes, spool=spool)
        self._claims = Claims(context.namespace, claim_ttl_s=claim_ttl_s, clock=clock)
        waits: dict[str, Any] = {
            "first_wait_s": probe_after_s,
            "max_wait_s": MAX_PROBE_WAIT_S,
            "clock": clock,
        }
        # Two ways to fail: a server that does not answer is left alone altogether, and one that
        # answers but refuses writes is still read. A refusal is no glitch, so a single one is
        # enough.
        self._link = ServerLink(client, Breaker(max_failures=FAILURES_TO_OPEN, **waits))
        self._writes = Breaker(max_failures=1, **waits)
        self._reads_refused = False
        self._num_corrupt = self._num_dropped = 0
        if not may_be_lost:
            require_usable(client)
        self._link.run([("SET", context_key(context.namespace), context.canonical_json())])
        self._write_left_over()

    def __repr__(self) -> str:
        return f"RedisStore({self._shown_url!r}, namespace={self._namespace!r})"

    @property
    def errors(self) -> StoreErrors:
        """Counters since the store was opened."""
        return StoreErrors(
            num_corrupt=self._num_corrupt,
            num_failed=self._link.num_failed,
            num_buffered=len(self._pending),
            num_dropped=self._num_dropped,
        )

    def get_many(self, items: Sequence[tuple[str, LayerPath]]) -> list[Verdict | None]:
        """As the protocol says.

        Raises:
            InvalidPathError: a path belongs to a model of another depth than the context's.
        """
        wanted = self._write_keys(items)
        verdicts = self._look_up(wanted)
        self._flush()  # No thread writes what waits: each call takes some of it along.
        return [verdicts.get(key) for key in wanted]

    def claim_many(self, items: Sequence[tuple[str, LayerPath]]) -> list[Verdict | Claim]:
        """As the protocol says.

        Raises:
            InvalidPathError: a path belongs to a model of another depth than the context's.
        """
        wanted = self._write_keys(items)
        verdicts = self._look_up(wanted)
        self._flush()
        # What this store holds itself is not asked for again: the server would say that it is
        # taken.
        theirs, late = self._claim_missing(
            [key for key in wanted if key not in verdicts and key not in self._claims]
        )
        verdicts |= late
        return [verdicts.get(key, Claim.THEIRS if key in theirs else Claim.OURS) for key in wanted]

    def keep_claims(self) -> None:
        """As the protocol says."""
        if self._claims.is_renewal_due:
            self._link.run(self._claims.renewals())

    def release_many(self, items: Sequence[tuple[str, LayerPath]]) -> None:
        """As the protocol says."""
        self._release(self._write_keys(items))

    def put_many(self, items: Sequence[tuple[str, LayerPath, Verdict]]) -> None:
        """As the protocol says.

        Raises:
            InvalidPathError: a path belongs to a model of another depth than the context's.
        """
        for example_id, path, verdict in items:
            self._pending.add((example_id, self._field(path)), encode_verdict(verdict))
        self._flush()

    def close(self) -> None:
        """As the protocol says. What could not be written waits on disk, or is counted as dropped.

        It is idempotent.
        """
        if len(self._pending) and self._link.retry_now():
            self._flush(anyway=True)
        if not (len(self._pending) or self._link.is_lost):
            self._write_left_over()  # What stores have left that died while this one was open.
        num_waiting = len(self._pending)
        num_lost = self._pending.close()
        if num_lost:
            logger.warning(
                "%d verdicts were not cached: %s did not take them", num_lost, self._shown_url
            )
            self._num_dropped += num_lost
        if num_waiting > num_lost and self._spool is not None:
            logger.warning(
                "%d verdicts that %s did not take wait in %s until the same command is run again",
                num_waiting - num_lost,
                self._shown_url,
                self._spool.path,
            )
        # After the writes, which release what they write: whoever is granted what is left must not
        # be able to miss a verdict that is about to come. A lost server forgets the claims by
        # itself.
        if not self._link.is_lost:
            self._release(self._claims.held())
        self._link.close()

    def _write_left_over(self) -> None:
        """Write what earlier stores could not; a file goes when all of it is on the server."""
        for path in () if self._spool is None else self._spool.left_over():
            num_written = 0
            entries = read_spool(path)
            while batch := list(islice(entries, ENTRIES_PER_FLUSH)):
                good = [(key, value) for key, value in batch if is_verdict(value)]
                self._num_corrupt += len(batch) - len(good)
                if len(self._write(good)) < len(good):
                    # The server does not take them, so the file stays. What it took will be written
                    # again later, which changes nothing: the first writer wins.
                    return
                num_written += len(good)
            path.unlink()
            logger.warning(
                "%d verdicts that waited in %s are written to the cache server", num_written, path
            )

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
        # before its claim is released (`_write`). So whoever is granted a claim that another store
        # has just released sees that one's verdict here, although the look-up before had missed it.
        # On a cluster both keys are in one slot, which keeps their order.
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

    def _flush(self, *, anyway: bool = False) -> None:
        """Write what waits, oldest first, as far as the server takes it; keep the rest on disk.

        Args:
            anyway: whether to write also if the server has refused writes a moment ago, and however
                long it takes.
        """
        end_s = float("inf") if anyway else self._clock() + FLUSH_S
        while (anyway or self._writes.allows) and (
            entries := self._pending.oldest(ENTRIES_PER_FLUSH)
        ):
            written = self._write(entries)
            self._pending.remove(written)
            if len(written) < len(entries) or self._clock() > end_s:
                break
        num_lost = self._pending.settle()
        if num_lost and not self._num_dropped:
            logger.warning(
                "the buffer for cache writes is full; further verdicts are not cached, only counted"
            )
        self._num_dropped += num_lost

    def _write(self, entries: Sequence[Entry]) -> list[WriteKey]:
        """Write and release some entries, and return the keys of those that the server took."""
        commands = [
            (key, command)
            for key, value in entries
            for command in write_commands(self._namespace, key, value)
        ]
        # After the writes: whoever is granted a claim that was released has to see the verdict.
        commands += [
            (key, command) for key, _ in entries for command in self._claims.releases([key])
        ]
        answers = self._link.run([command for _, command in commands])
        if answers is None:
            return []
        # A key that holds another type of value would be refused for ever; it counts as written, so
        # that it does not keep the verdicts behind it waiting.
        refused = {
            key: answer
            for (key, _), answer in zip(commands, answers, strict=True)
            if isinstance(answer, Refusal) and not answer.concerns_key_only
        }
        written = [key for key, _ in entries if key not in refused]
        self._claims.forget(written)
        if not refused:
            self._writes.succeed()
        elif self._writes.fail():
            message = next(iter(refused.values())).message
            logger.warning("%s refuses writes: %s; they are buffered", self._shown_url, message)
        return written
