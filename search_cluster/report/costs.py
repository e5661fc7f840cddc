"""What a run cost and how well its devices were used, in words: the same rows on every page."""

from collections.abc import Mapping
from typing import Any

from search_cluster.telemetry.price import cost_text
from search_cluster.telemetry.run_counters import recheck_share, share_of_peak


def cost_rows(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of what is known: use of the devices' arithmetic, rechecks, money.

    Args:
        run: the sums of a run's sessions; it may lack keys.
    """
    held_s, num_rows = run.get("device_seconds") or 0.0, run.get("layer_rows") or 0
    rows = {
        "of a plain product's arithmetic on the same devices": _percent(share_of_peak(run)),
        "layer rows a second and device": f"{num_rows / held_s:,.0f}"
        if num_rows and held_s
        else None,
        "of the busy time taken by verdicts computed again": _percent(recheck_share(run))
        if run.get("tie_rechecks")
        else None,
        "cost": cost_text(run),
    }
    return [(what, text) for what, text in rows.items() if text is not None]


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"
