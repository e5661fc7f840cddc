"""Which router is the best of a corpus, judged on validation questions alone. Pure."""

from collections.abc import Sequence

from router_train.study.result import Figures, Result

SPLIT = "validation"
FLOOR = 0.0
"""The difference to the plain accuracy that must be reached. It is not higher, because each row's
own floor has been cleared on training questions, with errors, and a few hundred questions of
validation could not show a second one."""
RULE = (
    "of the rows that learn from the whole corpus and change anything, those whose difference to "
    f"the plain accuracy on the {SPLIT} split is at least {100 * FLOOR:g} points; of these the "
    "most layer applications saved, then the highest accuracy, then the name"
)
"""The rule in words, for the study's text. Rows of other sizes show what size is worth; nobody
would use them."""


def choose(results: Sequence[Result]) -> Result | None:
    """The best row of one corpus by `RULE`; ``None`` if there is none.

    Bounds do not take part.
    """
    able = [
        row
        for row in results
        if not row.inputs.oracle
        and row.inputs.config.train_limit is None
        and _is_able(row.figures.get(SPLIT))
    ]
    return min(able, key=_rank, default=None)


def _is_able(figures: Figures | None) -> bool:
    if figures is None:
        return False
    changes = bool(figures.diff or figures.layers_saved_share)
    return changes and figures.diff >= FLOOR


def _rank(row: Result) -> tuple[float, float, str]:
    figures = row.figures[SPLIT]
    return (
        -round(figures.layers_saved_share, 9),
        -round(figures.accuracy_routed, 9),
        row.full_name,
    )
