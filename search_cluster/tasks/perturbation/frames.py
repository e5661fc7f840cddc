"""Frames: sentences before any task's prompt that leave its right answer right.

They serve tasks that declare few wordings of their own or none. A frame stands in a paragraph of
its own before the whole prompt, so that the task's words and what stands right before the answer
stay as they are. Some ask in general words; some are context that has nothing to do with the
question. A prompt that speaks of itself ("the first word of this message") takes none.

A framed example is an ordinary one whose ``wording`` is a number from `FIRST_FRAME` on. The number
stands for the text: a frame whose text changes gets a new number, so that no old verdict is taken
for a new one.
"""

import re
from dataclasses import replace

from search_cluster.tasks.example import Example
from search_cluster.tasks.selection import derive_seed
from search_cluster.tasks.task import Prompt, Task

FRAMES_VERSION = "1"
"""Changes with the frames and the rules by which they are drawn; part of the provenance of searches
whose evidence may rest on them."""
FIRST_FRAME = 1001
"""The ``wording`` of an example in the first frame, beyond the wordings that a task declares."""
ENOUGH_WORDINGS = 9
"""A task that declares so many wordings needs no frames: each role has three of them."""

FRAMES = (
    "Please answer the following.",
    "Read this carefully before you answer.",
    "Thank you for your help with what follows.",
    "Rain fell all afternoon, and the streets of the village are wet.",
    "A grey cat sleeps on the sofa near the window.",
    "The library closes in the evening and opens again in the morning.",
    "Here is something for you to answer.",
    "Somebody would like to know the answer to what follows.",
    "Take your time with the following.",
)
"""The frames in the order of their numbers. Roles take turns, so each has general and unrelated
ones."""

_WORD = re.compile(r"[^\W\d_]{4,}")
_OF_ITSELF = re.compile(
    r"\b(?:this|my|your|entire|whole) (?:message|prompt|conversation|chat|input|context)\b"
    r"|\b(?:everything|all|text|words?|lines?|sentences?|paragraphs?) (?:above|before|so far)\b"
    r"|\b(?:first|last|second|third|\d+(?:st|nd|rd|th)) "
    r"(?:word|letter|character|line|sentence|paragraph)s?\b"
    r"|\bhow many (?:words|letters|characters|lines|sentences|paragraphs)\b"
    r"|\brepeat (?:after|the|everything|this|what)\b|\bverbatim\b"
)


def takes_frames(task: Task) -> bool:
    """Whether examples of the task may be framed: it declares too few wordings of its own."""
    return getattr(task, "num_wordings", 0) < ENOUGH_WORDINGS


def framed(
    task: Task, example: Example, *, part: int, num_parts: int, count: int, seed: int
) -> tuple[Example, ...]:
    """Up to ``count`` framed forms of an example; none where no frame surely keeps the answer.

    Frames are dealt to ``num_parts`` disjoint parts by their numbers, whatever the seed is.

    Args:
        task: the task of the example.
        example: the original; an example in another wording keeps no frame.
        part: the number of the part, from 0.
        num_parts: the number of parts.
        count: the largest number of forms; a smaller one gives a prefix.
        seed: any integer; it decides which ones of the part come first.
    """
    if count <= 0 or example.wording or not takes_frames(task):
        return ()
    prompt = task.prompt(example)
    text = f"{prompt.chat}\n{prompt.plain}".casefold()
    if _OF_ITSELF.search(text):
        return ()
    words = set(_WORD.findall(text))
    numbers = [
        number
        for number in range(part, len(FRAMES), num_parts)
        if not _is_context(number) or words.isdisjoint(_WORD.findall(FRAMES[number].casefold()))
    ]
    numbers.sort(key=lambda number: derive_seed(seed, f"{example.example_id} frame {number}"))
    return tuple(replace(example, wording=FIRST_FRAME + number) for number in numbers[:count])


def asked_prompt(task: Task, example: Example) -> Prompt:
    """How the task asks the example, in its frame if it has one.

    The task itself is never shown a framed example: it fills its usual wording.
    """
    number = example.wording - FIRST_FRAME
    if not 0 <= number < len(FRAMES):
        return task.prompt(example)
    prompt = task.prompt(replace(example, wording=0))
    frame = FRAMES[number]
    return replace(prompt, chat=f"{frame}\n\n{prompt.chat}", plain=f"{frame}\n\n{prompt.plain}")


def _is_context(number: int) -> bool:
    """Whether a frame tells of something, and so must have nothing to do with the question."""
    return 3 <= number < 6
