"""A scan's three splits: the task's own, or cut from train; no question stands in two."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from search_cluster.errors import TaskError, UnreadableDataError
from search_cluster.scan.questions import taking_turns, task_questions
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.splits import TRAIN_VALIDATION, split_of
from search_cluster.tasks.task import LoadedExamples, MalformedRow, Task

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """Stands in for a task that has some splits only."""

    sizes: dict[str, range] = field(default_factory=dict)
    name: str = "made up"

    def load(self, split: str, data_dir: Path | None) -> LoadedExamples:
        if split not in self.sizes:
            raise TaskError(f"no {split}")
        return LoadedExamples(
            examples=tuple(
                Example(task=self.name, question=f"q{n}", gold="g", split=split, source="s")
                for n in self.sizes[split]
            )
        )


@dataclass(frozen=True)
class SixWays:
    """Stands in for a task that asks for 300 facts in six ways each, and has one split."""

    name: str = "made up"

    def load(self, split: str, data_dir: Path | None) -> LoadedExamples:
        if split != "train":
            raise TaskError(f"no {split}")
        return LoadedExamples(
            examples=tuple(
                Example(
                    task=self.name,
                    question=f"{way}, {fact}?",
                    gold=f"fact {fact}",
                    split=split,
                    source="s",
                )
                for fact in range(300)
                for way in ("what", "which", "who", "where", "when", "why")
            )
        )


def test_where_train_is_divided_no_fact_is_asked_for_in_two_parts() -> None:
    task: Task = SixWays()  # type: ignore[assignment]
    found = task_questions(task, None, 0)
    parts = [{item.gold for item in part} for part in (found.train, found.validation, found.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 300
    for part, share in zip(parts, (0.70, 0.15, 0.15), strict=True):
        assert len(part) / 300 == pytest.approx(share, abs=0.08)


def load(**sizes: range) -> tuple[set[str], set[str], set[str]]:
    task: Task = Splits(sizes)  # type: ignore[assignment]
    found = task_questions(task, None, 0)
    train, validation, test = (
        {item.question for item in part} for part in (found.train, found.validation, found.test)
    )
    assert len(train | validation | test) == len(train) + len(validation) + len(test)
    return train, validation, test


def test_the_tasks_own_splits_are_used_and_the_seed_draws_their_order() -> None:
    task = get_task("elements")
    found, again, other = (task_questions(task, None, seed) for seed in (3, 3, 4))
    assert found == again
    assert found.train != other.train
    assert set(found.train) == set(other.train) == set(task.load("train", None).examples)
    assert not found.made


@pytest.mark.parametrize(
    ("present", "shares"),
    [
        (("train",), (0.70, 0.15, 0.15)),
        (("train", "validation"), (0.85, None, 0.15)),
        (("train", "test"), (0.85, 0.15, None)),
    ],
)
def test_what_is_missing_is_cut_from_train(
    present: tuple[str, ...], shares: tuple[float | None, ...]
) -> None:
    ranges = {"train": range(1_000), "validation": range(1_000, 1_100), "test": range(2_000, 2_100)}
    parts = load(**{name: ranges[name] for name in present})
    for part, share in zip(parts, shares, strict=True):
        assert len(part) == (100 if share is None else pytest.approx(1_000 * share, abs=40))


def test_a_task_that_cut_its_train_by_the_same_hash_still_gets_a_test() -> None:
    own = [n for n in range(1_000) if split_of(f"q{n}", TRAIN_VALIDATION) == "train"]
    task: Task = Splits({"train": own, "validation": range(2_000, 2_050)})  # type: ignore
    assert len(task_questions(task, None, 0).test) > 80


def test_a_question_of_two_splits_is_left_to_the_later_one() -> None:
    train, validation, test = load(
        train=range(100), validation=range(50, 120), test=range(110, 150)
    )
    assert (len(train), len(validation), len(test)) == (50, 60, 40)


def test_too_few_questions_are_refused() -> None:
    with pytest.raises(TaskError, match="has 9 questions for test and a scan needs 16"):
        load(train=range(100), validation=range(200, 250), test=range(300, 309))
    with pytest.raises(TaskError, match="validation and test being cut from train"):
        load(train=range(40))


def test_rows_that_are_no_questions_are_said_where_too_few_are_left() -> None:
    class Damaged(Splits):
        def load(self, split: str, data_dir: Path | None) -> LoadedExamples:
            found = super().load(split, data_dir)
            return replace(
                found,
                malformed=(MalformedRow(source=split, reason="empty"),) * 2,
                num_duplicates=85,
            )

    task: Task = Damaged({"train": range(15)})  # type: ignore
    with pytest.raises(TaskError) as raised:
        task_questions(task, None, 0)
    assert str(raised.value).endswith(
        "give the task more questions (of its rows 85 repeat others and 2 can't be used: "
        "`search-cluster tasks check` lists them)"
    )
    task = Damaged({split: range(99 * n, 99 * n + 50) for n, split in enumerate(SPLITS)})  # type: ignore
    found = task_questions(task, None, 0)
    assert found.malformed == tuple(MalformedRow(source=split, reason="empty") for split in SPLITS)


def test_a_guard_needs_test_alone() -> None:
    task: Task = Splits({"test": range(60)})  # type: ignore[assignment]
    with pytest.raises(TaskError, match="no train"):
        task_questions(task, None, 0)
    found = task_questions(task, None, 0, is_guard=True)
    assert (len(found.train), len(found.validation), len(found.test)) == (0, 0, 60)
    assert found.made == ()
    few: Task = Splits({"train": range(100), "test": range(200, 209)})  # type: ignore
    with pytest.raises(TaskError, match=r"has 9 questions for test.* and a guard needs 16; give"):
        task_questions(few, None, 0, is_guard=True)


@pytest.mark.parametrize("own", [("train",), ("train", "validation"), SPLITS])
def test_a_guard_is_asked_what_it_would_be_asked_as_a_task(own: tuple[str, ...]) -> None:
    task: Task = Splits({split: range(999 * n, 999 * n + 500) for n, split in enumerate(own)})  # type: ignore
    as_task, as_guard = (task_questions(task, None, 0, is_guard=flag) for flag in (False, True))
    assert as_guard.test == as_task.test
    assert as_guard.made == tuple(split for split in as_task.made if split == "test")


def test_several_tasks_take_turns() -> None:
    one, two = ([Example(task=t, question=str(n), gold="g", split="train", source="s")
                 for n in range(5)] for t in ("a", "b"))  # fmt: skip
    found = taking_turns([one, two], 3)
    assert [(item.task, item.question) for item in found] == [
        (task, str(n)) for n in range(3) for task in ("a", "b")
    ]


def test_a_split_that_cannot_be_read_is_none_that_is_missing() -> None:
    class Offline(Splits):
        def load(self, split: str, data_dir: Path | None) -> LoadedExamples:
            if split == "test":
                raise UnreadableDataError("no network")
            return super().load(split, data_dir)

    task: Task = Offline({"train": range(1_000), "validation": range(2_000, 2_050)})  # type: ignore
    with pytest.raises(UnreadableDataError, match="no network"):
        task_questions(task, None, 0)
