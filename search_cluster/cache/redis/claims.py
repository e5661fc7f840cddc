"""Claims on verdicts that are being computed, so that two jobs do not compute the same one.

A claim is a key of its own on the server, which forgets it by itself, so a killed job's work is
free a little later. Whoever sets the key first holds the claim (``SET NX PX``). It is asked for
after a look-up that missed, with a second look-up beside, since the verdict may have been written
in between. No script is needed: a cluster can pipeline it, and a user needs no right to run
scripts. Losing a claim costs a second computation at worst: the first writer of a verdict wins.
"""

import secrets
from collections.abc import Callable, Collection, Iterable, Sequence

from search_cluster.cache.keys import claim_key
from search_cluster.cache.redis.client import Command
from search_cluster.cache.redis.write_buffer import WriteKey

CLAIM_TTL_S = 15.0
"""The seconds that a killed job's claims cost the others at most.

It is longer than the longest pause between two renewals."""
RENEWALS_PER_TTL = 3
OWNER_BYTES = 8


class Claims:
    """The claims that one store holds, and the commands for them; this class talks to nobody.

    Args:
        namespace: the namespace of the verdicts.
        claim_ttl_s: seconds until a claim that is not renewed runs out.
        clock: seconds that never run backwards.
    """

    def __init__(self, namespace: str, *, claim_ttl_s: float, clock: Callable[[], float]) -> None:
        self._namespace = namespace
        self._claim_ttl_s = claim_ttl_s
        self._claim_ttl_ms = str(int(1000 * claim_ttl_s))
        self._clock = clock
        self._owner = secrets.token_hex(OWNER_BYTES)
        self._held: set[WriteKey] = set()
        self._renew_at = 0.0

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, key: WriteKey) -> bool:
        return key in self._held

    @property
    def is_renewal_due(self) -> bool:
        """Whether `renewals` should be sent now."""
        return bool(self._held) and self._clock() >= self._renew_at

    def requests(self, keys: Iterable[WriteKey]) -> list[Command]:
        """One command per key; its answer is ``None`` if somebody else holds the claim."""
        return [
            ("SET", self._name(key), self._owner, "NX", "PX", self._claim_ttl_ms) for key in keys
        ]

    def hold(self, keys: Iterable[WriteKey]) -> None:
        """Take note of claims that the server has just granted."""
        # With others held, their earlier time stays: all are renewed together, none of them late.
        if not self._held:
            self._renew_at = self._clock() + self._claim_ttl_s / RENEWALS_PER_TTL
        self._held.update(keys)

    def renewals(self) -> list[Command]:
        """A command for each claim that is held; one that has run out stays so."""
        self._renew_at = self._clock() + self._claim_ttl_s / RENEWALS_PER_TTL
        # The server is not asked whose claim it is. One that has run out and was taken over lives a
        # little longer for it, which matters only if its new owner dies.
        return [("PEXPIRE", self._name(key), self._claim_ttl_ms) for key in self._held]

    def releases(self, keys: Collection[WriteKey]) -> list[Command]:
        """A command for each of these claims that is held."""
        # The race that is left: a claim that has run out may be somebody else's by now, and is
        # deleted all the same. A third store may then compute the verdict once more, and the first
        # writer wins. To compare and delete in one step would take a script.
        return [("DEL", self._name(key)) for key in keys if key in self._held]

    def forget(self, keys: Iterable[WriteKey]) -> None:
        """Take note of claims that are released, or that the server is left to forget."""
        self._held.difference_update(keys)

    def held(self) -> Sequence[WriteKey]:
        """All claims that are held."""
        return list(self._held)

    def _name(self, key: WriteKey) -> bytes:
        return claim_key(self._namespace, *key)
