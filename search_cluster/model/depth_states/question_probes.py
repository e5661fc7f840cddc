"""Probes of a task's questions: where the answer begins, and each later token of each choice.

Texts are scored as the product scores them. Letters are asked after four worked questions in plain
text, which are the same for all questions, as published studies of multiple choice do.
"""

from collections.abc import Sequence

from search_cluster.depth.choices import DECISION
from search_cluster.errors import PromptError
from search_cluster.model.depth_states.plain_text import plain_ids
from search_cluster.model.depth_states.probes import PromptProbe
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_example
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task

LETTERS = "ABCDEFGHIJKLMNOP"
MAX_LETTERED = 8
"""Choices of a question at most that letters are asked for: as many foreign letters follow."""
NUM_WORKED = 4
"""Worked questions in front of a question that is answered by a letter."""


def question_probes(
    loaded: LoadedModel, task: Task, example: Example, number: int
) -> tuple[PromptProbe, ...]:
    """The probes of one question, a sequence for each choice.

    Raises:
        PromptError: the question can't be asked.
    """
    encoded = encode_example(loaded, task, example)
    last = len(encoded.context_ids) - 1
    first_tokens = tuple(ids[0] for ids in encoded.choice_ids)
    probes = []
    for choice, ids in enumerate(encoded.choice_ids):
        positions = tuple(last + at for at in range(1, len(ids)))
        labels: tuple[int, ...] = (choice,) * len(positions)
        asked: tuple[tuple[int, ...], ...] = tuple((token,) for token in ids[1:])
        if choice == 0:
            positions, labels, asked = (
                (last, *positions),
                (DECISION, *labels),
                (first_tokens, *asked),
            )
        if positions:
            probes.append(
                PromptProbe(
                    prompt=number,
                    ids=(*encoded.context_ids, *ids[:-1]),
                    positions=positions,
                    labels=labels,
                    asked=asked,
                )
            )
    return tuple(probes)


def worked_questions(examples: Sequence[Example]) -> tuple[Example, ...]:
    """One question for each of the first letters, so that no letter is more usual than another."""
    found: dict[int, Example] = {}
    for example in examples:
        if example.gold_index is not None and len(example.choices) <= MAX_LETTERED:
            found.setdefault(example.gold_index, example)
    return tuple(found[place] for place in sorted(found)[:NUM_WORKED])


def letter_probe(
    loaded: LoadedModel, worked: Sequence[Example], example: Example, number: int
) -> PromptProbe | None:
    """Where the letter of a question's answer begins.

    Asked for are the letters of the choices, then as many foreign ones. It is ``None`` if a letter
    is no token of its own, or the prompt is too long.
    """
    text = "\n\n".join(
        [
            *(f"{_lettered(item)} {LETTERS[item.gold_index or 0]}" for item in worked),
            _lettered(example),
        ]
    )
    try:
        context = plain_ids(loaded, text)
    except PromptError:
        return None
    num_choices = len(example.choices)
    asked = []
    for letter in LETTERS[: 2 * num_choices]:
        ids = plain_ids(loaded, f"{text} {letter}")
        if len(ids) != len(context) + 1 or ids[:-1] != context:
            return None
        asked.append(ids[-1])
    return PromptProbe(
        prompt=number,
        ids=context,
        positions=(len(context) - 1,),
        labels=(DECISION,),
        asked=(tuple(asked),),
    )


def _lettered(example: Example) -> str:
    lines = [
        f"{letter}. {choice}" for letter, choice in zip(LETTERS, example.choices, strict=False)
    ]
    return "\n".join([f"Question: {example.question}", *lines, "Answer:"])
