"""Which questions of a scan count for nobody, and why."""

from collections.abc import Mapping, Sequence
from typing import Any

from search_cluster.corpus.causes import cause_of
from search_cluster.faults import counted
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.rounds import Outcome
from search_cluster.scan.answers import AnswerTable
from search_cluster.scan.result import LeftOut


def left_out(
    tables: Mapping[str, Sequence[AnswerTable]], asked: Mapping[tuple[str, LayerPath], Outcome]
) -> tuple[LeftOut, ...]:
    """The questions that the plain model gave no answer to, by split; those without any are not in.

    Args:
        tables: the answers, by the split's name.
        asked: the outcome of every pair that was asked.
    """
    found = []
    for split, of_split in tables.items():
        plain = [
            (question, asked[question.example_id, table.identity])
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


def left_out_figures(found: Sequence[LeftOut]) -> list[dict[str, Any]]:
    """The same as ``--json`` reports it."""
    return [
        {
            "split": item.split,
            "questions": item.num_questions,
            "asked": item.num_asked,
            "cause": item.cause,
        }
        for item in found
    ]
