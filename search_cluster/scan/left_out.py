"""Which questions of a scan count for nobody, and why."""

from collections.abc import Mapping, Sequence

from search_cluster.corpus.causes import cause_of
from search_cluster.faults import counted
from search_cluster.scan.answers import AnswerTable
from search_cluster.scan.result import LeftOut, ScanResult
from search_cluster.scan.table import ScanTable


def left_out(tables: Mapping[str, Sequence[AnswerTable]], asked: ScanTable) -> tuple[LeftOut, ...]:
    """The questions that the plain model gave no answer to, by split; those without any are not in.

    Args:
        tables: the answers, by the split's name.
        asked: every pair that was asked.
    """
    found = []
    for split, of_split in tables.items():
        plain = [
            (question, asked.rows[question.example_id, table.identity].outcome)
            for table in of_split
            for question in table.questions[: len(table.by_path[table.identity])]
        ]
        causes = [
            cause
            for question, outcome in plain
            if (cause := cause_of(question, outcome)) is not None
        ]
        if causes:
            most = counted(causes)[0][0]
            found.append(
                LeftOut(
                    split=split,
                    num_questions=len(causes),
                    num_asked=len(plain),
                    cause=str(most),
                )
            )
    return tuple(found)


def left_out_line(result: ScanResult) -> str:
    """Which questions count for nobody, and why; empty if all count."""
    if not result.left_out:
        return ""
    counts = [
        f"{item.num_questions:,} of {item.num_asked:,} questions of {item.split}"
        for item in result.left_out
    ]
    most = max(result.left_out, key=lambda item: item.num_questions)
    return (
        f"The plain model could not answer {', '.join(counts)}, which count for neither it nor a "
        f"path. Most often: {most.cause}"
    )
