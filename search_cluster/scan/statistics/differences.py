"""Differences of answers from the plain model's, counted per path.

Shapes: N questions, P paths.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_cluster.errors import InvalidValueError
from search_cluster.scan.statistics.design import Facts, Floats, design_effects

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """What paths change of the plain model's answers."""

    values_NP: Floats
    """1 where the path alone is right, -1 where the plain model alone is, else 0, also where the
    path has not run."""
    has_run_NP: Bools
    """Where the path has run."""
    num_questions_P: Floats
    """Questions on which the path has run."""
    num_facts_P: Floats
    """Facts that these ask for."""
    num_fixed_P: Floats
    """Questions that the path alone answers right."""
    num_broken_P: Floats
    """Questions that the plain model alone answers right."""
    gain_P: Floats
    """The difference of the accuracies; 0 for a path that has not run."""
    facts: Facts
    """Of the questions."""
    design_P: Floats
    """The design effects (`search_cluster.scan.statistics.design`)."""

    def centred(self) -> Floats:
        """The values without each path's gain, ``[N, P]``; 0 where the path has not run."""
        return np.where(self.has_run_NP, self.values_NP - self.gain_P, 0.0)


def differences_of(table_NP: Floats, facts: Sequence[Hashable] | None = None) -> Differences:
    """Count what a table of differences says.

    Args:
        table_NP: right(path) - right(plain): 1, 0 or -1, and NaN where a path has not run.
        facts: the fact that each question asks for; ``None``: each another one.

    Raises:
        InvalidValueError: the table is none, or holds another value, or there are more or fewer
            facts than questions.
    """
    table_NP = np.asarray(table_NP, dtype=np.float64)
    if table_NP.ndim != 2:
        raise InvalidValueError(
            f"differences of shape {table_NP.shape}; give a row for each question and a column for "
            "each path"
        )
    has_run_NP = ~np.isnan(table_NP)
    values_NP = np.where(has_run_NP, table_NP, 0.0)
    odd = values_NP[~np.isin(values_NP, (-1.0, 0.0, 1.0))]
    if odd.size:
        raise InvalidValueError(
            f"a difference of {odd[0]:g}; answers are right or wrong, so it is 1, 0 or -1 (NaN: "
            "not asked)"
        )
    num_questions_P = has_run_NP.sum(axis=0, dtype=np.float64)
    asked = Facts.of(facts, len(table_NP))
    return Differences(
        values_NP=values_NP,
        has_run_NP=has_run_NP,
        num_questions_P=num_questions_P,
        num_facts_P=asked.met(has_run_NP),
        num_fixed_P=(values_NP > 0).sum(axis=0, dtype=np.float64),
        num_broken_P=(values_NP < 0).sum(axis=0, dtype=np.float64),
        gain_P=values_NP.sum(axis=0) / np.maximum(1.0, num_questions_P),
        facts=asked,
        design_P=design_effects(values_NP, has_run_NP, asked),
    )
