"""Probes of questions that are answered by an option: a letter, or a word that all of them share.

They are asked after up to four worked questions in plain text, which are the same for all
questions, as published studies of multiple choice do.
"""

from collections.abc import Sequence

from search_cluster.errors import PromptError
from search_cluster.model.depth_states.later_tokens import DECISION
from search_cluster.model.depth_states.plain_text import plain_ids
from search_cluster.model.depth_states.probes import PromptProbe
from search_cluster.model.loaded import LoadedModel
from search_cluster.tasks.example import Example
from search_cluster.tasks.perturbation.frames import asked_prompt
from search_cluster.tasks.task import Task

LETTERS = "ABCDEFGHIJKLMNOP"
MAX_LETTERED = 8
"""Choices of a question at most that letters are asked for: as many foreign letters follow."""
NUM_WORKED = 4
"""Worked questions in front of a question that is answered by an option."""


def worked_questions(examples: Sequence[Example]) -> tuple[Example, ...]:
    """One question for each of the first options, so that no option is more usual than another."""
    found: dict[int, Example] = {}
    for example in examples:
        if example.gold_index is not None and len(example.choices) <= MAX_LETTERED:
            found.setdefault(example.gold_index, example)
    return tuple(found[place] for place in sorted(found)[:NUM_WORKED])


def letter_probe(
    loaded: LoadedModel,
    worked: Sequence[Example],
    example: Example,
    number: int,
    *,
    first_letter: int = 0,
) -> PromptProbe | None:
    """Where the letter of a question's answer begins.

    Asked for are the letters of the choices, then the first ones that are no choice, as many. It is
    ``None`` if a letter is no token of its own, there are too few, or the prompt is too long.

    Args:
        loaded: the model.
        worked: questions in front, with their letters.
        example: the question.
        number: the prompt's number.
        first_letter: the place in `LETTERS` of the first choice's letter, at most `MAX_LETTERED`.
    """
    num_choices = len(example.choices)
    if num_choices > MAX_LETTERED:
        return None
    offered = LETTERS[first_letter:]
    foreign = [letter for letter in LETTERS if letter not in offered[:num_choices]]
    text = "\n\n".join(
        [
            *(f"{_lettered(item, offered)} {offered[item.gold_index or 0]}" for item in worked),
            _lettered(example, offered),
        ]
    )
    letters = (*offered[:num_choices], *foreign[:num_choices])
    return _probe(loaded, text, [f" {letter}" for letter in letters], number)


def word_probe(
    loaded: LoadedModel,
    task: Task,
    worked: Sequence[Example],
    example: Example,
    options: Sequence[str],
    number: int,
) -> PromptProbe | None:
    """Where the word that answers a question begins, asked in the task's own plain prompt.

    Asked for are the options' first tokens. It is ``None`` if two of them begin alike, one merges
    with the prompt, or the prompt is too long.
    """
    prompts = [asked_prompt(task, item) for item in (*worked, example)]
    shown = [
        f"{prompt.plain}{prompt.delimiter}{item.choices[item.gold_index or 0]}"
        for prompt, item in zip(prompts, worked, strict=False)
    ]
    asked = prompts[-1]
    text = "\n\n".join([*shown, asked.plain])
    answers = [f"{asked.delimiter}{option}" for option in options]
    return _probe(loaded, text, answers, number, may_go_on=True)


def _probe(
    loaded: LoadedModel,
    text: str,
    answers: Sequence[str],
    number: int,
    *,
    may_go_on: bool = False,
) -> PromptProbe | None:
    """The last position of a text, where the first token of each answer is asked for.

    Args:
        loaded: the model.
        text: the prompt.
        answers: what may follow it.
        number: the prompt's number.
        may_go_on: whether an answer may have more tokens than one.
    """
    try:
        context = plain_ids(loaded, text)
        followed = [plain_ids(loaded, f"{text}{answer}") for answer in answers]
    except PromptError:
        return None
    size = len(context)
    if any(ids[:size] != context or len(ids) == size for ids in followed):
        return None
    if not may_go_on and any(len(ids) > size + 1 for ids in followed):
        return None
    asked = tuple(ids[size] for ids in followed)
    if len(set(asked)) < len(asked):
        return None
    return PromptProbe(
        prompt=number,
        ids=context,
        positions=(size - 1,),
        labels=(DECISION,),
        asked=(asked,),
    )


def _lettered(example: Example, letters: str) -> str:
    lines = [
        f"{letter}. {choice}" for letter, choice in zip(letters, example.choices, strict=False)
    ]
    return "\n".join([f"Question: {example.question}", *lines, "Answer:"])
