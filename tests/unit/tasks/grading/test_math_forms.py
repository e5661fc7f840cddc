r"""Mathematical answers: equal ones are right, and unequal ones never are."""

import pytest

from search_cluster.tasks.example import Example
from search_cluster.tasks.grading.math_answers import grade_math


def graded(gold: str, output: str) -> float:
    return grade_math(
        Example(task="t", question="q", gold=gold, split="test", source="here"), output
    )


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("\\frac{1}{2^{99}}", "\\frac{1}{2^{98}}"),
        ("0.0000001", "0.0000003"),
        ("10", "10\\%"),
        ("10\\%", "10"),
        ("\\frac{1}{3}", "0.333333"),
        ("\\pi", "3.141592653589793"),
        ("(0.0000001,1)", "(0.0000003,1)"),
        ("10^{-200}", "10^{-201}"),
        ("\\pi^{-300}", "\\pi^{-301}"),
        ("5\\text{ cm}", "5\\text{ km}"),
        ("5\\text{ cm}^2", "5\\text{ cm}"),
        ("5\\sqrt{2}\\text{ cm}", "5\\sqrt{2}\\text{ km}"),
        ("\\$5", "5\\text{ cents}"),
        ("12\\text{ p.m.}", "12\\text{ a.m.}"),
        ("\\{1,2\\}", "(1,2)"),
        ("(1,2)", "(2,1)"),
        ("(1,2,3)", "[1,2,3]"),
        ("[1,2)", "[1,2]"),
        ("1,2", "1,2,2"),
        ("(1,234)", "1234"),
        ("5", "\\neq 5"),
        ("5", "> 5"),
        ("5", "\\approx 5"),
        ("5", "3 \\text{ or } 5"),
        ("x=5", "y=5"),
        ("1011_2", "1011_3"),
        ("11_2", "11"),
        ("1=2", "3=4"),
        ("ACB", "ABC"),
        ("no", "on"),
        ("45^\\circ", "45'"),
    ],
)
def test_gold_unequal_mathematics_is_wrong(gold: str, answer: str) -> None:
    assert graded(gold, f"\\boxed{{{answer}}}") == 0.0


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("\\frac{1}{2^{99}}", "2^{-99}"),
        ("10\\%", "0.1"),
        ("50\\%", "\\frac12"),
        ("33\\frac13\\%", "\\frac13"),
        ("x=5", "5"),
        ("5", "x=5"),
        ("(1,2)", "1,2"),
        ("1,2", "2,1"),
        ("10", "10\\text{ cm}"),
        ("5\\text{ inches}", "5\\text{ in.}"),
        ("10,\\!080", "10{,}080"),
        ("10000", "10\\,000"),
        ("\\frac32", "1 1/2"),
        ("1500", "1.5 \\times 10^3"),
        ("2.5\\pi", "\\frac{5\\pi}{2}"),
        ("2\\sqrt{3}", "\\sqrt{12}"),
        ("x^2-1", "(x-1)(x+1)"),
        ("60^\\circ", "$60^\\circ$"),
        ("x \\in [1,2]", "[1,2]"),
        ("x>1", "(1,\\infty)"),
        ("(-\\infty,1)\\cup(2,\\infty)", "(2,\\infty)\\cup(-\\infty,1)"),
        ("\\pm 5", "5,-5"),
        ("\\text{(C)}", "C"),
        ("\\boxed{5}", "5"),
        ("$\\frac12$", "0.5"),
        ("So it is $\\boxed{\\frac12}$.", "\\frac{1}{2}"),
    ],
)
def test_gold_equal_mathematics_is_right(gold: str, answer: str) -> None:
    assert graded(gold, f"\\boxed{{{answer}}}") == 1.0


@pytest.mark.parametrize(
    ("gold", "output", "reward"),
    [
        ("5", "The answer is 5.", 1.0),
        ("\\frac{1}{2}", "It is $\\frac{1}{2}$.", 1.0),
        ("\\sqrt{2}", "The answer is $\\sqrt{2}$.", 1.0),
        ("x+1", "x+1", 1.0),
        ("5\\text{ cm}", "It is 5 cm.", 1.0),
        ("7", "5 or 7", 0.0),
        ("5", "The answer is not 5.", 0.0),
        ("5", "I have 3 apples and 5 pears", 0.0),
        ("5", "5x", 0.0),
        ("12", "12:30", 0.0),
        ("10", "The answer is 10\\%.", 0.0),
        ("5\\text{ cm}", "It is 5 km.", 0.0),
        ("\\sqrt{2}", "It is $\\sqrt{2}$ or $\\sqrt{3}$.", 0.0),
        ("5", "$\\boxed{3}$ or $\\boxed{5}$", 0.0),
        ("5", "$\\boxed{3}$, no: $\\boxed{5}$", 1.0),
    ],
)
def test_gold_mathematics_in_sentences(gold: str, output: str, reward: float) -> None:
    assert graded(gold, output) == reward
