"""What executed paths answered to questions.

Shapes: P paths, Q questions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from search_cluster.model.depth_states.tables import Bools, Floats, Ints, PlainArrays


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ExecutedAnswers(PlainArrays):
    """Verdicts of paths on questions."""

    choice_PQ: Ints
    """The choice; -1 where answers are generated, or there is none."""
    margin_PQ: Floats
    """In nats; NaN where there is none."""
    reward_PQ: Floats
    """In [0, 1]; NaN where something failed."""

    def are_right(self) -> Bools:
        """Whether each answer ``[P, Q]`` is right."""
        return np.asarray(self.reward_PQ >= 1.0)

    def of_last_path(self) -> "ExecutedAnswers":
        """The answers of the last path alone."""
        return ExecutedAnswers(
            **{item.name: getattr(self, item.name)[-1:] for item in fields(self)}
        )


def all_questions(parts: Sequence[ExecutedAnswers]) -> ExecutedAnswers:
    """The answers of the same paths to the questions of several parts, in their order."""
    return ExecutedAnswers(
        **{
            item.name: np.concatenate([getattr(part, item.name) for part in parts], axis=1)
            for item in fields(ExecutedAnswers)
        }
    )
