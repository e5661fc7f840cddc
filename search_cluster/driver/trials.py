"""Evaluating pairs of question and path that are all known, or known round by round."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice

from search_cluster import errors
from search_cluster.corpus.causes import cause_of
from search_cluster.faults import FaultWatch
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.protocols.rounds import Outcome, Trial
from search_cluster.tasks.example import Example

UNASKABLE = frozenset(
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.PromptError)
)
"""Kinds of failures that a question has on every path, for no prompt can be made of it."""
TakeResult = Callable[[Trial, EvaluationResult], None]


def answers(
    evaluator: PathEvaluator, requests: Iterable[EvaluationRequest]
) -> Iterator[EvaluationResult]:
    """All results, in whatever order, with the evaluator kept full and no more."""
    waiting = iter(requests)
    num_in_flight = 0
    while True:
        # What other jobs compute makes room for as many again, which shows when it was asked for.
        while batch := list(islice(waiting, max(0, evaluator.max_in_flight - num_in_flight))):
            evaluator.submit(batch)
            num_in_flight += len(batch)
        if not num_in_flight:
            return
        results = evaluator.collect()
        num_in_flight -= len(results)
        yield from results


class AnswerWatch:
    """Raises if the answers to many examples fail for one reason.

    The first path that is computed here stands for its example. What the model says of a path, such
    as NaN, is no fault.

    Args:
        num_examples: how many there are.
    """

    def __init__(self, num_examples: int) -> None:
        self._watch = FaultWatch([str(number) for number in range(num_examples)])
        self._looked_at: set[str] = set()

    def take(self, example: Example, result: EvaluationResult) -> None:
        """Look at a result.

        Raises:
            OneFaultError: the examples fail for one reason.
        """
        if example.example_id in self._looked_at or result.from_cache:
            return
        cause = cause_of(example, result.outcome)
        if cause is None or not cause.is_ours:
            self._watch.take(str(len(self._looked_at)), cause)
            self._looked_at.add(example.example_id)

    def end(self) -> None:
        """Note that no more come.

        Raises:
            OneFaultError: all of them failed for one reason.
        """
        self._watch.end()


class TrialRunner:
    """Evaluates rounds of trials on one evaluator, which stays the caller's to close.

    Once a question is known to have no prompt, other paths get the same failure without being
    asked, for to find out takes as long as a long text takes to read.

    Args:
        evaluator: answers requests.
        take: told of each trial's result when it comes.
    """

    def __init__(self, evaluator: PathEvaluator, take: TakeResult) -> None:
        self._evaluator = evaluator
        self._take = take
        self._ids = count()
        self._unaskable: dict[str, Failure] = {}
        """By the example's id."""

    def outcomes(self, trials: Sequence[Trial]) -> list[Outcome]:
        """The outcomes of trials, in their order.

        Raises:
            EvaluatorError: nobody is left to evaluate.
        """
        places: dict[int, int] = {}
        found: dict[int, Outcome] = {}

        def take(place: int, result: EvaluationResult) -> None:
            self._take(trials[place], result)
            found[place] = outcome = result.outcome
            if isinstance(outcome, Failure) and outcome.kind in UNASKABLE:
                self._unaskable[trials[place][0].example_id] = outcome

        def requests() -> Iterator[EvaluationRequest]:
            for place, (example, path) in enumerate(trials):
                request_id = next(self._ids)
                if (known := self._unaskable.get(example.example_id)) is not None:
                    take(place, EvaluationResult(request_id=request_id, outcome=known))
                    continue
                places[request_id] = place
                yield EvaluationRequest(request_id=request_id, example=example, path=path)

        for result in answers(self._evaluator, requests()):
            take(places.pop(result.request_id), result)
        return [found[place] for place in range(len(trials))]
