"""What the coordinator drives: anything that asks for evaluations in rounds and takes their outcomes back."""

from collections.abc import Sequence
from typing import Protocol

from search_cluster.evaluation.messages import Failure
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

Trial = tuple[Example, LayerPath]
"""One evaluation to make: an example (or a perturbation of one) and a path."""
Outcome = Verdict | Failure


class Rounds(Protocol):
    """Pure: what it asks for depends on its seed and the outcomes alone, not on when they arrive."""

    def next_round(self) -> list[Trial]:
        """The evaluations of the next round; empty exactly if nothing is left to ask."""
        ...

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Take the outcomes of the last round, in the order in which its trials were asked for.

        Raises:
            InvalidValueError: not one outcome for each trial.
        """
        ...
