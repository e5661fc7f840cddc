"""How answers to probe questions are measured: in coarse steps of margins, so that arithmetic noise has no say."""

import math

from search_cluster.tasks.verdict import Verdict

MAX_STEPS = 8
"""Margins that are so many steps apart are as far apart as they can be: a path that turns one answer upside down is not
worse than one that turns another into its opposite."""
WORTH_STEPS = 4.0
"""Steps of the margin (1 nat) in which an answer goes from 0.5 to 0.73 of its worth. Of 0.1 to 2 nats, this told paths
of known accuracy apart on the fewest questions (log)."""


def is_right(answer: Verdict | None) -> bool:
    """Whether there is an answer, and it is right."""
    return answer is not None and answer.is_correct


def distance(answer: Verdict) -> float:
    """How far an answer is from being another one; the same for all answers without margins."""
    margin = answer.coarse_margin
    return 0.0 if margin is None else abs(margin + 0.5)


def change(answer: Verdict | None, plain: Verdict | None) -> float:
    """0 for the same answer, 1 for another one; where answers have margins, how far these are apart."""
    if answer is None or plain is None:
        return 1.0
    margin, plain_margin = answer.coarse_margin, plain.coarse_margin
    if margin is None or plain_margin is None:
        return float(answer.output != plain.output)
    return min(1.0, abs(margin - plain_margin) / MAX_STEPS)


def worth(answer: Verdict | None) -> float:
    """In [0, 1]: the reward, or where answers have margins, a logistic function of them."""
    if answer is None:
        return 0.0
    margin = answer.coarse_margin
    return answer.reward if margin is None else 0.5 + 0.5 * math.tanh((margin + 0.5) / (2 * WORTH_STEPS))
