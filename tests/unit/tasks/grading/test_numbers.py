"""Numbers by value, in answers and in gold answers."""

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.tasks.example import Example
from search_cluster.tasks.grading.graders import gold_number, grade_number
from search_cluster.tasks.grading.numbers import last_number, number_text, only_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("\\boxed{$9{,}500}", 9500),
        ("10 000", 10000),
        ("25\N{NARROW NO-BREAK SPACE}000 EUR", 25000),
        ("1,00,000", 100000),
        ("It is 1/2", "1/2"),
        ("1.5e3", 1500),
        ("\N{FULLWIDTH DIGIT THREE}", 3),
        ("72, altogether", 72),
        ("- 5", -5),
        ("18.00.", 18),
        ("50%", 50),
        ("12,34,567", 1234567),
        ("1.234.567", 1234567),
        ("1.234,56", "1234.56"),
        ("9 500,50 EUR", "9500.5"),
        ("1'234'567", 1234567),
        ("10\\,000", 10000),
        ("1 1/2", "3/2"),
        ("1\N{VULGAR FRACTION ONE HALF}", "3/2"),
        ("2 and 1/2 hours", "5/2"),
        ("1\\frac{1}{2}", "3/2"),
        ("-\\dfrac{3}{4}", "-3/4"),
        ("1.5 \\times 10^{3}", 1500),
        ("10\N{SUPERSCRIPT SIX}", 10**6),
        ("2^10", 1024),
        ("1.5 million", 1500000),
        ("2 lakh", 200000),
        ("-$5", -5),
        ("$-5", -5),
        ("\N{MINUS SIGN}5 \N{EURO SIGN}", -5),
        ("The answer is - 5", -5),
        ("minus 5", -5),
        ("10 - 5 = 5", 5),
        ("\N{FULLWIDTH DIGIT FIVE}\N{FULLWIDTH DIGIT ZERO}\N{FULLWIDTH PERCENT SIGN}", 50),
        ("\N{DEVANAGARI DIGIT ONE}\N{DEVANAGARI DIGIT ZERO}", 10),
        ("72 tons of CO2", 72),
        ("5 m^2", 5),
        ("The answer is 5, not 7", 5),
        ("It isn't 7 but 5", 5),
        ("5 or 5.0", 5),
        ("\\boxed{72} because 3*24", 72),
        ("**72**", 72),
        ("...5", 5),
        ("=> 5", 5),
        ("Answer 1: 5", 5),
        ("Rs.500", 500),
        ("\N{CJK UNIFIED IDEOGRAPH-7D04}10\N{CJK UNIFIED IDEOGRAPH-5186}", 10),
    ],
)
def test_gold_numbers_by_value(text: str, value: int | str) -> None:
    assert last_number(text) == Fraction(value)
    assert grade_number(gold(number_text(Fraction(value))), text) == 1.0


@pytest.mark.parametrize(
    "text",
    [
        *("2,5", "0,5", "12,34", "1,2345", "1.2.3", "0x1F", "5k", "5 bn"),
        *("5 or 6", "5 apples or 6 apples", "x = 5 or x = -5", "between 5 and 7", "5-7", "5 to 7"),
        *("5, 6", "1 hour 30 minutes", "5 feet 6 inches", "3 out of 4", "10:30", "12/25/2024"),
        *(
            "5x",
            "\\sqrt{5}",
            "\\sqrt{-5}",
            "10:-5",
            "2\\sqrt{3}",
            "5\\pi",
            "3 + 2",
            "10 - 5",
            "x + 5",
            "5 \\pm 2",
            "1/0",
        ),
        *("more than 5", "x > 5", "\\neq 5", "The answer is not 7", "Answer - 5", "COVID-19"),
        *("1e999999", "9" * 500, "five", "", "\\frac{\\sqrt{3}}{2}"),
    ],
)
def test_gold_no_number_where_it_is_not_clear(text: str) -> None:
    assert last_number(text) is None
    assert grade_number(gold("5"), text) == 0.0
    assert grade_number(gold("7"), text) == 0.0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("72", 72),
        ("1,000", 1000),
        ("1e+22", 10**22),
        ("3 1/2", "7/2"),
        ("72 apples", 72),
        ("$9.50", "9.5"),
        ("3 * 4 = 12\n#### 12", 12),
        ("so \\boxed{12} it is, as 3 * 4", 12),
    ],
)
def test_gold_answers_that_are_one_number(text: str, value: int | str) -> None:
    found = gold_number(text)
    assert found is not None
    assert found.value == Fraction(value)


@pytest.mark.parametrize(
    "text",
    ["five", "2,5", "3 apples and 4 pears", "5 or 6", "7 + 8 = 15", "NaN", "12/25/2024", "1.2.3"],
)
def test_gold_answers_that_are_no_number(text: str) -> None:
    assert gold_number(text) is None
    assert only_number(text) is None
    assert grade_number(gold(text), text) == 0.0


def gold(text: str) -> Example:
    return Example(task="t", question="q", gold=text, split="test", source="here")


@given(st.fractions(max_denominator=1000))
def test_gold_a_value_is_read_back_as_it_is_written(value: Fraction) -> None:
    assert last_number(number_text(value)) == value


@given(st.text(alphabet="1234567890 ,.-/+$%^{}()\\xe\n:or", max_size=60))
def test_gold_any_text_is_read_in_time(text: str) -> None:
    started = time.perf_counter()
    last_number(text)
    assert time.perf_counter() - started < 1


def test_gold_reading_a_short_answer_takes_less_than_a_millisecond() -> None:
    times = []
    for _ in range(50):
        started = time.perf_counter()
        last_number("The answer is 1,234.50 dollars.")
        times.append(time.perf_counter() - started)
    assert sorted(times)[25] < 0.001
