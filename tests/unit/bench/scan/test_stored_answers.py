"""Verdicts out of a table of scores, with this or that choice called right."""

from dataclasses import replace

import numpy as np
import pytest
from support.made_up_tables import made_up_table

from search_cluster.bench.scan.stored_answers import StoredAnswers
from search_cluster.protocols.messages import Failure
from search_cluster.tasks.verdict import Verdict

TABLE = made_up_table(6, num_layers=3)
SCORES = TABLE.scores_QPC


def verdict(answers: StoredAnswers, question: int, path: int) -> Verdict:
    found = answers.outcome(answers.examples[question], answers.table.paths[path])
    assert isinstance(found, Verdict)
    return found


def test_a_verdict_says_which_choice_is_best_and_how_far_the_right_one_is_from_the_best_wrong() -> (
    None
):
    scores = SCORES.copy()
    scores[0, 1] = [-3.0, -1.0, -2.5, -4.0]
    answers = StoredAnswers(replace(TABLE, scores_QPC=scores), np.array([1, 0, 0, 0, 0, 0]))
    assert verdict(answers, 0, 1) == Verdict(
        reward=1.0, margin=1.5, output="1", num_layer_tokens=len(TABLE.paths[1])
    )
    wrong = StoredAnswers(replace(TABLE, scores_QPC=scores), np.array([2, 0, 0, 0, 0, 0]))
    assert (verdict(wrong, 0, 1).reward, verdict(wrong, 0, 1).margin) == (0.0, -1.5)


def test_of_equal_scores_the_first_choice_wins() -> None:
    scores = SCORES.copy()
    scores[0, 1] = [-3.0, -1.0, -1.0, -4.0]
    answers = StoredAnswers(replace(TABLE, scores_QPC=scores), np.array([2, 0, 0, 0, 0, 0]))
    assert (verdict(answers, 0, 1).output, verdict(answers, 0, 1).reward) == ("1", 0.0)


def test_fewer_choices_than_others_have_are_no_fault() -> None:
    scores = SCORES.copy()
    scores[:, :, 3] = np.nan
    scores[0, :, 2] = np.nan
    questions = (
        replace(TABLE.questions[0], num_choices=2, gold_index=1),
        *(replace(item, num_choices=3, gold_index=0) for item in TABLE.questions[1:]),
    )
    answers = StoredAnswers(replace(TABLE, scores_QPC=scores, questions=questions))
    assert len(answers.examples[0].choices) == 2
    assert verdict(answers, 0, 0).margin == scores[0, 0, 1] - scores[0, 0, 0]


def test_a_path_that_failed_is_a_failure_and_not_right() -> None:
    scores = SCORES.copy()
    scores[0, 2] = np.nan
    answers = StoredAnswers(replace(TABLE, scores_QPC=scores), np.zeros(6, dtype=int))
    assert isinstance(answers.outcome(answers.examples[0], TABLE.paths[2]), Failure)
    assert not answers.right_QP[0, 2]
    rows = answers.answer_table(np.array([1, 0]), [TABLE.paths[2]]).by_path[TABLE.paths[2]]
    assert rows[0] == verdict(answers, 1, 2)
    assert rows[1] is None


def test_gains_are_differences_of_accuracy_on_the_rows_that_are_asked() -> None:
    answers = StoredAnswers(TABLE)
    rows = np.array([0, 0, 3])
    for place, path in enumerate(TABLE.paths):
        right = [verdict(answers, row, place).is_correct for row in rows]
        plain = [verdict(answers, row, 0).is_correct for row in rows]
        assert answers.gain(path, rows) == pytest.approx((sum(right) - sum(plain)) / 3)
    assert answers.differences_QP.shape == (6, len(TABLE.paths) - 1)
    assert (answers.differences_QP[0, 0] == 1) == (
        bool(answers.right_QP[0, 1]) and not answers.right_QP[0, 0]
    )


def test_questions_that_a_path_was_not_asked_say_nothing_of_it() -> None:
    was_asked_QP = TABLE.was_asked_QP.copy()
    was_asked_QP[3:, 2] = False
    scores_QPC = np.where(was_asked_QP[:, :, None], TABLE.scores_QPC, np.nan)
    answers = StoredAnswers(replace(TABLE, was_asked_QP=was_asked_QP, scores_QPC=scores_QPC))
    path = TABLE.paths[2]
    assert answers.gain(path, np.arange(6)) == answers.gain(path, np.arange(3))
    assert answers.gain(path, np.arange(3)) == StoredAnswers(TABLE).gain(path, np.arange(3))
    assert np.isnan(answers.gain(path, np.arange(3, 6)))


def test_candidates_are_single_edits_in_the_order_of_the_columns() -> None:
    candidates = StoredAnswers(TABLE).candidates
    assert tuple(item.path for item in candidates) == TABLE.paths[1:]
    assert all(len(item.edits) == 1 for item in candidates)
