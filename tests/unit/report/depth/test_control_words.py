from dataclasses import replace

import pytest
from support.depth_studies import curve, made_up_study, measured

from search_cluster.depth.lens_control import LensControl, OnsetMove
from search_cluster.depth.orders import OTHER_ORDER, OrderControl
from search_cluster.depth.patching import PatchCase, PatchedLens, PatchPart
from search_cluster.depth.result import DepthResult, QuestionPart
from search_cluster.report.depth.control_figures import (
    lens_control_figure,
    order_figures,
    patching_figure,
)
from search_cluster.report.depth.control_tables import control_tables
from search_cluster.report.depth.control_words import (
    lens_control_words,
    order_words,
    patching_words,
)

ORDER = OrderControl(
    options="letters",
    form=OTHER_ORDER,
    lens="logit",
    case="all",
    chance=0.25,
    same_text=curve(0.1, 0.2, 0.6),
    same_place=curve(0.9, 0.5, 0.3),
    text_less_place=measured(0.3),
    offered=curve(0.5, 0.5, 0.5),
    offered_usually=curve(0.5, 0.5, 0.5),
    collected_later=measured(0.0),
    decided_later=measured(2.0),
)
RENAMED = replace(ORDER, form="letters E-H", same_place=None, text_less_place=None)


def with_controls(*controls: OrderControl, texts_are_shown: bool | None = None) -> DepthResult:
    return replace(
        made_up_study(),
        questions=QuestionPart(
            task="made-up",
            split="train",
            questions=100,
            left_out=0,
            accuracy=measured(0.5),
            chance=0.25,
            races=(),
            prefix_check=None,
            agreements=(),
            path_effects=(),
            predictions=(),
            order_controls=controls,
            texts_are_shown=texts_are_shown,
        ),
    )


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (0.3, "the choice is made by content, +30.0 %"),
        (-0.3, "the choice is made by place, -30.0 %"),
        (0.005, "content and place can't be told apart"),
    ],
)
def test_a_choice_is_by_content_or_by_place_if_that_is_sure(difference: float, said: str) -> None:
    result = with_controls(replace(ORDER, text_less_place=measured(difference)))
    (line,) = order_words(result, "logit")
    assert said in line
    assert "the same text is chosen in 60.0 % (59.0 to 61.0)" in line
    assert "collected later by +0.00 (-0.01 to +0.01) layers, can't tell" in line
    assert "decided by +2.00 (+1.99 to +2.01), sure" in line


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.9, "what is collected are the letters that are offered"),
        (0.1, "the usual letters are collected, offered or not"),
        (0.5, "can't be told"),
    ],
)
def test_letters_are_collected_for_being_offered_or_out_of_habit(share: float, said: str) -> None:
    result = with_controls(replace(RENAMED, offered=curve(0.5, 0.5, share)))
    (line,) = order_words(result, "logit")
    assert said in line


def test_right_cases_and_other_lenses_have_no_sentence_and_a_row() -> None:
    controls = (ORDER, replace(ORDER, case="right"), replace(ORDER, lens="tuned"), RENAMED)
    result = with_controls(*controls)
    assert len(list(order_words(result, "logit"))) == 2
    tables = {table.id: table for table in control_tables(result)}
    assert len(tables["orders"].rows) == 4
    figures = [figure for figure in order_figures(result) if figure is not None]
    assert [figure.title for figure in figures] == [
        "Content or place",
        "Are the letters that are offered collected?",
    ]


def test_a_task_that_does_not_show_its_choices_has_no_control_of_texts() -> None:
    (line,) = order_words(with_controls(texts_are_shown=False), "logit")
    assert "prompts of made-up do not show the choices in their order" in line
    assert not list(order_words(with_controls(texts_are_shown=True), "logit"))


def test_what_a_lens_keeps_when_its_translators_are_shuffled() -> None:
    names = ("logit", "tuned", "shuffled")
    control = LensControl(
        order=(1, 0),
        divergence={name: curve(2.0, 1.0, 0.0) for name in names},
        mean_divergence=dict(zip(names, map(measured, (12.0, 2.0, 7.0)), strict=True)),
        kept=measured(0.5),
        onsets=(),
        moves=tuple(
            OnsetMove(case=case, threshold=1, moved=measured(moved))
            for case, moved in (("right", 3.0), ("wrong", 0.0))
        ),
    )
    study = made_up_study()
    result = replace(study, text=replace(study.text, control=control))
    (line,) = lens_control_words(result)
    assert "KL is 7.00 (6.99 to 7.01) nats" in line
    assert "gain 50.0 % (49.0 to 51.0) does not depend on the layer" in line
    assert "+3.00 (+2.99 to +3.01) in right cases, sure, +0.00 (-0.01 to +0.01) in wrong" in line
    figure = lens_control_figure(result)
    assert figure is not None
    assert len(figure.figure.data) == 6  # a line and a band for each lens


def test_where_patched_runs_turn_is_said_beside_what_lenses_say() -> None:
    case = PatchCase(
        case="all",
        donors=curve(0.0, 0.5, 0.9),
        donors_answer=curve(0.0, 0.5, 0.9),
        recipients_answer=curve(1.0, 0.5, 0.1),
        donors_mass=curve(0.0, 0.2, 0.4),
        recipients_mass=curve(0.4, 0.2, 0.0),
        turned=measured(4.0),
    )
    part = PatchPart(
        donor="one",
        recipient="other",
        donor_options=("yes", "no"),
        recipient_options=("A", "B"),
        pairs=10,
        cases=(case, replace(case, case="wrong")),
        lenses=(PatchedLens(lens="logit", collected=measured(3.0), turned_later=measured(1.0)),),
    )
    result = replace(made_up_study(), patching=part)
    first, second = patching_words(result)
    assert "from depth 4.00 (3.99 to 4.01) of 6 on" in first
    assert "the donor's options (yes, no)" in first
    assert "where the donor answers wrongly" in first
    assert "where the donor answers rightly" not in first
    assert "By themselves 90.0 %" in first
    assert "later by +1.00 (+0.99 to +1.01) layers, sure" in second
    figure = patching_figure(result)
    assert figure is not None
    assert figure.title == "Runs of other with states of one"


def test_a_study_without_controls_says_nothing_of_them() -> None:
    result = made_up_study()
    assert not [*lens_control_words(result), *order_words(result, "logit")]
    assert not list(patching_words(result))
    assert lens_control_figure(result) is patching_figure(result) is None
    assert not [table for table in control_tables(result) if table.rows]
