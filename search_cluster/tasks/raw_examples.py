"""From raw rows to examples: rows are checked, counted, de-duplicated and split here alone.

A *row* is any value with a source (``file:line``). A converter turns its value into a `RawExample`,
or raises `RowError`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from search_cluster.errors import TaskError
from search_cluster.tasks.example import Example
from search_cluster.tasks.splits import normalize_text
from search_cluster.tasks.task import LoadedExamples, MalformedRow


class RowError(ValueError):
    """A row that can't be used; its text is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A raw value and where it was read."""

    source: str
    """The file and the line, as ``file:line``."""
    value: object
    """What was read there; nothing is known about it yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawExample:
    """An example's content, before it belongs to a task and a split."""

    question: str
    """The text of the question."""
    gold: str
    """The right answer, as in `Example`."""
    choices: tuple[str, ...] = ()
    """The texts of the choices; empty if the answer is generated freely."""
    gold_index: int | None = None
    """The index of the right choice; ``None`` without choices."""
    difficulty: str = ""
    """The data set's own label of difficulty, or empty."""
    split: str = ""
    """A split that the row itself names; empty if it names none."""
    fact: str = ""
    """What decides the split by hash; if it is empty, the question does."""

    @property
    def split_key(self) -> str:
        """The text that must not cross splits."""
        return self.fact or self.question


Converter = Callable[[object], RawExample]
"""Turns a row's value into a raw example, or raises `RowError`."""


def as_raw_example(value: object) -> RawExample:
    """The value itself, for rows that are converted already."""
    assert isinstance(value, RawExample)
    return value


def collect_examples(
    rows: Iterable[Row | MalformedRow],
    convert: Converter,
    *,
    task: str,
    split: str,
    belongs: Callable[[RawExample], bool],
    place: str = "the data",
    unique_questions: bool = False,
) -> LoadedExamples:
    """The examples of one split, in the order of the rows; each content comes once.

    Args:
        rows: raw rows, some of them already found malformed.
        convert: turns a value into a raw example.
        task: name of the task that the examples belong to.
        split: name of the split that the examples belong to.
        belongs: whether a good row belongs to this split.
        place: what holds the rows, for messages.
        unique_questions: keep the first row of each question only, even where answers or choices
            differ.

    Raises:
        TaskError: not one row is good, or not one good row belongs to the split.
    """
    examples: dict[str, Example] = {}
    malformed: list[MalformedRow] = []
    num_good = num_members = 0
    for row in rows:
        if isinstance(row, MalformedRow):
            malformed.append(row)
            continue
        try:
            raw = convert(row.value)
        except RowError as error:
            malformed.append(MalformedRow(source=row.source, reason=str(error)))
            continue
        num_good += 1
        if belongs(raw):
            num_members += 1
            example = _example(raw, task=task, split=split, source=row.source)
            identity = normalize_text(raw.question) if unique_questions else example.example_id
            examples.setdefault(identity, example)
    if not examples:
        raise TaskError(_nothing_usable(task, split, place, num_good, malformed))
    return LoadedExamples(
        examples=tuple(examples.values()),
        malformed=tuple(malformed),
        num_duplicates=num_members - len(examples),
    )


def _example(raw: RawExample, *, task: str, split: str, source: str) -> Example:
    return Example(
        task=task,
        question=raw.question,
        choices=raw.choices,
        gold=raw.gold,
        gold_index=raw.gold_index,
        split=split,
        source=source,
        difficulty=raw.difficulty,
    )


def _nothing_usable(
    task: str, split: str, place: str, num_good: int, malformed: list[MalformedRow]
) -> str:
    if num_good:
        return (
            f"split {split!r} of task {task} is empty: {num_good} good rows, all in other splits; "
            "add rows, or name each row's split"
        )
    if malformed:
        return (
            f"task {task}: not one good row among {len(malformed)}; the first, "
            f"{malformed[0].source}: {malformed[0].reason}; say which columns of a data file hold "
            "them, such as --field question=COLUMN --field answer=COLUMN, or compare the file with "
            "the layout in search_cluster/tasks/README.md"
        )
    return (
        f"task {task}: {place} holds no row at all; compare the file with the layout in "
        "search_cluster/tasks/README.md"
    )
