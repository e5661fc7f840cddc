"""The menu of a finished scan, in place of a study's.

The finalists are judged by the questions that confirmed them, what else survived the race by the
questions of the race, both as a study judges its paths.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.questions import TRAIN, VALIDATION, TaskQuestions
from search_cluster.scan.table import ScanTable
from search_cluster.search.study.answers import ProbeAnswers
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.menu import MenuPath


def menu_of_scan(
    table: ScanTable,
    questions: TaskQuestions,
    finalists: Collection[LayerPath],
    *,
    num_raced: int,
    without: Collection[str],
    max_drop: float,
    max_paths: int,
) -> tuple[MenuPath, ...]:
    """The paths of a scan that are likely as good as identity, shortest first.

    Args:
        table: what the scan asked.
        questions: the task's, in the order in which the scan asked them.
        finalists: what validation confirmed or not.
        num_raced: how many of train's questions the race asked; growth asked those behind them,
            of the best paths alone.
        without: ids of questions that must have no say, because they are searched.
        max_drop: how much rarer than identity a path may be right, as a share.
        max_paths: paths at most.
    """
    identity = LayerPath.identity(table.context.num_layers)
    # What the plain model has no answer to, such as a prompt that is too long, says nothing.
    answered = {
        (row.split, row.example_id)
        for row in table.rows.values()
        if row.path == identity and isinstance(row.outcome, Verdict)
    }

    def known(split: str, of_split: Sequence[Example]) -> list[Example]:
        return [
            question
            for question in of_split
            if (split, question.example_id) in answered and question.example_id not in without
        ]

    def probes(
        split: str, of_split: Sequence[Example], num_usual: int | None = None
    ) -> ProbeAnswers:
        found = ProbeAnswers(
            known(split, of_split), identity, max_drop=max_drop, num_usual=num_usual
        )
        rows = (row for row in table.rows.values() if row.split == split)
        for path in dict.fromkeys((identity, *(row.path for row in rows))):
            _take_first(found, table, path)
        return found

    confirmed = probes(VALIDATION, questions.validation).menu(max_paths)
    num_usual = len(known(TRAIN, questions.train[:num_raced]))
    raced = probes(TRAIN, questions.train, num_usual).menu(max_paths)
    others = [
        replace(item, fixing_place=item.fixing_place + len(confirmed))
        for item in raced
        if item.path not in finalists
    ]
    best = sorted((*confirmed, *others), key=lambda item: item.fixing_place)[:max_paths]
    return tuple(sorted(best, key=lambda item: (len(item.path), item.path.layers)))


def _take_first(found: ProbeAnswers, table: ScanTable, path: LayerPath) -> None:
    """Take a path's answers up to the first question that it was not asked."""
    for question in found.questions:
        row = table.rows.get((question.example_id, path))
        if row is None:
            return
        found.take([(question, path)], [row.outcome])
