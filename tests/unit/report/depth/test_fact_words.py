"""Which order of an answer's tokens a sentence may speak of."""

from dataclasses import replace

import pytest
from support.depth_studies import made_up_study, measured

from search_cluster.depth.facts import TokenOrder
from search_cluster.depth.result import FactPart
from search_cluster.report.depth.words import best_lens, headline


def order(case: str, threshold: int, value: float, n: int, left_out: int) -> TokenOrder:
    return TokenOrder(
        lens=best_lens(made_up_study()),
        case=case,
        threshold=threshold,
        crossing="stable",
        difference=replace(measured(value), n=n, prompts=n),
        left_out=left_out,
    )


def said_of(*orders: TokenOrder) -> str:
    part = FactPart(source="my facts", onsets=(), orders=orders)
    (line,) = [
        line
        for line in headline(replace(made_up_study(), facts=(part,)))
        if line.startswith("my facts")
    ]
    return line


OWN = order("all", 1, -11.5, 180, 7)
"""What the model predicts in the place of answers: a newline is settled early, and is no answer."""


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        (
            (order("right", 1, 3.5, 40, 0), OWN, order("gold", 1, 2.5, 60, 127)),
            "both the first and the second token of 40; of these the first is stable +3.50",
        ),
        (
            (order("right", 1, 3.5, 4, 0), OWN, order("gold", 1, 2.5, 4, 183)),
            "both the first and the second token of 4: too few to say which one is known first.",
        ),
        (
            (
                order("right", 1, 3.5, 4, 0),
                OWN,
                order("gold", 1, 2.5, 4, 183),
                order("gold", 10, 1.25, 39, 148),
            ),
            "of 4; of the true tokens that are among the 10 likeliest at the end the first is "
            "stable +1.25",
        ),
    ],
)
def test_the_order_of_tokens_is_told_of_answers_alone(
    orders: tuple[TokenOrder, ...], expected: str
) -> None:
    line = said_of(*orders)
    assert expected in line
    assert "of 187 answers" in line
    assert "11.5" not in line
