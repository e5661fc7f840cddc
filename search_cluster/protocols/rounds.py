"""What the coordinator drives: whatever asks for evaluations in rounds and has a result."""

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
Result = TypeVar("Result", covariant=True)
Ending = TypeVar("Ending")


class Rounds(Protocol[Result]):
    """Asks for evaluations round by round. Pure.

    What it asks for depends on its seed and the outcomes alone, not on when they arrive.
    """

    def next_round(self) -> list[Trial]:
        """The evaluations of the next round; empty exactly if nothing is left to ask."""
        ...

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Take the outcomes of the last round, in the order in which its trials were asked for.

        Raises:
            InvalidValueError: not one outcome for each trial.
        """
        ...

    def result(self) -> Result:
        """What was found; called when nothing is left to ask."""
        ...


class SteppedRounds(Generic[Ending]):
    """The asking half of `Rounds` over a generator: each ``yield`` is a round of trials.

    What comes back from the ``yield`` are the outcomes of the round. Whoever derives from it calls
    `_start` when all that the generator reads is set, and adds `Rounds.result`.
    """

    _round: list[Trial]
    _steps: Generator[list[Trial], Sequence[Outcome], Ending]

    def _start(self, steps: Generator[list[Trial], Sequence[Outcome], Ending]) -> None:
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
            raise InvalidValueError(
                f"{len(outcomes)} outcomes for {len(self._round)} trials; give one for each"
            )
        # Before the generator goes on: it reads from these counts what is left of its budget.
        self._take(self._round, outcomes)
        self._advance(outcomes)

    def _take(self, trials: Sequence[Trial], outcomes: Sequence[Outcome]) -> None:
        """Count outcomes before the generator goes on."""
        raise NotImplementedError

    def _end(self, ending: Ending) -> None:
        """Take what the generator returned."""

    def _advance(self, outcomes: Sequence[Outcome] | None) -> None:
        try:
            self._round = next(self._steps) if outcomes is None else self._steps.send(outcomes)
        except StopIteration as stop:
            self._round = []
            self._end(stop.value)
