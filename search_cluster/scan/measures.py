"""Measures of answers to questions, in coarse steps so that arithmetic noise has no say."""

import math

from search_cluster.scan.constants import ANSWERS
from search_cluster.tasks.verdict import Verdict


def is_right(answer: Verdict | None) -> bool:
    """Whether there is an answer, and it is right."""
    return answer is not None and answer.is_correct


def distance(answer: Verdict) -> float:
    """How far an answer is from being another one; the same for all answers without margins."""
    margin = answer.coarse_margin
    return 0.0 if margin is None else abs(margin + 0.5)


def change(answer: Verdict | None, plain: Verdict | None) -> float:
    """How far two answers are apart, in [0, 1]: by their margins, or else whether they differ."""
    if answer is None or plain is None:
        return 1.0
    margin, plain_margin = answer.coarse_margin, plain.coarse_margin
    if margin is None or plain_margin is None:
        return float(answer.output != plain.output)
    return min(1.0, abs(margin - plain_margin) / ANSWERS.max_steps)


def worth(answer: Verdict | None) -> float:
    """What an answer is worth, in [0, 1]: its reward, or a logistic function of its margin."""
    if answer is None:
        return 0.0
    margin = answer.coarse_margin
    return (
        answer.reward
        if margin is None
        else 0.5 + 0.5 * math.tanh((margin + 0.5) / (2 * ANSWERS.worth_steps))
    )
