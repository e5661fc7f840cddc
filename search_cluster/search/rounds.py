"""What the coordinator drives: anything that asks for evaluations in rounds and takes their outcomes back."""

from collections.abc import Generator, Sequence
from typing import Generic, Protocol, TypeVar

from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import Failure
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

Trial = tuple[Example, LayerPath]
"""One evaluation to make: an example (or a perturbation of one) and a path."""
Outcome = Verdict | Failure
Result = TypeVar("Result")


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


class SteppedRounds(Generic[Result]):
    """Implements `Rounds` over a generator: each ``yield`` is a round, and what comes back are its outcomes.

    Whoever derives from it calls `_start` when all that the generator reads is set.
    """

    num_spent: int
    """Evaluations so far."""
    _round: list[Trial]
    _steps: Generator[list[Trial], Sequence[Outcome], Result]

    def _start(self, steps: Generator[list[Trial], Sequence[Outcome], Result]) -> None:
        self.num_spent = 0
        self._steps = steps
        self._advance(None)

    def next_round(self) -> list[Trial]:
        """The evaluations of the next round; empty exactly if nothing is left to ask."""
        return list(self._round)

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Take the outcomes of the last round, in the order of its trials.

        Raises:
            InvalidValueError: not one outcome for each trial.
        """
        if len(outcomes) != len(self._round):
            raise InvalidValueError(f"{len(outcomes)} outcomes for {len(self._round)} trials; give one for each")
        self.num_spent += len(outcomes)
        self._take(outcomes)
        self._advance(outcomes)

    def _take(self, outcomes: Sequence[Outcome]) -> None:
        """Take note of outcomes before the generator goes on."""

    def _end(self, result: Result) -> None:
        """Take note of what the generator returned."""

    def _advance(self, outcomes: Sequence[Outcome] | None) -> None:
        try:
            self._round = next(self._steps) if outcomes is None else self._steps.send(outcomes)
        except StopIteration as stop:
            self._round = []
            self._end(stop.value)
