"""What positions of answers are called."""

LABEL_STEP = 10
"""A label is ``10 * tokens of the answer + number of the token``: 21 is the first of two."""


def answer_label(num_tokens: int, number: int) -> int:
    """The label of a token (from 1) of an answer."""
    return LABEL_STEP * min(num_tokens, LABEL_STEP - 1) + min(number, LABEL_STEP - 1)
