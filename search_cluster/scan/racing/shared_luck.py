"""The luck that all paths of a step of growth share on its questions: a control variate.

A step has fresh questions, few of them at first, and its paths differ by an edit or two: questions
that suit one of them suit all. The paths that they were made of have met all other questions, too,
and show how lucky these ones are. So much is taken off what the new paths gain there: the
regression estimate with a coefficient of 1 that is not fitted (Cochran 1977, *Sampling Techniques*,
chapter 7). Log, "the luck of a step's questions": it is up to 6 points, and fitted coefficients are
1.0 to 1.7.

Pure.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.answers import AnswerTable
from search_cluster.scan.space import Candidate

_NONE: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What some witnesses gain on average, question by question, and overall."""

    gains: Mapping[AnswerTable, tuple[float, ...]]
    tasks: Mapping[AnswerTable, tuple[str, ...]]
    overall: Mapping[str, float]
    """By task, the mean over the questions of all tables."""

    def luck_of(self, path: LayerPath, tables: Sequence[AnswerTable]) -> Mapping[str, float]:
        """How much more they gain on the questions of some tables that a path has met, by task."""
        gains: list[float] = []
        tasks: list[str] = []
        for table in tables:
            num_met = len(table.places(path))
            gains += self.gains[table][:num_met]
            tasks += self.tasks[table][:num_met]
        return {task: mean - self.overall[task] for task, mean in _means(gains, tasks).items()}


class SharedLuck:
    """How lucky the questions of each step are, as far as it is known.

    Witnesses of a step are the paths of earlier steps that have run on all questions that anybody
    was asked. What is asked later is not taken in.

    Args:
        tables: the answers of the steps, in their order; the first step has no witnesses.
        candidates: all paths that were tried.
    """

    def __init__(self, tables: Sequence[AnswerTable], candidates: Collection[Candidate]) -> None:
        self._tables = tuple(tables)
        met_all = [item for item in candidates if self._has_met_all(item.path)]
        self._seen: dict[AnswerTable, _Seen] = {}
        for step, table in enumerate(tables):
            if witnesses := [item.path for item in met_all if item.step < step]:
                self._seen[table] = self._seen_by(witnesses)

    def on(self, path: LayerPath, tables: Sequence[AnswerTable]) -> tuple[Mapping[str, float], ...]:
        """What to take off each gain of a path in each of some tables, in worth, by task.

        Nothing is known of tables that are not of the search, and nothing is to be taken off what
        a path gains on all questions together. The questions of the first step count as they are,
        but not beside others from which luck is taken: what a path has met of several steps, the
        first one among them, is as lucky as it is for the witnesses together.
        """
        if set(self._tables) <= set(tables) and self._has_met_all(path):
            return (_NONE,) * len(tables)
        met = [table for table in self._tables if table in tables and path in table.by_path]
        witnessed = [table for table in met if table in self._seen]
        if witnessed and len(witnessed) < len(met):
            together = self._seen[witnessed[0]].luck_of(path, met)
            return tuple(together if table in met else _NONE for table in tables)
        return tuple(
            self._seen[table].luck_of(path, [table]) if table in witnessed else _NONE
            for table in tables
        )

    def _seen_by(self, witnesses: Sequence[LayerPath]) -> _Seen:
        gains = {table: _mean_gains(table, witnesses) for table in self._tables}
        tasks = {
            table: tuple(table.questions[place].task for place in table.places(table.identity))
            for table in self._tables
        }
        overall = _means(
            [gain for of_table in gains.values() for gain in of_table],
            [task for of_table in tasks.values() for task in of_table],
        )
        return _Seen(gains, tasks, overall)

    def _has_met_all(self, path: LayerPath) -> bool:
        return all(
            len(table.by_path.get(path, ())) >= len(table.by_path[table.identity])
            for table in self._tables
        )


def _mean_gains(table: AnswerTable, paths: Sequence[LayerPath]) -> tuple[float, ...]:
    """What paths gain on each question that the plain model answers, on average."""
    gains = [table.gains(path, table.identity) for path in paths]
    return tuple(math.fsum(of_question) / len(paths) for of_question in zip(*gains, strict=True))


def _means(gains: Sequence[float], tasks: Sequence[str]) -> dict[str, float]:
    """The mean of each task's gains."""
    by_task: dict[str, list[float]] = {}
    for gain, task in zip(gains, tasks, strict=True):
        by_task.setdefault(task, []).append(gain)
    return {task: math.fsum(of_task) / len(of_task) for task, of_task in by_task.items()}


NO_LUCK = SharedLuck((), ())
"""Of searches of one step."""
