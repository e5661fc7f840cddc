"""The tables of a depth study's controls."""

from collections.abc import Iterable

from search_cluster.depth.result import DepthResult
from search_cluster.report.depth.numbers import number, point, verdict_of
from search_cluster.report.depth.table import DepthTable


def control_tables(result: DepthResult) -> Iterable[DepthTable]:
    """All tables of controls, some of which have no rows."""
    controls = () if result.questions is None else result.questions.order_controls
    yield DepthTable(
        id="orders",
        title="Choices in another order, and with other letters",
        caption="At the end, beside the usual form of the same questions; later in layers. Right "
        "and wrong: the usual answer.",
        columns=(
            "options",
            "form",
            "lens",
            "answer",
            "same text",
            "same place",
            "text - place",
            "collected later",
            "decided later",
            "n",
        ),
        rows=tuple(
            (
                item.options,
                item.form,
                item.lens,
                item.case,
                number(point(item.same_text, -1), percent=True),
                "" if item.same_place is None else number(point(item.same_place, -1), percent=True),
                ""
                if item.text_less_place is None
                else number(item.text_less_place, percent=True, sign=True),
                number(item.collected_later, sign=True),
                number(item.decided_later, sign=True),
                f"{item.collected_later.n:,}",
            )
            for item in controls
        ),
    )
    moves = () if result.text.control is None else result.text.control.moves
    yield DepthTable(
        id="shuffled",
        title="Stable onsets through shuffled translators",
        caption="How many layers later the model's own prediction stays among the likeliest k than "
        "through the tuned lens.",
        columns=("answer", "k", "later", "", "n"),
        rows=tuple(
            (
                item.case,
                str(item.threshold),
                number(item.moved, sign=True),
                verdict_of(item.moved),
                f"{item.moved.n:,}",
            )
            for item in moves
            if item.moved.n
        ),
    )
    cases = () if result.patching is None else result.patching.cases
    yield DepthTable(
        id="patching",
        title="Where patched runs turn to the donor's options",
        caption="The mean depth from which on the likeliest option is one of the donor's.",
        columns=("donor's answer", "depth", "n"),
        rows=tuple((item.case, number(item.turned), f"{item.turned.n:,}") for item in cases),
    )
