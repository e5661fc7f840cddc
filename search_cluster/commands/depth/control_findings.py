"""From what controls have read to what they say."""

import numpy as np

from search_cluster.commands.depth.gathered import GatheredPatch, GatheredQuestions, GatheredText
from search_cluster.depth.choices import choice_scores
from search_cluster.depth.lens_control import LensControl, lens_control
from search_cluster.depth.orders import (
    OTHER_ORDER,
    OrderControl,
    letter_form,
    order_controls,
    text_form,
)
from search_cluster.depth.patching import PatchPart, patch_cases, patched_lenses
from search_cluster.model.depth_states.tables import Bools, Ints, ReadingTable


def lens_part(text: GatheredText, right_N: Bools) -> LensControl | None:
    """The tuned lens beside itself with its translators shuffled."""
    if text.shuffled is None or text.order is None:
        return None
    num = text.shuffled.num_positions
    few = _rows(text.table, np.arange(num))
    return lens_control(few, text.shuffled, right_N[:num], text.order)


def order_part(questions: GatheredQuestions) -> tuple[OrderControl, ...]:
    """Other forms of the questions beside the usual one."""
    found: list[OrderControl] = []
    letters = questions.letters
    if letters is not None:
        for form in letters.forms:
            usual = _rows(letters.table, form.rows_N)
            for lens in usual.lenses:
                found += order_controls(
                    "letters",
                    form.name,
                    lens,
                    usual=letter_form(usual, lens),
                    other=letter_form(form.table, lens),
                    order_NC=form.order_NC,
                    num_choices=[form.order_NC.shape[1]] * len(form.rows_N),
                    gold_N=letters.gold_N[form.rows_N],
                    fact_N=questions.fact_Q[usual.prompt_N],
                )
    texts, decisions, later = questions.texts, questions.decisions, questions.later
    if texts is not None and decisions is not None and later is not None:
        asked = texts.questions
        usual = _rows(decisions, np.flatnonzero(np.isin(decisions.prompt_N, asked)))
        for lens in usual.lenses:
            best_SN = choice_scores(decisions, later, lens, asked).best()
            moved_SN = choice_scores(texts.decisions, texts.later, lens, asked).best()
            found += order_controls(
                "texts",
                OTHER_ORDER,
                lens,
                usual=text_form(usual, lens, best_SN),
                other=text_form(texts.decisions, lens, moved_SN),
                order_NC=texts.order_NC,
                num_choices=[questions.num_choices[number] for number in asked],
                gold_N=questions.gold_Q[list(asked)],
                fact_N=questions.fact_Q[list(asked)],
            )
    return tuple(found)


def patch_part(patch: GatheredPatch) -> PatchPart:
    """What runs answer with the states of another task."""
    num_donors = len(patch.donor_options)
    return PatchPart(
        donor=patch.donor,
        recipient=patch.recipient,
        donor_options=patch.donor_options,
        recipient_options=patch.recipient_options,
        pairs=len(patch.gold_N),
        cases=patch_cases(patch.readings, patch.gold_N, num_donors, patch.fact_N),
        lenses=patched_lenses(patch.readings, patch.donors, num_donors, patch.fact_N),
    )


def _rows(table: ReadingTable, rows_N: Ints) -> ReadingTable:
    """Some rows of a table, in their order."""
    return table.select(np.isin(np.arange(table.num_positions), rows_N))
