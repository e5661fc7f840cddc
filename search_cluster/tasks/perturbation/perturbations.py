"""Perturbations: derived questions under which the right answer stays right.

A path that is right by luck seldom stays right when choices are exchanged or re-ordered, or the
question is put in other words. A perturbed example is an ordinary one with an id of its own: the
task asks and grades it, and caches hold its verdicts. Everything is decided by sha256, so that
equal questions have equal perturbations on every machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Protocol, runtime_checkable

from search_cluster.errors import InvalidValueError
from search_cluster.tasks.example import Example
from search_cluster.tasks.perturbation.distractors import redistracted
from search_cluster.tasks.perturbation.orders import reordered
from search_cluster.tasks.selection import derive_seed
from search_cluster.tasks.task import AnswerKind, Task


class EvidenceRole(StrEnum):
    """What a perturbation may be used for; whatever the seeds, none has two roles."""

    GUIDE = "guide"
    """It may guide the search."""
    VERIFY = "verify"
    """It is reserved for verification and never guides a search."""
    FRESH = "fresh"
    """It is for benchmarks that judge search and verification, and is used by neither."""


class PerturbationKind(StrEnum):
    """What differs from the original question."""

    ORDER = "order"
    """The order of the choices, where the prompt lists them; the right one gets another letter."""
    DISTRACTORS = "distractors"
    """The wrong choices, where choices are scored: wrong answers of other questions replace them or
    join them."""
    WORDING = "wording"
    """The templates that ask."""


TURN = (
    PerturbationKind.ORDER,
    PerturbationKind.DISTRACTORS,
    PerturbationKind.ORDER,
    PerturbationKind.DISTRACTORS,
    PerturbationKind.WORDING,
)
"""The kinds in the order in which they come, over and over; a task has some of them. Other choices
come twice as often as other words, which tell luck from skill less well: ruined models answer much
the same whatever the words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation:
    """A derived question, immutable."""

    kind: PerturbationKind
    """What differs from the original."""
    role: EvidenceRole
    """What the derived question may be used for."""
    example: Example
    """The derived question, an ordinary example with an id of its own."""


@runtime_checkable
class PerturbableTask(Task, Protocol):
    """A task that says how its examples may be perturbed.

    Tasks without these members have no perturbations.
    """

    @property
    def num_wordings(self) -> int:
        """The number of wordings beside the usual one.

        ``prompt`` takes examples whose ``wording`` is from 0 (the usual one) to this number.
        """
        ...

    @property
    def lists_choices(self) -> bool:
        """Whether prompts of both styles show the choices, so that their order matters."""
        ...


def perturbations(
    task: Task,
    example: Example,
    others: Sequence[Example],
    *,
    role: EvidenceRole,
    count: int,
    seed: int,
) -> tuple[Perturbation, ...]:
    """Up to ``count`` distinct perturbations of one role, their kinds as in `TURN`.

    There are fewer where the task has no more.

    Perturbations of different roles never coincide, nor equal the original: orders, distractors and
    wordings are dealt to roles by rules that know nothing of ``seed`` and ``others``.

    Args:
        task: the task of the example.
        example: the original question.
        others: questions of the same task whose wrong answers may serve as distractors; pass the
            same ones each time, for speed and for the same result.
        role: what the perturbations are for.
        count: the largest number of perturbations; a smaller one gives a prefix.
        seed: any integer; it decides which ones of the role come first.

    Raises:
        InvalidValueError: the count is negative.
    """
    if count < 0:
        raise InvalidValueError(f"count is {count}; ask for 0 or more perturbations")
    if not isinstance(task, PerturbableTask):
        return ()
    part, num_parts = list(EvidenceRole).index(role), len(EvidenceRole)
    streams: dict[PerturbationKind, Iterator[Example]] = {}
    scores_choices = task.kind is AnswerKind.CHOICE
    if task.lists_choices:
        streams[PerturbationKind.ORDER] = reordered(
            example, gold_is_text=scores_choices, part=part, num_parts=num_parts, seed=seed
        )
    if scores_choices:
        streams[PerturbationKind.DISTRACTORS] = redistracted(
            example, others, part=part, num_parts=num_parts, seed=seed
        )
    streams[PerturbationKind.WORDING] = _reworded(task, example, part, num_parts, seed)
    return tuple(
        Perturbation(kind=kind, role=role, example=derived)
        for kind, derived in islice(_in_turn(streams), count)
    )


def _reworded(
    task: PerturbableTask, example: Example, part: int, num_parts: int, seed: int
) -> Iterator[Example]:
    numbers = [
        number
        for number in range(1 + part, task.num_wordings + 1, num_parts)
        if number != example.wording
    ]
    numbers.sort(key=lambda number: derive_seed(seed, f"{example.example_id} wording {number}"))
    return (replace(example, wording=number) for number in numbers)


def _in_turn(
    streams: dict[PerturbationKind, Iterator[Example]],
) -> Iterator[tuple[PerturbationKind, Example]]:
    """Derived questions in the order of `TURN`, until all kinds have ended."""
    running = dict(streams)
    while running:
        for kind in TURN:
            derived = next(running[kind], None) if kind in running else None
            if derived is not None:
                yield kind, derived
            else:
                running.pop(kind, None)
