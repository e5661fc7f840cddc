"""Evaluating pairs of question and path that are all known, or known round by round."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice

from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult
from search_cluster.protocols.rounds import Outcome, Result, Rounds, Trial

TakeResult = Callable[[Trial, EvaluationResult], None]


def answers(
    evaluator: PathEvaluator, requests: Iterable[EvaluationRequest]
) -> Iterator[EvaluationResult]:
    """All results, in whatever order, with the evaluator kept full and no more."""
    waiting = iter(requests)
    num_in_flight = 0
    while True:
        batch = list(islice(waiting, max(0, evaluator.max_in_flight - num_in_flight)))
        if batch:
            evaluator.submit(batch)
            num_in_flight += len(batch)
        if not num_in_flight:
            return
        results = evaluator.collect()
        num_in_flight -= len(results)
        yield from results


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

    def drive(self, rounds: Rounds[Result]) -> Result:
        """Ask what rounds ask for until nothing is left, and give what they found.

        Raises:
            EvaluatorError: nobody is left to evaluate.
        """
        while trials := rounds.next_round():
            rounds.observe(self.outcomes(trials))
        return rounds.result()

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
