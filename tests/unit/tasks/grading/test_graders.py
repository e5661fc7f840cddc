"""Graders of letters, numbers and texts: known answers and properties."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.tasks.example import Example
from search_cluster.tasks.grading.graders import grade_exact, grade_letter, grade_number
from search_cluster.tasks.grading.letters import extract_letter
from search_cluster.tasks.grading.numbers import last_number


def example(gold: str, choices: tuple[str, ...] = ()) -> Example:
    return Example(task="t", question="q", choices=choices, gold=gold, split="test", source="here")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        (" B.", "B"),
        ("(C)", "C"),
        ("D) a leaf", "D"),
        ("**A**", "A"),
        ("The answer is B.", "B"),
        ("Answer: C", "C"),
        ("The correct answer is: **D**", "D"),
        ("A leaf is green, so C", "C"),
        ("\\boxed{B}", "B"),
        ("I think \\boxed{\\text{C}}", "C"),
        ("A: first, then B", "A"),
        ("", None),
        ("no letter at all", None),
        ("DNA and RNA", None),
    ],
)
def test_extract_letter(text: str, letter: str | None) -> None:
    assert extract_letter(text) == letter


def test_a_letter_that_labels_no_choice_is_wrong() -> None:
    three = example("C", ("x", "y", "z"))
    assert grade_letter(three, "C") == 1.0
    assert grade_letter(three, "D") == 0.0
    assert grade_letter(example("D", ("x", "y", "z")), "D") == 0.0


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("18", "18"),
        ("7 + 8 = 15", "15"),
        ("$1,234.50", "1234.50"),
        ("about -3.", "-3"),
        ("\N{MINUS SIGN}12 degrees", "-12"),
        (".5", ".5"),
        ("12,345,678", "12345678"),
        ("#### 72", "72"),
    ],
)
def test_last_number(text: str, number: str) -> None:
    assert last_number(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "none", "fifteen", "..", "-", "5-3", "first 1, then 2,3"])
def test_no_number(text: str) -> None:
    assert last_number(text) is None
    assert grade_number(example("5"), text) == 0.0


def test_numbers_compare_by_value() -> None:
    assert grade_number(example("18"), "18.00") == 1.0
    assert grade_number(example("1000"), "1,000") == 1.0
    assert grade_number(example("18"), "18.01") == 0.0


@given(
    st.integers(min_value=-(10**12), max_value=10**12), st.text(alphabet="abc $.\n", max_size=10)
)
def test_a_number_is_found_behind_any_words(number: int, words: str) -> None:
    assert last_number(f"{words} {number}") == number
    assert last_number(f"{words} {number:,}") == number


@given(st.text(max_size=200))
def test_graders_accept_any_text(text: str) -> None:
    assert grade_number(example("1"), text) in (0.0, 1.0)
    assert grade_letter(example("A", ("x", "y")), text) in (0.0, 1.0)
    assert grade_exact(example("x"), text) in (0.0, 1.0)


def test_exact_levels_case_space_and_full_stop() -> None:
    assert grade_exact(example("Rio Branco"), " rio  branco.") == 1.0
    assert grade_exact(example("Rio Branco"), "Rio") == 0.0
