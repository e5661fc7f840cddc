"""Letters as models write them, and what names no letter."""

import pytest

from search_cluster.tasks.example import Example
from search_cluster.tasks.grading.graders import grade_letter
from search_cluster.tasks.grading.letters import extract_letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("b", "B"),
        ("(c)", "C"),
        ("Answer: b", "B"),
        ("The correct answer is d.", "D"),
        ("Answer: I think it is C", "C"),
        ("The answer is not A, it is C", "C"),
        ("Option A is wrong. Answer: C", "C"),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER B}", "B"),
        ("The answer is C because I computed it", "C"),
        ("b) copper", "B"),
        ("B, because a car moves", "B"),
        ("**C**", "C"),
        ("Answer:\n\nC", "C"),
        ("I choose c", "C"),
        ("option (d)", "D"),
        ("\\text{B}", "B"),
        ("$\\boxed{\\textbf{(D)}}$", "D"),
        ("<answer>B</answer>", "B"),
        ("### Answer: B", "B"),
        ("'B'", "B"),
        ("\N{LEFT DOUBLE QUOTATION MARK}B\N{RIGHT DOUBLE QUOTATION MARK}", "B"),
        ("a", "A"),
        ("Answer: a", "A"),
        ("The answer is a.", "A"),
        ("A because it is", "A"),
        ("Paris (C)", "C"),
        ("neither A nor B, but C", "C"),
        ("It can't be A or B, so C", "C"),
        ("A is incorrect. The answer is B.", "B"),
        ("The answer isn't B, it's D", "D"),
        ("B) copper, not (A) iron", "B"),
        ("A) cat\nB) dog\nThe answer is B", "B"),
        ("The one that is not a mammal is B.", "B"),
        ("C, a metal", "C"),
        ("C, I think", "C"),
        ("The answer is D (all of the above)", "D"),
        ("C is correct", "C"),
        ("Antwort: B", "B"),
        ("Let me think. B.", "B"),
        ("D. Its temperature is b", "D"),
        ("I think it is b", "B"),
        ("B is incorrect, C is correct", "C"),
        ("not A, B or D; it's C", "C"),
        ("A is not right, B is right", "B"),
        ("C\n\nExplanation: A is wrong because of X", "C"),
    ],
)
def test_gold_letters_as_models_write_them(text: str, letter: str) -> None:
    assert extract_letter(text) == letter


@pytest.mark.parametrize(
    "text",
    [
        *("(A) or (B)", "A and B", "A/B", "A, B", "The answer is A or B", "Both A and B"),
        *("It is between B and C", "B or maybe C", "B? Or C?", "b or c", "A B C D"),
        *("\\boxed{A, B}", "\\boxed{5}", "A. cat B. dog C. fish", "A) cat\nB) dog\nC) fish"),
        *("B. The answer is C", "The answer is B. No, the answer is C.", "A: B"),
        *("not A", "It isn't C", "I don't think it is A", "The correct answer is not B"),
        *("All except C", "A is wrong", "All but C"),
        *("A leaf", "a leaf", "The answer is a leaf", "Answer: A leaf", "I pick a", "a car"),
        *("The answer is a", "vitamin C", "Plan B", "The answer is vitamin C", "B cells"),
        *("U.S.", "N/A", "C++", "C-14", "25 \N{DEGREE SIGN}C", "I'm not sure", "I think so"),
        *("None of the above", "Answer: None", "A-", "", "DNA and RNA", "The answer is 5"),
    ],
)
def test_gold_no_letter_where_it_is_not_clear(text: str) -> None:
    assert extract_letter(text) is None


def lettered(gold: str, *choices: str) -> Example:
    return Example(
        task="t",
        question="q",
        choices=choices,
        gold=gold,
        gold_index="ABCDEFGH".index(gold),
        split="test",
        source="here",
    )


def test_gold_a_letter_that_is_another_choices_text_is_unclear() -> None:
    blood = lettered("A", "O", "A", "B", "AB")
    assert grade_letter(blood, "A") == 0.0  # label A, or blood type A?
    assert grade_letter(blood, "A) O") == 1.0
    assert grade_letter(lettered("D", "O", "A", "B", "AB"), "D") == 1.0
    assert grade_letter(lettered("A", "A", "B", "AB", "O"), "A") == 1.0
    assert grade_letter(lettered("E", "E. coli", "yeast", "algae", "moss", "fern"), "E. coli") == 0


@pytest.mark.parametrize(
    ("output", "reward"),
    [
        ("B iron", 1.0),
        ("The answer is B iron.", 1.0),
        ("B) iron", 1.0),
        ("Answer: b. Iron", 1.0),
        ("Answer: b. iron", 1.0),
        ("B copper", 0.0),
        ("B) copper", 0.0),
        ("The answer is B: copper", 0.0),
        ("iron", 0.0),
    ],
)
def test_gold_a_letter_beside_another_choices_text_is_unclear(output: str, reward: float) -> None:
    assert grade_letter(lettered("B", "copper", "iron", "tin"), output) == reward


def test_gold_letters_and_denials_within_a_choices_text_say_nothing() -> None:
    elements = lettered("D", "sodium [Na]", "sulfur [S]", "is not [A]", "carbon [C]")
    assert grade_letter(elements, "D) carbon [C]") == 1.0
    assert grade_letter(elements, "carbon [C]") == 0.0
    proteins = lettered("B", "infertility", "incorrect protein synthesis", "not needed")
    assert grade_letter(proteins, "The answer is (B) incorrect protein synthesis.") == 1.0


def test_gold_letters_of_no_choice_are_wrong() -> None:
    assert grade_letter(lettered("C", "x", "y", "z"), "c") == 1.0
    assert grade_letter(lettered("C", "x", "y", "z"), "(D)") == 0.0
    assert grade_letter(lettered("C", "x", "y", "z"), "The answer is D, not C") == 0.0
