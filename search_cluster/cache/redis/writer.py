"""The way of verdicts to the server: what waits, what the server takes, and what was left over."""

import logging
from collections.abc import Callable, Sequence
from itertools import islice

from search_cluster.cache.redis.breaker import Breaker
from search_cluster.cache.redis.claims import Claims
from search_cluster.cache.redis.client import Refusal
from search_cluster.cache.redis.layout import is_verdict, write_commands
from search_cluster.cache.redis.link import ServerLink
from search_cluster.cache.redis.pending_writes import PendingWrites
from search_cluster.cache.redis.spool import Entry, Spool, read_spool
from search_cluster.cache.redis.write_buffer import WriteKey

ENTRIES_PER_FLUSH = 1000
FLUSH_S = 5.0
"""The seconds that one call spends on what waited; the rest goes with the next calls, so that
callers answer and claims are renewed."""

logger = logging.getLogger(__name__)


class VerdictWriter:
    """Writes verdicts and releases their claims; what the server does not take waits.

    Args:
        link: the link to the server.
        claims: the claims that are released with what is written.
        breaker: decides when to try a server that answers but refuses writes. A refusal is no
            glitch, so a single one opens it.
        namespace: the namespace of the verdicts.
        shown_url: the server's URL without its password.
        max_buffered_bytes: the memory for writes that wait.
        spool: the file behind it; ``None`` means memory only.
        clock: seconds that never run backwards.
    """

    def __init__(
        self,
        link: ServerLink,
        claims: Claims,
        breaker: Breaker,
        *,
        namespace: str,
        shown_url: str,
        max_buffered_bytes: int,
        spool: Spool | None,
        clock: Callable[[], float],
    ) -> None:
        self._link = link
        self._claims = claims
        self._breaker = breaker
        self._namespace = namespace
        self._shown_url = shown_url
        self._spool = spool
        self._clock = clock
        self.pending = PendingWrites(max_bytes=max_buffered_bytes, spool=spool)
        self.num_corrupt = 0
        """The number of left-over entries that were no verdicts."""
        self.num_dropped = 0
        """The number of verdicts that are lost."""

    def flush(self, *, anyway: bool = False) -> None:
        """Write what waits, oldest first, as far as the server takes it; keep the rest on disk.

        Args:
            anyway: whether to write also if the server has refused writes a moment ago, and however
                long it takes.
        """
        end_s = float("inf") if anyway else self._clock() + FLUSH_S
        while (anyway or self._breaker.allows) and (
            entries := self.pending.oldest(ENTRIES_PER_FLUSH)
        ):
            written = self._write(entries)
            self.pending.remove(written)
            if len(written) < len(entries) or self._clock() > end_s:
                break
        num_lost = self.pending.settle()
        if num_lost and not self.num_dropped:
            logger.warning(
                "the buffer for cache writes is full; further verdicts are not cached, only counted"
            )
        self.num_dropped += num_lost

    def write_left_over(self) -> None:
        """Write what earlier stores could not; a file goes when all of it is on the server."""
        for path in () if self._spool is None else self._spool.left_over():
            num_written = 0
            entries = read_spool(path)
            while batch := list(islice(entries, ENTRIES_PER_FLUSH)):
                good = [(key, value) for key, value in batch if is_verdict(value)]
                self.num_corrupt += len(batch) - len(good)
                if len(self._write(good)) < len(good):
                    # The server does not take them, so the file stays. What it took will be written
                    # again later, which changes nothing: the first writer wins.
                    return
                num_written += len(good)
            path.unlink()
            logger.warning(
                "%d verdicts that waited in %s are written to the cache server", num_written, path
            )

    def close(self) -> None:
        """Leave what could not be written on disk, or count it as dropped. It is idempotent."""
        num_waiting = len(self.pending)
        num_lost = self.pending.close()
        if num_lost:
            logger.warning(
                "%d verdicts were not cached: %s did not take them", num_lost, self._shown_url
            )
            self.num_dropped += num_lost
        if num_waiting > num_lost and self._spool is not None:
            logger.warning(
                "%d verdicts that %s did not take wait in %s until the same command is run again",
                num_waiting - num_lost,
                self._shown_url,
                self._spool.path,
            )

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
            self._breaker.succeed()
        elif self._breaker.fail():
            message = next(iter(refused.values())).message
            logger.warning("%s refuses writes: %s; they are buffered", self._shown_url, message)
        return written
