"""One sentence about a scan for whoever pays for the model: layers, right answers, time."""

from search_cluster.report.scan.words import (
    chosen_finalist,
    edits_text,
    layers_text,
    points,
)
from search_cluster.scan.result import Finalist, ScanResult, Standing


def in_short(result: ScanResult) -> str:
    """What a scan is worth: the sure path, or else why the plain model stays."""
    chosen = chosen_finalist(result)
    if result.sure and chosen is not None and chosen.test is not None:
        return f"{_offer(chosen, chosen.test, result)}."
    best = next((item for item in result.finalists if item.test is not None), None)
    if best is None or best.test is None:
        return "The plain model stays: no path was worth a look at test."
    return (
        f"Nothing is sure, so the plain model stays. The best path, {edits_text(best.summary)}, "
        f"has {_offer(best, best.test, result)}."
    )


def _offer(finalist: Finalist, test: Standing, result: ScanResult) -> str:
    looked = "fresh questions" if result.test_uses <= 1 else "questions of test, not its first look"
    return (
        f"{layers_text(finalist.summary.layers, result.num_layers)} layers, "
        f"{_share(test.accuracy)} instead of {_share(test.plain_accuracy)} right on "
        f"{test.num_questions:,} {looked} ({points(test.low)} to {points(test.high)} points)"
        f"{_speed(finalist)}"
    )


def _share(accuracy: float) -> str:
    return f"{100 * accuracy:.1f} %"


def _speed(finalist: Finalist) -> str:
    """How much faster it is on this machine; nothing where it was not measured."""
    if not finalist.timings:
        return ""
    first = min(finalist.timings, key=lambda item: item.batch)
    times = first.plain_seconds / first.seconds
    return f", {times:.2f} times as fast at batch {first.batch}"
