r"""What of a text is the answer: what ``\boxed{}`` holds, what comes before another question."""

import re

_NEXT_QUESTION = re.compile(r"(?<=\S)\s*\n\s*(?:\*\*)?(?:Question|Problem|Q)(?: ?\d+)?(?:\*\*)?:")
"""The heading with which base models go on to a question of their own."""


def last_boxed(text: str) -> str | None:
    r"""The content of the last ``\boxed{...}``, or ``None`` without a complete one.

    ``\fbox{...}`` and ``\boxed 7`` are read, too.
    """
    start = _start_of_last_box(text)
    if start < 0:
        return None
    body = text[start:].removeprefix("\\boxed").removeprefix("\\fbox").lstrip()
    if not body.startswith("{"):
        return body.split("$")[0].split()[0] if body.split("$")[0].split() else None
    depth = 0
    for position, character in enumerate(body):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return body[1:position].strip() or None
    return None


def is_box_cut(text: str) -> bool:
    r"""Whether the last box is open or empty: ``\boxed{12`` may be the beginning of 120."""
    return _start_of_last_box(text) >= 0 and last_boxed(text) is None


def own_answer(text: str) -> str:
    """The text up to where it asks and answers another question, as base models do."""
    found = _NEXT_QUESTION.search(text)
    return text[: found.start()] if found else text


def _start_of_last_box(text: str) -> int:
    return max(text.rfind("\\boxed"), text.rfind("\\fbox"))
