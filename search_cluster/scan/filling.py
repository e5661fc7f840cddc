"""Rounds that bring paths to questions within a budget: the study's and a scan's. Pure."""

from collections.abc import Generator, Sequence

from search_cluster.corpus.causes import require_sound
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.rounds import Outcome, SteppedRounds, Trial
from search_cluster.scan.answers import AnswerTable


class TableRounds(SteppedRounds[None]):
    """The asking half of `Rounds` whose outcomes fill tables of answers.

    Args:
        budget: evaluations at most.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self.num_spent = 0
        """Evaluations so far."""

    @property
    def _left(self) -> int:
        return self._budget - self.num_spent

    def _take(self, trials: Sequence[Trial], outcomes: Sequence[Outcome]) -> None:
        if not self.num_spent:
            require_sound(trials, outcomes)
        self.num_spent += len(outcomes)

    def _fill(
        self, table: AnswerTable, paths: Sequence[LayerPath], num_questions: int
    ) -> Generator[list[Trial], Sequence[Outcome], bool]:
        """Bring paths to a number of questions, in one round; whether there was room for all.

        From the first path on that the budget has no room for, all stay behind.
        """
        num_questions = min(num_questions, len(table.questions))
        left = self._left
        asked: list[LayerPath] = []
        for path in paths:
            num_new = max(0, num_questions - len(table.by_path.setdefault(path, [])))
            if num_new > left:
                break
            left -= num_new
            asked.append(path)
        if trials := table.missing(asked, num_questions):  # an empty round would end the search
            table.take(trials, (yield trials))
        return len(asked) == len(paths)
