"""Which router is the best of a corpus, judged on validation questions alone. Pure."""

from collections.abc import Sequence

from router_train.study.result import Result

SPLIT = "validation"
FLOOR = 0.0
"""Difference to the plain accuracy that must be reached. Not more: each row's own floor has been cleared on training
questions, with errors, and a few hundred questions of validation could not show a second one."""
RULE = (
    f"on the {SPLIT} split the difference to the plain accuracy is at least {100 * FLOOR:g} points; of those the most "
    "layer applications saved, then the highest accuracy, then the name"
)
"""In words, for the study's text."""


def choose(results: Sequence[Result]) -> Result | None:
    """The best row of one corpus by `RULE`; bounds do not take part. ``None`` if no row clears the floor."""
    judged = [row for row in results if not row.inputs.oracle and SPLIT in row.figures]
    able = [row for row in judged if row.figures[SPLIT].diff >= FLOOR]
    return min(able, key=_rank, default=None)


def _rank(row: Result) -> tuple[float, float, str]:
    figures = row.figures[SPLIT]
    return (-round(figures.layers_saved_share, 9), -round(figures.accuracy_routed, 9), row.full_name)
