"""One question with its gold answer, identified by a hash of its content."""

import hashlib
import json
from dataclasses import dataclass, field

ID_HEX_DIGITS = 24
"""The length of an id. With these 96 bits no collision is to be expected below 10^14 examples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One question, immutable.

    Equal content has an equal ``example_id``, wherever it was read from.
    """

    task: str
    """The name of the task whose prompt and grader apply."""
    question: str
    """The question's text, without choices and without any prompt around it."""
    choices: tuple[str, ...] = ()
    """The texts of the choices in their order; empty if the answer is generated freely."""
    gold: str
    """The right answer. For a choice task it is the text of the right choice, else it is what the
    grader compares with."""
    gold_index: int | None = None
    """The index of the right choice in ``choices``; ``None`` without choices."""
    split: str
    """One of ``train``, ``validation`` and ``test``."""
    source: str
    """Where it was read, for messages only: ``ARC-Easy-Train.jsonl:12`` or ``built-in``. The source
    is not part of the identity."""
    difficulty: str = ""
    """The data set's own label of difficulty (MATH: ``"1"``..``"5"``), or empty. The label is not
    part of the identity."""
    wording: int = 0
    """The number of the task's wording that asks; 0 is the usual one. The number is part of the
    identity unless it is 0."""
    example_id: str = field(init=False, default="")
    """The hash of task, question, choices, gold and wording: 24 hexadecimal digits."""

    def __post_init__(self) -> None:
        content: list[object] = [
            self.task,
            self.question,
            list(self.choices),
            self.gold,
            self.gold_index,
        ]
        if self.wording:
            content.append(self.wording)
        text = json.dumps(content, ensure_ascii=False)
        object.__setattr__(
            self, "example_id", hashlib.sha256(text.encode()).hexdigest()[:ID_HEX_DIGITS]
        )
