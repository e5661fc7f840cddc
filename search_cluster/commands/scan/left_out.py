"""Which questions of a scan count for nobody, and why."""

from collections.abc import Mapping, Sequence

from search_cluster.corpus.causes import cause_of
from search_cluster.faults import counted
from search_cluster.scan.answers import AnswerTable
from search_cluster.scan.result import LeftOut
from search_cluster.scan.table import ScanTable


def left_out(tables: Mapping[str, Sequence[AnswerTable]], asked: ScanTable) -> tuple[LeftOut, ...]:
    """The questions that the plain model gave no answer to, by split; those without any are not in.

    Args:
        tables: the answers, by the split's name.
        asked: every pair that was asked.
    """
    found = []
    for split, of_split in tables.items():
        num_asked, causes = 0, []
        for table in of_split:
            answers = table.by_path[table.identity]
            num_asked += len(answers)
            for question, answer in zip(table.questions, answers, strict=False):
                if answer is None:
                    outcome = asked.rows[question.example_id, table.identity].outcome
                    causes.append(cause_of(question, outcome))
        why = counted(cause for cause in causes if cause is not None)
        if causes:
            found.append(
                LeftOut(
                    split=split,
                    num_questions=len(causes),
                    num_asked=num_asked,
                    cause=str(why[0][0]) if why else "",
                )
            )
    return tuple(found)
