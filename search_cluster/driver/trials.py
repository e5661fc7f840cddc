"""Evaluating pairs of question and path that are all known, or known round by round."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice

from search_cluster.corpus.causes import cause_of
from search_cluster.faults import FaultWatch
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult
from search_cluster.protocols.rounds import Outcome, Trial
from search_cluster.tasks.example import Example

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

    Args:
        evaluator: answers requests.
        take: told of each trial's result when it comes.
    """

    def __init__(self, evaluator: PathEvaluator, take: TakeResult) -> None:
        self._evaluator = evaluator
        self._take = take
        self._ids = count()

    def outcomes(self, trials: Sequence[Trial]) -> list[Outcome]:
        """The outcomes of trials, in their order.

        Raises:
            EvaluatorError: nobody is left to evaluate.
        """
        places: dict[int, int] = {}

        def requests() -> Iterator[EvaluationRequest]:
            for place, (example, path) in enumerate(trials):
                request_id = next(self._ids)
                places[request_id] = place
                yield EvaluationRequest(request_id=request_id, example=example, path=path)

        found: dict[int, Outcome] = {}
        for result in answers(self._evaluator, requests()):
            place = places.pop(result.request_id)
            self._take(trials[place], result)
            found[place] = result.outcome
        return [found[place] for place in range(len(trials))]
