"""Probes of answers of several tokens, each token asked for after those before it."""

from collections.abc import Sequence

import numpy as np

from search_cluster.errors import PromptError
from search_cluster.model.depth_states.labels import answer_label
from search_cluster.model.depth_states.plain_text import plain_ids
from search_cluster.model.depth_states.probes import PromptProbe
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_example
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task


def fact_probes(
    loaded: LoadedModel, facts: Sequence[tuple[str, str]], *, num_facts: int, seed: int
) -> tuple[tuple[PromptProbe, ...], int]:
    """Facts, drawn: prompts and answers.

    Equal prompts stand once, and answers that merge with their prompt are left out.

    Returns:
        The probes, and how many facts are left out because they can't be asked.
    """
    distinct = list(dict(facts).items())
    probes: list[PromptProbe] = []
    num_left_out = 0
    for number in np.random.default_rng(seed).permutation(len(distinct)):
        if len(probes) >= num_facts:
            break
        prompt, answer = distinct[number]
        try:
            context = plain_ids(loaded, prompt)
            joint = plain_ids(loaded, f"{prompt} {answer}")
        except PromptError:
            num_left_out += 1
            continue
        if context and joint[: len(context)] == context and len(joint) > len(context):
            probes.append(_probe(context, joint[len(context) :], int(number)))
    return tuple(probes), num_left_out


def gold_probes(
    loaded: LoadedModel, task: Task, examples: Sequence[Example]
) -> tuple[PromptProbe, ...]:
    """The right answers of questions with choices, as the product asks them."""
    probes = []
    for number, example in enumerate(examples):
        try:
            encoded = encode_example(loaded, task, example)
        except PromptError:
            continue
        if example.gold_index is not None and encoded.choice_ids:
            answer = encoded.choice_ids[example.gold_index]
            probes.append(_probe(encoded.context_ids, answer, number))
    return tuple(probes)


def _probe(context: tuple[int, ...], answer: tuple[int, ...], number: int) -> PromptProbe:
    last = len(context) - 1
    return PromptProbe(
        prompt=number,
        ids=(*context, *answer[:-1]),
        positions=tuple(last + at for at in range(len(answer))),
        labels=tuple(answer_label(len(answer), at + 1) for at in range(len(answer))),
        asked=tuple((token,) for token in answer),
    )
