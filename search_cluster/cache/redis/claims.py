"""Claims on verdicts that are being computed, so that two jobs on one server do not compute the same one.

A lease is a key of its own that the server forgets by itself, so a killed job's work is free a little later. Whoever
sets the key first holds it (``SET NX PX``). It is asked for after a look-up that missed, with a second look-up beside,
since the verdict may have been written in between. No script is needed: a cluster can pipeline it, and a user needs no
right to run scripts. Losing a lease costs a second computation at worst: the first writer of a verdict wins.
"""

import secrets
from collections.abc import Callable, Collection, Iterable, Sequence

from search_cluster.cache.keys import lease_key
from search_cluster.cache.redis.client import Command
from search_cluster.cache.redis.write_buffer import WriteKey

LEASE_S = 15.0
"""What a killed job's leases cost the others at most. Longer than the longest pause between two renewals."""
RENEWALS_PER_LEASE = 3
OWNER_BYTES = 8


class Claims:
    """The leases that one store holds, and the commands for them; talks to nobody.

    Args:
        namespace: of the verdicts.
        lease_s: seconds until a lease that is not renewed runs out.
        clock: seconds that never run backwards.
    """

    def __init__(self, namespace: str, *, lease_s: float, clock: Callable[[], float]) -> None:
        self._namespace = namespace
        self._lease_s = lease_s
        self._lease_ms = str(int(1000 * lease_s))
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
        """One command per key; its answer is ``None`` if somebody else holds the lease."""
        return [("SET", self._name(key), self._owner, "NX", "PX", self._lease_ms) for key in keys]

    def hold(self, keys: Iterable[WriteKey]) -> None:
        """Take note of leases that the server has just granted."""
        if not self._held:
            self._renew_at = self._clock() + self._lease_s / RENEWALS_PER_LEASE
        self._held.update(keys)

    def renewals(self) -> list[Command]:
        """A command for each lease that is held; one that has run out stays so."""
        self._renew_at = self._clock() + self._lease_s / RENEWALS_PER_LEASE
        return [("PEXPIRE", self._name(key), self._lease_ms) for key in self._held]

    def releases(self, keys: Collection[WriteKey]) -> list[Command]:
        """A command for each of these leases that is held."""
        return [("DEL", self._name(key)) for key in keys if key in self._held]

    def forget(self, keys: Iterable[WriteKey]) -> None:
        """Take note of leases that are released, or that the server is left to forget."""
        self._held.difference_update(keys)

    def held(self) -> Sequence[WriteKey]:
        """All leases that are held."""
        return list(self._held)

    def _name(self, key: WriteKey) -> bytes:
        return lease_key(self._namespace, *key)
