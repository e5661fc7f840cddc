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
from search_cluster.tasks.task import LoadedExamples, MalformedRow, Task, load_if_any

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
    malformed: tuple[MalformedRow, ...] = ()
    """The rows of all parts that are no questions."""

    @property
    def everything(self) -> tuple[Example, ...]:
        """The questions of all parts."""
        return (*self.train, *self.validation, *self.test)


def task_questions(
    task: Task, data_dir: Path | None, seed: int, *, is_guard: bool = False
) -> TaskQuestions:
    """All questions of a task in an order that the seed draws.

    Where the task has no validation or no test, train's questions are divided by their content,
    those that ask for one fact together.

    Args:
        task: the task.
        data_dir: where its data is.
        seed: of the order.
        is_guard: whether test alone is asked, so that the other parts may be small, or missing.

    Raises:
        TaskError: a part has too few questions, or can't be read.
    """
    loaded = {
        TRAIN: load_if_any(task, TRAIN, data_dir) if is_guard else task.load(TRAIN, data_dir),
        VALIDATION: load_if_any(task, VALIDATION, data_dir),
        TEST: load_if_any(task, TEST, data_dir),
    }
    parts = {split: of_split.examples for split, of_split in loaded.items()}
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
        if len(parts[split]) < RACE.min_questions and (split == TEST or not is_guard):
            cut = f", {' and '.join(missing)} being cut from train," if missing else ""
            needing = "a guard needs" if is_guard else "a scan needs"
            everywhere = "" if is_guard else " in each of train, validation and test"
            raise TaskError(
                f"task {task.name} has {len(parts[split])} questions for {split}{cut} and "
                f"{needing} {RACE.min_questions}{everywhere}; give the task more questions"
                f"{_left_out(loaded[TRAIN if split in missing else split])}"
            )
    order = derive_seed(seed, "scan")
    drawn = {split: select_examples(examples, None, order) for split, examples in parts.items()}
    return TaskQuestions(
        train=drawn[TRAIN],
        validation=drawn[VALIDATION],
        test=drawn[TEST],
        made=tuple(split for split in missing if split == TEST or not is_guard),
        malformed=tuple(
            dict.fromkeys(row for of_split in loaded.values() for row in of_split.malformed)
        ),
    )


def questions_by_id(tasks: Iterable[Task], data_dir: Path | None, seed: int) -> dict[str, Example]:
    """All questions of tasks that a scan has asked, by their ids.

    Raises:
        TaskError: a part of a task has too few questions, or can't be read.
    """
    # Some may be guards, and what was asked is not asked of any part again.
    asked = (task_questions(task, data_dir, seed, is_guard=True) for task in tasks)
    return {example.example_id: example for of_task in asked for example in of_task.everything}


def _left_out(loaded: LoadedExamples) -> str:
    """What is no question of its own, in words; empty if there is no such row."""
    rows = [
        f"{number} {what}"
        for number, what in (
            (loaded.num_duplicates, "repeat others"),
            (len(loaded.malformed), "can't be used"),
        )
        if number
    ]
    found = f" (of its rows {' and '.join(rows)}: `search-cluster tasks check` lists them)"
    return found if rows else ""


def _spoken_for(examples: Sequence[Example]) -> list[str]:
    """The question by which each is divided: of a fact, that of the lowest id speaks for all."""
    question_of = {example.example_id: example.question for example in examples}
    speakers = speakers_of(facts_of(examples))
    return [question_of[speakers[example.example_id]] for example in examples]


def taking_turns(questions: Iterable[Sequence[Example]], num_questions: int) -> list[Example]:
    """The first questions of each task, those of several tasks taking turns."""
    tasks = [list(of_task[:num_questions]) for of_task in questions]
    return [question for turn in zip(*tasks, strict=True) for question in turn]
