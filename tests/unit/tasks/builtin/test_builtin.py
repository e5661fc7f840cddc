"""The built-in tasks: facts, splits, distractors, determinism."""

import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from search_cluster.errors import TaskError
from search_cluster.tasks.builtin.periodic_table import ELEMENTS
from search_cluster.tasks.builtin.places import PLACES
from search_cluster.tasks.builtin.quiz import draw_choices
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.splits import split_of
from search_cluster.tasks.task import SPLITS, AnswerKind

BUILT_INS = ("capitals", "elements", "arithmetic")
_DUMP = """
import hashlib, sys
from search_cluster.tasks.registry import get_task
digest = hashlib.sha256()
for name in ("capitals", "elements", "arithmetic"):
    for split in ("train", "validation", "test"):
        for example in get_task(name).load(split, None).examples:
            digest.update(example.example_id.encode())
print(digest.hexdigest())
"""


@pytest.mark.parametrize("name", BUILT_INS)
def test_splits_are_sizeable_and_disjoint_in_questions(name: str) -> None:
    task = get_task(name)
    loaded = {split: task.load(split, None).examples for split in SPLITS}
    assert len(loaded["train"]) >= 1500
    assert len(loaded["validation"]) >= 300
    assert len(loaded["test"]) >= 400
    questions = {
        split: {example.question for example in examples} for split, examples in loaded.items()
    }
    assert not questions["train"] & questions["validation"]
    assert not questions["train"] & questions["test"]
    assert not questions["validation"] & questions["test"]
    ids = [example.example_id for examples in loaded.values() for example in examples]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", ["capitals", "elements"])
def test_choices_are_four_distinct_texts_around_one_right_answer(name: str) -> None:
    task = get_task(name)
    assert task.kind is AnswerKind.CHOICE
    positions: Counter[int] = Counter()
    for split in SPLITS:
        for example in task.load(split, None).examples:
            assert len(set(example.choices)) == 4
            assert example.gold_index is not None
            assert example.choices[example.gold_index] == example.gold
            positions[example.gold_index] += 1
    assert min(positions.values()) > 0.2 * positions.total()


def test_no_wrong_choice_is_right() -> None:
    right: dict[str, set[str]] = {}
    for name in ("capitals", "elements"):
        for split in SPLITS:
            for example in get_task(name).load(split, None).examples:
                right.setdefault(example.question, set()).add(example.gold)
    assert all(len(answers) == 1 for answers in right.values())


def test_both_directions_of_a_fact_stay_in_one_split() -> None:
    split_of_question = {
        example.question: split
        for split in SPLITS
        for example in get_task("capitals").load(split, None).examples
    }
    for place in PLACES:
        if place.kind == "country":
            forwards = split_of_question[f"What is the capital of {place.article}{place.name}?"]
            assert (
                split_of_question[f"{place.capital} is the capital of which country?"] == forwards
            )


def test_facts_are_well_formed() -> None:
    assert len(PLACES) >= 300
    for kind in {place.kind for place in PLACES}:
        members = [place for place in PLACES if place.kind == kind]
        assert (
            len({place.capital for place in members})
            == len(members)
            == len({place.name for place in members})
        )
        assert len(members) > 4
    assert not [place for place in PLACES if place.name == place.capital]
    assert sum(place.kind == "country" for place in PLACES) >= 170
    assert sum(place.kind == "US state" for place in PLACES) == 50


def test_elements_are_complete() -> None:
    assert [element.number for element in ELEMENTS] == list(range(1, 119))
    assert (
        len({element.symbol for element in ELEMENTS})
        == len({element.name for element in ELEMENTS})
        == 118
    )
    anchors = {
        1: "H",
        18: "Ar",
        26: "Fe",
        36: "Kr",
        47: "Ag",
        54: "Xe",
        57: "La",
        71: "Lu",
        79: "Au",
        86: "Rn",
    }
    anchors |= {89: "Ac", 92: "U", 103: "Lr", 118: "Og"}
    assert {number: ELEMENTS[number - 1].symbol for number in anchors} == anchors


def test_arithmetic_golds_are_right() -> None:
    task = get_task("arithmetic")
    for split in SPLITS:
        for example in task.load(split, None).examples:
            assert task.grade(example, f"It is {_calculate(example.question)}.") == 1.0
            assert task.grade(example, f"{_calculate(example.question) + 1}") == 0.0


def _calculate(question: str) -> int:
    """The result by a second way.

    It comes from the two numbers in the question and the word that names the operation.
    """
    a, b = (int(number) for number in re.findall(r"\d+", question))
    if re.search(r"multipl|product", question, re.IGNORECASE):
        return a * b
    return a + b if re.search(r"[+]|plus|add", question, re.IGNORECASE) else abs(a - b)


def test_examples_do_not_depend_on_the_hash_seed() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", _DUMP],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64


def test_drawn_choices_are_pinned() -> None:
    # Known answers: examples, their ids and every cached verdict depend on them.
    assert draw_choices("seed", "a", ["a", "b", "c", "d", "e"]) == (("d", "b", "c", "a"), 3)
    assert [split_of(text) for text in ("Paris", "paris ", "Rome", "iron")] == [
        "train",
        "train",
        "validation",
        "test",
    ]


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(
        TaskError, match="split 'dev' of task capitals; the splits are train, validation, test"
    ):
        get_task("capitals").load("dev", None)
