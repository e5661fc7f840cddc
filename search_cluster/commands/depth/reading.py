"""What a study reads and executes, part by part."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from search_cluster.commands.depth.parts import Arrays, PartStore
from search_cluster.errors import ConfigError
from search_cluster.model.depth_states.executed_answers import ExecutedAnswers, all_questions
from search_cluster.model.depth_states.later_tokens import LaterTokens, all_later
from search_cluster.model.depth_states.patch_readings import PatchReadings, all_pairs
from search_cluster.model.depth_states.tables import (
    AnyArray,
    Ints,
    PathReadings,
    ReadingTable,
    joined,
)

if TYPE_CHECKING:
    from search_cluster.model.depth_states.patched import PatchPair
    from search_cluster.model.depth_states.probes import PromptProbe
    from search_cluster.model.lens.lens import Lens
    from search_cluster.model.loaded import LoadedModel
    from search_cluster.paths.layer_path import LayerPath
    from search_cluster.tasks.example import Example
    from search_cluster.tasks.task import Task

POSITIONS_PER_PART = 640
"""Few positions at a time would read the head's weights more often than they are worth."""
QUESTIONS_PER_PART = 8
LATER_PREFIX = "later."
Item = TypeVar("Item")


@dataclass(slots=True)
class StudyReader:
    """Reads experiments of one model, and keeps each part when it is done."""

    loaded: "LoadedModel"
    store: PartStore
    on_part: Callable[[int, int], None]
    """Called after each part of an experiment, with how many are done and how many there are."""
    counts: dict[str, int] = field(default_factory=dict)
    """Positions, head reads and executed verdicts of the study, kept parts included."""

    def table(
        self,
        name: str,
        lenses: "Mapping[str, Lens]",
        probes: "Sequence[PromptProbe]",
        bucket_V: Ints | None = None,
        translators: Sequence[int] | None = None,
    ) -> ReadingTable:
        """What lenses read at the positions of an experiment; see `read_probes`."""
        from search_cluster.model.depth_states.probes import read_probes

        if not probes:
            raise ConfigError(
                f"experiment {name} has nothing to read; give it a file with more in it"
            )

        def make(part: "Sequence[PromptProbe]") -> Arrays:
            return read_probes(self.loaded, lenses, part, bucket_V, translators).to_arrays()

        sizes = [len(probe.positions) for probe in probes]
        parts = self._parts(name, split_by_size(probes, sizes, POSITIONS_PER_PART), make)
        table = joined([ReadingTable.from_arrays(arrays) for arrays in parts])
        self._count(table.num_positions, len(lenses))
        return table

    def questions(
        self,
        name: str,
        lenses: "Mapping[str, Lens]",
        by_question: "Sequence[Sequence[PromptProbe]]",
    ) -> tuple[ReadingTable, LaterTokens]:
        """What lenses read of a task's questions."""
        from search_cluster.model.depth_states.question_probes import read_questions

        def make(part: "Sequence[Sequence[PromptProbe]]") -> Arrays:
            table, later = read_questions(
                self.loaded, lenses, [probe for probes in part for probe in probes]
            )
            own = {f"{LATER_PREFIX}{key}": value for key, value in later.to_arrays().items()}
            return table.to_arrays() | own

        tables, read_later = [], []
        for arrays in self._parts(name, split(by_question, QUESTIONS_PER_PART), make):
            later = {
                key.removeprefix(LATER_PREFIX): value
                for key, value in arrays.items()
                if key.startswith(LATER_PREFIX)
            }
            tables.append(
                ReadingTable.from_arrays(
                    {k: v for k, v in arrays.items() if not k.startswith(LATER_PREFIX)}
                )
            )
            read_later.append(LaterTokens.from_arrays(later))
        table, tokens = joined(tables), all_later(read_later)
        self._count(table.num_positions + len(tokens.prompt_M), len(lenses))
        return table, tokens

    def path(
        self,
        name: str,
        lenses: "Mapping[str, Lens]",
        probes: "Sequence[PromptProbe]",
        path: "LayerPath",
    ) -> dict[str, PathReadings]:
        """What lenses read along a path."""
        from search_cluster.model.depth_states.path_probes import read_path

        def make() -> Arrays:
            found = read_path(self.loaded, lenses, probes, path)
            return {
                f"{lens}.{key}": getattr(readings, key)
                for lens, readings in found.items()
                for key in PathReadings.__slots__
            }

        arrays = self.store.arrays(name, make)
        found = {
            lens: PathReadings(**{key: arrays[f"{lens}.{key}"] for key in PathReadings.__slots__})
            for lens in lenses
        }
        num_reads = 2 * (len(path) + 1) * len(next(iter(found.values())).prompt_N) * len(lenses)
        self.counts["head_reads"] = self.counts.get("head_reads", 0) + num_reads
        return found

    def patched(self, name: str, pairs: "Sequence[PatchPair]") -> PatchReadings:
        """What prompts answer with the states of others."""
        from search_cluster.model.depth_states.patched import read_patched

        def make(part: "Sequence[PatchPair]") -> Arrays:
            return read_patched(self.loaded, part).to_arrays()

        parts = self._parts(name, split(pairs, QUESTIONS_PER_PART), make)
        found = all_pairs([PatchReadings.from_arrays(arrays) for arrays in parts])
        self._count(len(pairs), 1)
        return found

    def executed(
        self,
        name: str,
        task: "Task",
        examples: "Sequence[Example]",
        paths: "Sequence[LayerPath]",
    ) -> ExecutedAnswers:
        """What paths answer to questions."""
        from search_cluster.model.depth_states.executed import execute
        from search_cluster.model.engine.executor import PathExecutor

        executors: list[PathExecutor] = []

        def make(part: "Sequence[Example]") -> Arrays:
            if not executors:
                executors.append(PathExecutor(self.loaded, task))
            return execute(executors[0], part, paths).to_arrays()

        parts = self._parts(name, split(examples, QUESTIONS_PER_PART), make)
        found = [ExecutedAnswers.from_arrays(arrays) for arrays in parts]
        num = len(examples) * len(paths)
        self.counts["executed_verdicts"] = self.counts.get("executed_verdicts", 0) + num
        return all_questions(found)

    def _parts(
        self,
        name: str,
        parts: Sequence[Sequence[Item]],
        make: Callable[[Sequence[Item]], Arrays],
    ) -> Iterator[dict[str, AnyArray]]:
        """What each part of an experiment gave, kept or made now."""
        for number, part in enumerate(parts):
            yield self.store.arrays(f"{name}-{number:04}", partial(make, part))
            self.on_part(number + 1, len(parts))

    def _count(self, num_positions: int, num_lenses: int) -> None:
        reads = num_positions * (self.loaded.num_layers + 1) * num_lenses
        self.counts["positions"] = self.counts.get("positions", 0) + num_positions
        self.counts["head_reads"] = self.counts.get("head_reads", 0) + reads


def split(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """The items in parts of that size; the last one may be smaller."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def split_by_size(items: Sequence[Item], sizes: Sequence[int], most: int) -> list[Sequence[Item]]:
    """Neighbours in parts whose sizes sum up to ``most`` at most; a larger item stands alone."""
    firsts, total = [0], 0
    for place, size in enumerate(sizes):
        total += size
        if total > most and place > firsts[-1]:
            firsts.append(place)
            total = size
    return [items[first:end] for first, end in pairwise([*firsts, len(items)])]
