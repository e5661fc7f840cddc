"""The ledger of one example's search: what was evaluated, what failed, what it cost, how it ended.

Both kinds of searches keep it, so that their records say the same things in the same way. Pure.
"""

from collections.abc import Collection, Sequence

from search_cluster.corpus.record import ExampleRecord, PathFailure, PathVerdict
from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import Failure
from search_cluster.protocols.rounds import Outcome, Trial
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.best import best_paths, pareto_front
from search_cluster.tree.proposer import Proposer


class ExampleLedger:
    """Grows with every round of one search. The identity path's outcome is the first that it takes.

    Args:
        example: what is searched.
        identity_path: the plain model's path.
        num_best: the largest number of best paths in the record.
    """

    def __init__(self, example: Example, identity_path: LayerPath, *, num_best: int) -> None:
        self.example = example
        self.identity_path = identity_path
        self.num_spent = 0
        """Outcomes so far, failures and perturbations included."""
        self.stop_reason: str | None = None
        """Why the search ended; ``None`` as long as it goes on."""
        self._num_best = num_best
        self._evaluated: list[PathVerdict] = []
        self._failures: list[PathFailure] = []

    def take(self, trials: Sequence[Trial], outcomes: Sequence[Outcome]) -> None:
        """Enter one outcome for each trial, in the order in which the trials were proposed.

        Verdicts on perturbations of the example are counted and not kept: they are evidence, and
        the search that asked for them keeps it.
        """
        self.num_spent += len(outcomes)
        for (example, path), outcome in zip(trials, outcomes, strict=True):
            if isinstance(outcome, Failure):
                where = "" if example is self.example else "on the question put differently: "
                self._failures.append(
                    PathFailure(path=path, kind=outcome.kind, message=where + outcome.message)
                )
            elif example is self.example:
                self._evaluated.append(PathVerdict(path=path, verdict=outcome))

    @property
    def identity(self) -> Verdict | None:
        """The plain model's verdict; ``None`` before it came, and if identity failed."""
        return self._evaluated[0].verdict if self._evaluated else None

    def improves(self, path: LayerPath, outcome: Outcome) -> bool:
        """Whether the outcome is right and beats identity, which is wrong or longer."""
        if self.identity is None or isinstance(outcome, Failure) or not outcome.is_correct:
            return False
        return not self.identity.is_correct or len(path) < len(self.identity_path)

    def best(self, among: Collection[LayerPath] | None = None) -> tuple[PathVerdict, ...]:
        """The best paths, best first.

        Args:
            among: the paths that count, identity among them; ``None``: all.
        """
        rewarded = [
            (item.path, item.verdict.reward)
            for item in self._evaluated
            if among is None or item.path in among
        ]
        if not rewarded:
            return ()
        verdicts = {item.path: item for item in self._evaluated}
        return tuple(verdicts[path] for path in best_paths(rewarded, num_best=self._num_best))

    def record(self) -> ExampleRecord:
        """What was found, without any evidence.

        Raises:
            InvalidValueError: the search is not done.
        """
        if self.stop_reason is None:
            raise InvalidValueError(
                f"example {self.example.example_id} is still being searched; a record comes at the "
                "end"
            )
        verdicts = {item.path: item for item in self._evaluated}
        front = pareto_front([(item.path, item.verdict.reward) for item in self._evaluated])
        return ExampleRecord(
            example=self.example,
            identity=self.identity,
            evaluated=tuple(self._evaluated),
            failures=tuple(self._failures),
            best=self.best(),
            pareto=tuple(verdicts[path] for path in front),
            stop_reason=self.stop_reason,
        )


def back_up(proposer: Proposer, paths: Sequence[LayerPath], outcomes: Sequence[Outcome]) -> None:
    """Hand the outcomes of a round to the proposer that proposed its paths, in their order."""
    for path, outcome in zip(paths, outcomes, strict=True):
        if isinstance(outcome, Failure):
            proposer.abandon(path)
        else:
            proposer.observe(path, outcome.reward)
