"""Shares as the page is told of them."""

from typing import Any

from search_cluster.corpus.summary import wilson_interval


def share_of(part: int, whole: int) -> dict[str, Any] | None:
    """The share with the bounds of its 95 % Wilson interval; ``None`` of nothing."""
    if not whole:
        return None
    low, high = wilson_interval(part, whole)
    return {"share": part / whole, "low": low, "high": high}
