"""What ``status`` says of a run for people: a line per value, and what is not known yet as such."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from search_cluster.lock import WRITER_LOCK_NAME

BEGUN = "loading the model, or it was stopped before that; nothing was searched yet"
NOT_YET = "not yet"
TO_COME = (
    "examples_total", "identity_accuracy", "found_accuracy", "mean_layers_saved",
    "paths_per_device_hour", "stage", "best",
)  # fmt: skip
"""Values that an unfinished run has not yet, but will have."""
COUNTED = ("paths_searched", "paths_evaluated", "cache_hits", "failures", "device_seconds")
"""Counters, of which a run that has searched nothing has none yet."""


def has_begun(run: Path) -> bool:
    """Whether a run began in a folder, if only to load its model.

    The lock itself can't be asked: to hold it for a moment would turn a run away that begins now.
    """
    return (run / WRITER_LOCK_NAME).is_file()


def search_stage(total: Mapping[str, Any], *, started: bool) -> str:
    """What an unfinished search does, as far as its sessions tell.

    Args:
        total: the sums of its sessions.
        started: whether it has a session.
    """
    if not started:
        return BEGUN
    searched, budget = total.get("paths_searched", 0), total.get("study_budget", 0)
    if budget:
        return (
            f"studying other questions first: {searched:,} of at most {budget:,} paths; the "
            "questions themselves come next"
        )
    if not searched:
        return "beginning; nothing was searched yet"
    return "searching questions"


def status_lines(values: Mapping[str, Any]) -> Iterator[str]:
    """A line per value of ``status``; what there can't be is left out."""
    unfinished = not values["finished"]
    nothing = unfinished and not values.get("paths_evaluated") and not values.get("cache_hits")
    for key, value in values.items():
        if nothing and key in COUNTED and not value:
            value = None  # a zero would read like a result
        if isinstance(value, float):
            yield f"{key}: {round(value, 3)}"
        elif value is not None:
            yield f"{key}: {value}"
        elif unfinished and key in (*TO_COME, *COUNTED):
            yield f"{key}: {NOT_YET}"
