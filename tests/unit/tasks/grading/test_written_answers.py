r"""Answers as models write them: after a correction, before another question, in unclosed boxes."""

import pytest

from search_cluster.tasks.example import Example
from search_cluster.tasks.graders import extract_letter, grade_exact, last_number
from search_cluster.tasks.grading.math_answers import grade_math


def example(gold: str) -> Example:
    return Example(task="task", question="?", gold=gold, split="test", source="rows:0")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("A: wrong\nB: wrong\nC: right\nD: wrong", "C"),
        ("A. No wait, B.", "B"),
        ("It is A. Actually, it's B.", "B"),
        ("C. Wait, let me check. Yes, C.", "C"),
        ("B. Actually, A is wrong because it melts", "B"),
        ("B\n\nQuestion: What is next?\nA. x\nB. y\nAnswer: C", "B"),
        ("C<|im_end|>", "C"),
        ("Mr. B", None),
        ("C°", None),
        (r"\boxed{C", None),
        ("Die richtige Antwort ist C.", "C"),
        ("Die Antwort ist nicht C", None),
        ("La réponse est B", "B"),
        ("La réponse n'est pas B", None),
        ("La respuesta correcta es B", "B"),
        ("La respuesta no es B", None),
        ("La respuesta es A o B", None),
        ("正确答案是C，因为铜导电", "C"),
        ("选C。", "C"),
        ("答案不是C", None),
        ("不选C", None),
        ("答案是Cu", None),
    ],
)
def test_gold_letter_is_the_one_that_the_answer_ends_up_with(text: str, letter: str) -> None:
    assert extract_letter(text) == letter


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("<answer>42</answer>", 42),
        ("42<|im_end|>", 42),
        ("She sold <<48+24=72>>72 clips", 72),
        ("5 and a half", 5.5),
        ("12 is not the answer", None),
        ("12 isn't right", None),
        ("5 degrees below zero", None),
        (r"The answer is \boxed{12", None),
        (r"\boxed{13}, no, \boxed{12", None),
        ("7\n\nQuestion: What is 2 + 1?\nAnswer: 3", 7),
        ("7\nQ: What is 2 + 1?\nA: 3", 7),
        ("Sure!\nQuestion: What is 2 + 3?\nAnswer: 5", 5),
    ],
)
def test_gold_number_of_an_answer_that_says_more(text: str, number: float | None) -> None:
    assert last_number(text) == number


@pytest.mark.parametrize(
    ("gold", "text", "is_right"),
    [
        (r"\text{Evelyn}", "Evelyn", True),
        (r"\text{Monday}", "The answer is Monday.", True),
        (r"\text{Monday}", "The answer is not Monday", False),
        (r"\text{Yes}", "yes", True),
        (r"\text{(C)}", "The answer is (C).", True),
        (r"\text{(C)}", "The answer is (B).", False),
        ("2,3", "x = 2 or x = 3", True),
        ("2,3", "The solutions are 2 and 4.", False),
        ("(1,2)", "The point is (1, 2).", True),
        ("(1,2)", "The point is (2, 1).", False),
        ("(1,2)", "The answer isn't (1, 2)", False),
        ("x^2+1", "Answer: x^2 + 1", True),
        (r"\sqrt{2}", "√2", True),
        (r"3\sqrt{2}", "sqrt(18)", True),
        (r"2\pi", "2*pi", True),
        (r"2\pi", "The answer is 2π.", True),
        ("x^{10}", "x¹⁰", True),
        (r"\frac{1}{3}", r"\boxed{\frac13 \approx 0.333}", True),
        ("0.333", r"\boxed{\frac13 \approx 0.333}", False),
        (r"\frac{1}{6}", r"0.1\overline{6}", True),
        ("0.333", r"0.\overline{3}", False),
        (r"12\text{ cm}^2", "The area is 12 cm².", True),
        (r"12\text{ cm}", "The area is 12 cm^2.", False),
        (r"12\text{ cm}", "The area is 12 square cm.", False),
        (r"7\text{ cm}", r"7\text{ cm}^2", False),
        ("12", r"\boxed{12", False),
        ("12", "12 is not the answer", False),
        ("3", "7\n\nQuestion: What is 2 + 1?\nAnswer: 3", False),
        (
            r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}",
            r"\boxed{\begin{pmatrix}1\\2\end{pmatrix}}",
            True,
        ),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix}2\\1\end{pmatrix}", False),
        (r"\mathbb{R}", r"\mathbb R", True),
    ],
)
def test_gold_mathematics_in_words_and_plain_signs(gold: str, text: str, is_right: bool) -> None:
    assert grade_math(example(gold), text) == is_right


@pytest.mark.parametrize(
    ("gold", "text", "is_right"),
    [
        ("don't", "don’t", True),
        ("北京", "北京。", True),
        ("Ｐａｒｉｓ", "Paris", True),
        ("2²", "22", False),
        ("Paris", "Paris\n\nQuestion: And Italy?\nAnswer: Rome", True),
        ("Rome", "Paris\n\nQuestion: And Italy?\nAnswer: Rome", False),
    ],
)
def test_gold_text_however_it_is_typed(gold: str, text: str, is_right: bool) -> None:
    assert grade_exact(example(gold), text) == is_right
