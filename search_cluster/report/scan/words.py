"""Gains, intervals and paths as texts, the same on the page, in the dashboard and on a terminal."""

from collections.abc import Mapping
from typing import Any

from search_cluster.scan.result import CandidateSummary, Finalist, ScanResult, Standing

SMALLEST_P = 0.001
"""Smaller p-values are said to be below it: resampling can't tell how far."""


def points(gain: float) -> str:
    """A difference of accuracy in percentage points, with its sign."""
    return f"{100 * gain:+.1f}"


def span(standing: Standing) -> str:
    """The ends of a gain's interval, in points."""
    return f"{points(standing.low)} to {points(standing.high)}"


def gain_text(standing: Standing) -> str:
    """A gain with its interval and its questions, within a sentence."""
    return f"{points(standing.gain)} points ({span(standing)}) on {standing.num_questions:,}"


def facts_text(standing: Standing) -> str:
    """How many facts the questions ask for, to be said behind their number; empty if each another.

    Intervals count facts, so that 492 questions of 82 facts say less than 492 others.
    """
    if standing.num_facts is None or standing.num_facts == standing.num_questions:
        return ""
    return f" of {standing.num_facts:,} facts"


def p_text(p: float) -> str:
    """A p-value to two digits."""
    return f"< {SMALLEST_P:g}" if p < SMALLEST_P else f"{p:.2g}"


def edits_text(summary: CandidateSummary) -> str:
    """What was done to the plain path; the path itself where no edits make it."""
    return ", ".join(map(str, summary.edits)) or f"path {summary.path}"


def number_of_layers(layers: float) -> str:
    """What a path costs in layers, to a hundredth of one."""
    return f"{round(layers, 2):g}"


def layers_text(layers: float, num_layers: int) -> str:
    """What a path costs in layers, beside the plain model."""
    return f"{number_of_layers(layers)} of {num_layers}"


def change_text(layers: float, num_layers: int) -> str:
    """What that is in comparison."""
    if layers == num_layers:
        return "as many layers as the plain model"
    share = f"{abs(layers - num_layers) / num_layers:.0%}"
    fewer = num_layers - layers
    word = "layer" if abs(fewer) == 1 else "layers"
    change = number_of_layers(abs(fewer))
    return f"{change} {word} {'fewer' if fewer > 0 else 'more'} ({share})"


def seconds_text(seconds: float) -> str:
    """Seconds as coarse as one reads them."""
    for limit, unit, size in ((90, "s", 1), (5400, "min", 60)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} days"


def took_text(run: Mapping[str, Any]) -> str:
    """How long a run took, behind what it did: ``; 12 min with 2 workers``; empty if not known.

    Args:
        run: the sums of its sessions; missing keys are left out.
    """
    elapsed_s, workers = run.get("elapsed_seconds"), run.get("workers")
    if not isinstance(elapsed_s, int | float) or not elapsed_s:
        return ""
    text = f"; {seconds_text(elapsed_s)}"
    if isinstance(workers, int) and workers:
        text += f" with {workers} worker{'s' if workers > 1 else ''}"
    return text


def is_better(standing: Standing) -> bool:
    """Whether the whole interval says that the path is better."""
    return standing.low > 0


def is_worse(standing: Standing) -> bool:
    """Whether the whole interval says that the path is worse."""
    return standing.high < 0


def kind_of(standing: Standing) -> str:
    """The style of what an interval says; empty if it says nothing."""
    return "right" if is_better(standing) else "wrong" if is_worse(standing) else ""


def chosen_finalist(result: ScanResult) -> Finalist | None:
    """The finalist that is reported; ``None`` if that is the plain model."""
    return next((item for item in result.finalists if item.summary.path == result.chosen), None)
