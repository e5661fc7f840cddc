"""The verdict store: what every implementation promises."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.verdict import Verdict


class Claim(Enum):
    """What `VerdictStore.claim_many` says of a verdict that is not there."""

    OURS = "ours"
    """Compute it; others wait until it is put, released, or not kept any more."""
    THEIRS = "theirs"
    """Somebody else computes it; ask again a little later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreErrors:
    """What went wrong in a store since it was opened. A store that degrades goes on and counts."""

    num_corrupt: int = 0
    """The number of values that did not decode; each was a miss and was removed."""
    num_failed: int = 0
    """The number of calls and commands that the server did not answer, or refused."""
    num_buffered: int = 0
    """The number of verdicts that wait for the server right now, in memory or on disk."""
    num_dropped: int = 0
    """The number of verdicts that are lost: no room was left in memory or on disk, or the server
    had not returned at the end."""


class VerdictStore(Protocol):
    """Verdicts by (example id, path), within one `VerdictContext`. One thread owns a store.

    A lost server is never an error of a call: reads are misses, writes wait in a bounded buffer,
    `errors` counts.
    """

    @property
    def errors(self) -> StoreErrors:
        """Counters since the store was opened."""
        ...

    def get_many(self, items: Sequence[tuple[str, LayerPath]]) -> list[Verdict | None]:
        """The verdicts of (example id, path) pairs, in order; ``None`` where there is none."""
        ...

    def claim_many(self, items: Sequence[tuple[str, LayerPath]]) -> list[Verdict | Claim]:
        """The verdicts of different (example id, path) pairs, in their order.

        Where there is none, the answer says who computes it. Without a server that others use, and
        while it is lost, all is `Claim.OURS`.
        """
        ...

    def keep_claims(self) -> None:
        """Keep what was claimed from running out.

        Call it every second or so while anything is being computed.
        """
        ...

    def release_many(self, items: Sequence[tuple[str, LayerPath]]) -> None:
        """Let others compute what was claimed and will not be put."""
        ...

    def put_many(self, items: Sequence[tuple[str, LayerPath, Verdict]]) -> None:
        """Store verdicts and release them. The first writer wins: an existing verdict stays."""
        ...

    def close(self) -> None:
        """Write what waits, if the server is there, release what is claimed, and let go of it.

        It is idempotent.
        """
        ...
