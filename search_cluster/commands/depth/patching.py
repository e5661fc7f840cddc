"""Pairs of prompts of two tasks, of which one gives its states to the other's runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from search_cluster.commands.depth.drawn import DrawnQuestions
from search_cluster.commands.depth.forms import usual_number
from search_cluster.commands.depth.gathered import GatheredPatch
from search_cluster.commands.depth.reading import StudyReader
from search_cluster.errors import ConfigError
from search_cluster.model.depth_states.tables import Ints
from search_cluster.tasks.facts import facts_of
from search_cluster.tasks.task import AnswerKind, Task

if TYPE_CHECKING:
    from search_cluster.model.depth_states.patched import PatchPair
    from search_cluster.model.depth_states.probes import PromptProbe
    from search_cluster.model.lens.lens import Lens
    from search_cluster.model.loaded import LoadedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedByOption:
    """Questions of a task, each answered by one of the same options."""

    task: str
    options: tuple[str, ...]
    are_letters: bool
    probes: "tuple[PromptProbe, ...]"
    golds: tuple[int, ...]
    """The place of each question's right option."""
    facts: tuple[int, ...]
    """The fact that each question asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchPlan:
    """The pairs of a study."""

    donor: AskedByOption
    recipient: AskedByOption
    pairs: "tuple[PatchPair, ...]"
    digest: str
    """What the donors depend on: their task, and what its questions hold."""


def patch_plan(
    loaded: "LoadedModel",
    recipient: tuple[Task, DrawnQuestions],
    donor: tuple[Task, DrawnQuestions],
    num_pairs: int,
) -> PatchPlan:
    """Pair the questions of two tasks, in the order in which they were drawn.

    Args:
        loaded: the model.
        recipient: the study's task.
        donor: the task whose states are put in.
        num_pairs: how many pairs at most.

    Raises:
        ConfigError: a task has no options that can be asked for, or both have the same.
    """
    from search_cluster.model.depth_states.patched import PatchPair
    from search_cluster.model.depth_states.probes import sharing_their_beginning

    asked = asked_by_option(loaded, *recipient, num=num_pairs)
    first_letter = len(asked.options) if asked.are_letters else 0
    given = asked_by_option(loaded, *donor, num=num_pairs, first_letter=first_letter)
    common = {*given.probes[0].asked[0]} & {*asked.probes[0].asked[0]}
    if common:
        raise ConfigError(
            f"--patch {given.task} answers with {', '.join(given.options)}, and {asked.task} with "
            f"{', '.join(asked.options)}, which begin with a token in common; name a task of other "
            "options"
        )
    donors = sharing_their_beginning(given.probes)
    return PatchPlan(
        donor=given,
        recipient=asked,
        pairs=tuple(
            PatchPair(donor=one, recipient=other)
            for one, other in zip(donors, asked.probes, strict=False)
        ),
        digest=f"{donor[0].name} {donor[0].version} {donor[1].digest}",
    )


def asked_by_option(
    loaded: "LoadedModel", task: Task, drawn: DrawnQuestions, *, num: int, first_letter: int = 0
) -> AskedByOption:
    """Questions of a task, asked by words if all of them have the same ones, else by letters.

    Args:
        loaded: the model.
        task: the task.
        drawn: its questions; worked ones are taken from those that are not studied.
        num: how many at most.
        first_letter: see `letter_probe`.

    Raises:
        ConfigError: not one question can be asked so.
    """
    from search_cluster.model.depth_states.option_probes import (
        LETTERS,
        letter_probe,
        word_probe,
        worked_questions,
    )

    examples = [item for item in drawn.studied if item.gold_index is not None and item.choices]
    if not examples:
        raise ConfigError(
            f"--patch compares the options of two tasks, and the questions of {task.name} have "
            "none; name tasks with choices"
        )
    by_words = task.kind is AnswerKind.CHOICE and len({frozenset(e.choices) for e in examples}) == 1
    size = usual_number(examples)
    options = examples[0].choices if by_words else tuple(LETTERS[first_letter:][:size])
    worked = worked_questions([item for item in drawn.others if len(item.choices) == size])
    fact_of = facts_of([*drawn.studied, *drawn.others])
    probes: list[PromptProbe] = []
    golds: list[int] = []
    facts: list[int] = []
    for example in examples:
        if len(probes) == num:
            break
        if len(example.choices) != size:
            continue
        number, gold = len(probes), example.gold_index or 0
        if by_words:
            probe = word_probe(loaded, task, worked, example, options, number)
            gold = options.index(example.choices[gold])
        else:
            probe = letter_probe(loaded, worked, example, number, first_letter=first_letter)
        if probe is not None:
            probes.append(replace(probe, asked=(probe.asked[0][: len(options)],)))
            golds.append(gold)
            facts.append(fact_of[example.example_id])
    if not probes:
        raise ConfigError(
            f"--patch asks for the options {', '.join(options)} of {task.name}, and not one "
            "question can be asked so: as tokens they begin alike or merge with the prompt, or the "
            "prompt is too long; name other tasks"
        )
    return AskedByOption(
        task=task.name,
        options=options,
        are_letters=not by_words,
        probes=tuple(probes),
        golds=tuple(golds),
        facts=tuple(facts),
    )


def gather_patched(
    reader: StudyReader, lenses: "Mapping[str, Lens]", plan: PatchPlan
) -> GatheredPatch:
    """Read the donors with lenses, and run the recipients with their states."""
    donors = [pair.donor for pair in plan.pairs]
    return GatheredPatch(
        donor=plan.donor.task,
        recipient=plan.recipient.task,
        donor_options=plan.donor.options,
        recipient_options=plan.recipient.options,
        gold_N=np.array(plan.donor.golds[: len(donors)], dtype=np.int64),
        fact_N=drawn_together(plan.donor.facts[: len(donors)], plan.recipient.facts[: len(donors)]),
        donors=reader.table("patch-donors", lenses, donors),
        readings=reader.patched("patch", plan.pairs),
    )


def drawn_together(first: Sequence[int], second: Sequence[int]) -> Ints:
    """A number for each pair of facts, equal for pairs that have one in common, also by others."""
    rows, columns = (np.unique(facts, return_inverse=True)[1] for facts in (first, second))
    num_first, num_second = int(rows.max()) + 1, int(columns.max()) + 1
    graph = coo_array(
        (np.ones(len(rows)), (rows, num_first + columns)), shape=(num_first + num_second,) * 2
    )
    _, place = connected_components(graph, directed=False)
    return np.asarray(place[rows], dtype=np.int64)
