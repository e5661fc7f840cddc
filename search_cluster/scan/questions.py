"""The questions of a scan: what searches, what confirms and what reports, none of them twice."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from search_cluster.errors import TaskError
from search_cluster.scan.constants import RACE
from search_cluster.tasks.example import Example
from search_cluster.tasks.facts import facts_of, speakers_of
from search_cluster.tasks.selection import derive_seed, select_examples
from search_cluster.tasks.splits import THREE_WAY, TRAIN_VALIDATION, split_of
from search_cluster.tasks.task import Task, examples_if_any

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SHARES = {
    (VALIDATION, TEST): THREE_WAY,
    (VALIDATION,): TRAIN_VALIDATION,
    (TEST,): {TRAIN: 85, TEST: 15},
}
"""How train's questions are divided, in percent, where a task lacks these splits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQuestions:
    """The questions of one task, each part in the order in which it is asked."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    made: tuple[str, ...] = ()
    """The parts that are cut from train, because the task has no such split."""

    @property
    def everything(self) -> tuple[Example, ...]:
        """The questions of all parts."""
        return (*self.train, *self.validation, *self.test)


def task_questions(task: Task, data_dir: Path | None, seed: int) -> TaskQuestions:
    """All questions of a task in an order that the seed draws.

    Where the task has no validation or no test, train's questions are divided by their content,
    those that ask for one fact together.

    Raises:
        TaskError: a part has too few questions, or can't be read.
    """
    parts = {TRAIN: task.load(TRAIN, data_dir).examples}
    for split in (VALIDATION, TEST):
        parts[split] = examples_if_any(task, split, data_dir)
    missing = tuple(split for split in (VALIDATION, TEST) if not parts[split])
    if missing:
        pool = {split: list[Example]() for split in SHARES[missing]}
        for example, asked in zip(parts[TRAIN], _spoken_for(parts[TRAIN]), strict=True):
            # A task may have cut its own train by the same hash of the same text.
            pool[split_of(f"scan {asked}", SHARES[missing])].append(example)
        parts |= {split: tuple(examples) for split, examples in pool.items()}
    used: set[str] = set()
    for split in (TEST, VALIDATION, TRAIN):  # what stands in two splits is left to the later one
        parts[split] = tuple(item for item in parts[split] if item.example_id not in used)
        used.update(item.example_id for item in parts[split])
        if len(parts[split]) < RACE.min_questions:
            cut = f", {' and '.join(missing)} being cut from train," if missing else ""
            raise TaskError(
                f"task {task.name} has {len(parts[split])} questions for {split}{cut} and a scan "
                f"needs {RACE.min_questions} in each of train, validation and test; give the task "
                "more questions"
            )
    order = derive_seed(seed, "scan")
    drawn = {split: select_examples(examples, None, order) for split, examples in parts.items()}
    return TaskQuestions(
        train=drawn[TRAIN], validation=drawn[VALIDATION], test=drawn[TEST], made=missing
    )


def questions_by_id(tasks: Iterable[Task], data_dir: Path | None, seed: int) -> dict[str, Example]:
    """All questions of tasks that a scan has asked, by their ids.

    Raises:
        TaskError: a part of a task has too few questions, or can't be read.
    """
    asked = (task_questions(task, data_dir, seed) for task in tasks)
    return {example.example_id: example for of_task in asked for example in of_task.everything}


def _spoken_for(examples: Sequence[Example]) -> list[str]:
    """The question by which each is divided: of a fact, that of the lowest id speaks for all."""
    question_of = {example.example_id: example.question for example in examples}
    speakers = speakers_of(facts_of(examples))
    return [question_of[speakers[example.example_id]] for example in examples]


def taking_turns(questions: Iterable[Sequence[Example]], num_questions: int) -> list[Example]:
    """The first questions of each task, those of several tasks taking turns."""
    tasks = [list(of_task[:num_questions]) for of_task in questions]
    return [question for turn in zip(*tasks, strict=True) for question in turn]
