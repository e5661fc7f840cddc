"""Standings count what ran, and only that."""

from collections.abc import Sequence

import numpy as np
import pytest

from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.answers import AnswerTable
from search_cluster.scan.edits import Edit, path_of_edits
from search_cluster.scan.standings import differences, standings
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

IDENTITY = LayerPath.identity(4)
ONE, TWO = (path_of_edits([Edit(layer, layer + 1, 0)], 4) for layer in (1, 2))


def table(
    task: str, answers: dict[LayerPath, str], facts: Sequence[int] | None = None
) -> AnswerTable:
    """A table of answers that are written as 1 (right), 0 (wrong) and x (failed)."""
    count = max(map(len, answers.values()))
    found = AnswerTable(
        [
            Example(task=task, question=f"{task}{n}", gold="g", split="train", source="s")
            for n in range(count)
        ],
        IDENTITY,
        range(count) if facts is None else facts,
    )
    for path, marks in answers.items():
        found.by_path[path] = [
            None
            if mark == "x"
            else Verdict(reward=float(mark), margin=None, output=mark, num_layer_tokens=1)
            for mark in marks
        ]
    return found


FIRST = table("a", {IDENTITY: "1010", ONE: "0110", TWO: "11"})
SECOND = table("b", {IDENTITY: "110", ONE: "1x1"})


def test_differences_stand_where_a_path_ran() -> None:
    nan = np.nan
    wanted = [[-1, 0], [1, 1], [0, nan], [0, nan], [0, nan], [-1, nan], [1, nan]]
    np.testing.assert_equal(differences([FIRST, SECOND], [ONE, TWO]), np.array(wanted))
    of_b = differences([FIRST, SECOND], [ONE, TWO], lambda question: question.task == "b")
    np.testing.assert_equal(of_b, np.array(wanted[4:]))


def test_accuracies_are_of_the_same_questions() -> None:
    one, two = standings([FIRST, SECOND], [ONE, TWO])
    assert (one.num_questions, two.num_questions) == (7, 2)
    assert (one.accuracy, one.plain_accuracy) == (pytest.approx(4 / 7), pytest.approx(4 / 7))
    assert (two.accuracy, two.plain_accuracy, two.gain) == (1.0, 0.5, 0.5)
    for item in (one, two):
        assert item.num_compared == 2
        assert item.gain == pytest.approx(item.accuracy - item.plain_accuracy)
        assert item.low <= item.gain <= item.high


def test_questions_of_one_fact_make_nothing_surer() -> None:
    once = {IDENTITY: "01100110" * 8, ONE: "11101110" * 8}
    often = {path: "".join(mark * 5 for mark in marks) for path, marks in once.items()}
    facts = [place for place in range(64) for _ in range(5)]
    (alone,) = standings([table("a", once)], [ONE])
    (by_fact,) = standings([table("a", often, facts)], [ONE])
    (by_question,) = standings([table("a", often)], [ONE])
    assert (alone.num_facts, by_fact.num_facts, by_question.num_facts) == (64, 64, 320)
    assert by_fact.num_questions == 320
    assert by_fact.gain == alone.gain
    assert by_fact.low == pytest.approx(alone.low, abs=0.02)
    assert by_fact.high == pytest.approx(alone.high, abs=0.02)
    assert by_question.low > by_fact.low + 0.03


def test_only_facts_on_which_a_path_ran_are_counted() -> None:
    one, two = standings(
        [table("a", {IDENTITY: "1010", ONE: "0110", TWO: "11"}, [7, 7, 8, 9])], [ONE, TWO]
    )
    assert (one.num_facts, two.num_facts) == (3, 1)


def test_a_table_needs_a_fact_for_each_question() -> None:
    with pytest.raises(InvalidValueError, match="3 facts for 4 questions"):
        table("a", {IDENTITY: "1010"}, [1, 2, 3])


def test_nothing_to_compare_has_no_standing() -> None:
    assert standings([FIRST], []) == []


def test_questions_without_an_answer_of_the_plain_model_count_for_nobody() -> None:
    """Else a third that is too long would look like a third that all get wrong."""
    asked = table("a", {IDENTITY: "1x01x1", ONE: "1x1xx0", TWO: "x1"})
    one, two = standings([asked], [ONE, TWO])
    assert (one.num_questions, one.accuracy, one.plain_accuracy) == (4, 0.5, 0.75)
    assert (two.num_questions, two.accuracy, two.plain_accuracy) == (1, 0.0, 1.0)
    without = table("a", {IDENTITY: "1011", ONE: "11x0"})
    (alone,), (same,) = standings([without], [ONE]), standings([asked], [ONE])
    assert (same.low, same.high, same.p_adjusted) == (alone.low, alone.high, alone.p_adjusted)
    assert asked.changes(ONE, IDENTITY) == without.changes(ONE, IDENTITY)
    assert asked.gains(ONE, IDENTITY) == without.gains(ONE, IDENTITY)


def test_where_nothing_can_be_compared_nothing_is_known() -> None:
    (one,) = standings([table("a", {IDENTITY: "xx", ONE: "1x"})], [ONE])
    assert (one.num_questions, one.gain, one.low, one.high) == (0, 0.0, -1.0, 1.0)
