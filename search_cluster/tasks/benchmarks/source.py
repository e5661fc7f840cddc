"""Sources of published benchmarks: the hub through ``datasets``, or local files.

Local files have the layouts of `search_cluster/tasks/README.md`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from search_cluster.errors import TaskError
from search_cluster.tasks.data_dir import DATA_DIR_VARIABLE
from search_cluster.tasks.raw_examples import Converter, RawExample, Row, RowError, collect_examples
from search_cluster.tasks.sources.files import RawRows, read_rows
from search_cluster.tasks.sources.hub import load_part
from search_cluster.tasks.splits import split_of
from search_cluster.tasks.task import SPLITS, LoadedExamples, MalformedRow
from search_cluster.tasks.twins import question_key, warn_of_contradictions


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a published data set, on the hub and on disk."""

    repository: str
    """The data set on the hub, such as ``allenai/ai2_arc``. If it holds ``{config}``, this stands
    for each configuration in turn, which is then a data set of its own."""
    configs: tuple[str, ...]
    """The configurations that together hold the part."""
    hub_split: str
    """The hub's own name of the part."""
    files: str
    """The glob of the local files, relative to the data folder."""
    shares: Mapping[str, int] | None = None
    """The percentage of each split, cut by hash of the question; ``None`` if the whole part belongs
    to one split."""
    read: Callable[[Path], RawRows] = read_rows
    """Reads a local file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSource:
    """A `Source` over parts that never puts one question into two splits.

    Two questions are one if their texts are, however they are typed.

    What test asks is dropped from validation, and what either asks is dropped from train, since
    some publishers repeat questions.
    """

    keeps_apart: ClassVar[bool] = True
    """Equal questions are taken out here."""
    parts: Mapping[str, Part]
    """The part that each split is taken from; a split that is not here does not exist."""
    convert: Converter
    """Turns the value of a row into a raw example."""
    layout: str
    """The local record layout, for messages."""
    unique_questions: bool = False
    """Whether to keep only the first row of each question."""

    def __call__(self, task: str, split: str, data_dir: Path | None) -> LoadedExamples:
        """The examples of one split.

        Raises:
            TaskError: there is no such split, a file or the hub can't be read, or not one row is
                good.
        """
        if split not in self.parts:
            raise TaskError(
                f"task {task} has no {split} split; it has {', '.join(self.parts)}: name one of "
                "these"
            )
        part = self.parts[split]
        held_out = self._held_out_questions(task, split, data_dir)

        def belongs(raw: RawExample) -> bool:
            in_share = part.shares is None or split_of(raw.split_key, part.shares) == split
            return in_share and question_key(raw.question) not in held_out

        rows = self._rows(task, part, data_dir, split)
        loaded = collect_examples(
            rows,
            self.convert,
            task=task,
            split=split,
            belongs=belongs,
            place=part.repository if data_dir is None else str(data_dir / part.files),
            unique_questions=self.unique_questions,
        )
        warn_of_contradictions(loaded.examples, task)
        return loaded

    def _held_out_questions(self, task: str, split: str, data_dir: Path | None) -> set[str]:
        """What later splits ask; a later part without files holds nothing out."""
        names = [name for name in SPLITS[SPLITS.index(split) + 1 :] if name in self.parts]
        later = {self.parts[name].files: self.parts[name] for name in names}
        later.pop(self.parts[split].files, None)  # one part cut by hash is disjoint already
        return {
            question
            for part in later.values()
            if data_dir is None or any(data_dir.glob(part.files))
            for question in self._questions(self._rows(task, part, data_dir, split))
        }

    def _questions(self, rows: RawRows) -> Iterator[str]:
        for row in rows:
            if isinstance(row, MalformedRow):
                continue
            try:
                yield question_key(self.convert(row.value).question)
            except RowError:
                continue  # counted and reported when its own split is loaded

    def _rows(self, task: str, part: Part, data_dir: Path | None, split: str) -> RawRows:
        """The rows of a part that a split needs, which messages name."""
        return (
            self._hub_rows(task, part, split)
            if data_dir is None
            else self._local_rows(task, part, data_dir, split)
        )

    def _local_rows(self, task: str, part: Part, data_dir: Path, split: str) -> RawRows:
        paths = sorted(data_dir.glob(part.files))
        if not paths:
            raise TaskError(
                f"split {split!r} of task {task}: no file {data_dir / part.files} with "
                f"records {self.layout}; put it there, name another folder with "
                f"--data-dir or {DATA_DIR_VARIABLE}, or leave both out to load {part.repository} "
                "from the hub"
            )
        for path in paths:
            yield from part.read(path)

    def _hub_rows(self, task: str, part: Part, split: str) -> RawRows:
        for config in part.configs:
            repository = part.repository.format(config=config)
            config = config if repository == part.repository else "default"
            rows = load_part(
                repository,
                config,
                part.hub_split,
                asked_for=f"split {split!r} of task {task}",
                advice=f", or name a folder with {part.files} by --data-dir or {DATA_DIR_VARIABLE}",
            )
            for number, value in enumerate(rows):
                yield Row(source=f"{repository}/{config}/{part.hub_split}:{number}", value=value)
