"""A verdict store in this process's memory: nothing outlives it."""

from collections.abc import Sequence

from search_cluster.cache.store import Claim, StoreErrors
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.verdict import Verdict


class MemoryStore:
    """Implements `VerdictStore` with an unbounded dict."""

    def __init__(self) -> None:
        self._verdicts: dict[tuple[str, LayerPath], Verdict] = {}

    @property
    def errors(self) -> StoreErrors:
        """Nothing can go wrong here."""
        return StoreErrors()

    def get_many(self, items: Sequence[tuple[str, LayerPath]]) -> list[Verdict | None]:
        """See `VerdictStore`."""
        return [self._verdicts.get(item) for item in items]

    def claim_many(self, items: Sequence[tuple[str, LayerPath]]) -> list[Verdict | Claim]:
        """See `VerdictStore`; there is nobody else."""
        return [self._verdicts.get(item, Claim.OURS) for item in items]

    def keep_claims(self) -> None:
        """Nothing runs out."""

    def release_many(self, items: Sequence[tuple[str, LayerPath]]) -> None:
        """Nobody waits."""

    def put_many(self, items: Sequence[tuple[str, LayerPath, Verdict]]) -> None:
        """See `VerdictStore`."""
        for example_id, path, verdict in items:
            self._verdicts.setdefault((example_id, path), verdict)

    def close(self) -> None:
        """Forget everything."""
        self._verdicts.clear()
