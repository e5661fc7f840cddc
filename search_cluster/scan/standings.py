"""Paths beside the plain model on the same questions: accuracies, intervals, p-values."""

from collections.abc import Callable, Sequence
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.answers import AnswerTable
from search_cluster.scan.result import Standing
from search_cluster.scan.statistics.simultaneous import simultaneous
from search_cluster.tasks.example import Example

Asked = Callable[[Example], bool]


def _everything(question: Example) -> bool:
    return True


def differences(
    tables: Sequence[AnswerTable], paths: Sequence[LayerPath], which: Asked = _everything
) -> NDArray[np.float64]:
    """right(path) - right(plain), [num_questions, num_paths].

    It is NaN where a path has not run, and where the plain model has no answer.

    Args:
        tables: of distinct questions; their rows follow each other.
        paths: the columns.
        which: which questions count.
    """
    return _accuracies(tables, paths, which)[0]


def facts_asked(tables: Sequence[AnswerTable], which: Asked = _everything) -> list[int]:
    """The facts that the rows of `differences` ask for."""
    return [
        fact
        for table in tables
        for question, fact in zip(table.questions, table.facts, strict=True)
        if which(question)
    ]


def standings(
    tables: Sequence[AnswerTable], paths: Sequence[LayerPath], which: Asked = _everything
) -> list[Standing]:
    """How each path stands; intervals and p-values allow for all of them.

    Args:
        tables: of distinct questions.
        paths: what is compared.
        which: which questions count.
    """
    if not paths:
        return []
    table_NP, right_NP, plain_N = _accuracies(tables, paths, which)
    facts = facts_asked(tables, which)
    found = simultaneous(table_NP, facts)
    has_run_NP = ~np.isnan(table_NP)
    num_P = has_run_NP.sum(axis=0)
    shown_P = np.maximum(1, num_P)
    right_P = np.where(has_run_NP, right_NP, 0.0).sum(axis=0) / shown_P
    plain_P = np.where(has_run_NP, plain_N[:, None], 0.0).sum(axis=0) / shown_P
    return [
        Standing(
            num_questions=int(num_P[place]),
            num_facts=len(set(compress(facts, has_run_NP[:, place]))),
            num_compared=len(paths),
            accuracy=float(right_P[place]),
            plain_accuracy=float(plain_P[place]),
            gain=float(found.gain[place]),
            low=float(found.low[place]),
            high=float(found.high[place]),
            p_adjusted=float(found.p_adjusted[place]),
        )
        for place in range(len(paths))
    ]


def _accuracies(
    tables: Sequence[AnswerTable], paths: Sequence[LayerPath], which: Asked
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Differences and right answers, [num_questions, num_paths], and the plain model's."""
    blocks, plain_blocks = [], []
    for table in tables:
        rows = [place for place, question in enumerate(table.questions) if which(question)]
        block = np.full((len(table.questions), len(paths)), np.nan)
        for column, path in enumerate(paths):
            places = table.places(path)
            block[places, column] = np.array(table.right(path))[places]
        plain = np.full(len(table.questions), np.nan)
        answered = table.places(table.identity)
        plain[answered] = np.array(table.right(table.identity))[answered]
        blocks.append(block[rows])
        plain_blocks.append(plain[rows])
    right_NP = np.concatenate(blocks) if blocks else np.zeros((0, len(paths)))
    plain_N = np.concatenate(plain_blocks) if plain_blocks else np.zeros(0)
    return right_NP - plain_N[:, None], right_NP, plain_N
