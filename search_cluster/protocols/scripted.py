"""A scripted evaluator: verdicts from a function, with delays, failures and re-ordering on demand.

Shipped for tests and for measuring the search core without a model.
"""

import random
from collections.abc import Callable, Sequence

from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.counters import EvaluatorStats
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

RewardFunction = Callable[[Example, LayerPath], float | Failure]


class ScriptedEvaluator:
    """Implements `PathEvaluator` by calling ``reward_of``; validates what it is given.

    Args:
        reward_of: the reward of a path on an example, or a `Failure`.
        max_in_flight: what the property of the same name says.
        answers_per_collect: results handed out per call at most; ``None``: all.
        shuffle_seed: answers come in an order drawn from this seed; ``None``: in the order of
            submission.
    """

    def __init__(
        self,
        reward_of: RewardFunction,
        *,
        max_in_flight: int = 64,
        answers_per_collect: int | None = None,
        shuffle_seed: int | None = None,
    ) -> None:
        self._reward_of = reward_of
        self._max_in_flight = max_in_flight
        self._answers_per_collect = answers_per_collect
        self._rng = None if shuffle_seed is None else random.Random(shuffle_seed)
        self._waiting: list[EvaluationRequest] = []
        self._seen: set[int] = set()
        self._num_evaluated = 0
        self._num_failures = 0
        self.closed = False

    @property
    def max_in_flight(self) -> int:
        """The number that the evaluator was given."""
        return self._max_in_flight

    def submit(self, requests: Sequence[EvaluationRequest]) -> None:
        """Queue requests.

        Raises:
            InvalidValueError: the evaluator is closed, or a request id was used before.
        """
        if self.closed:
            raise InvalidValueError("submit after close; build a new evaluator")
        for request in requests:
            if request.request_id in self._seen:
                raise InvalidValueError(
                    f"request id {request.request_id} was used before; ids are unique"
                )
            self._seen.add(request.request_id)
            self._waiting.append(request)

    def collect(self, timeout_s: float | None = None) -> list[EvaluationResult]:
        """Results of waiting requests, in script order; never waits."""
        if self._rng is not None:
            self._rng.shuffle(self._waiting)
        take = (
            len(self._waiting) if self._answers_per_collect is None else self._answers_per_collect
        )
        ready, self._waiting = self._waiting[:take], self._waiting[take:]
        return [self._answer(request) for request in ready]

    def _answer(self, request: EvaluationRequest) -> EvaluationResult:
        reward = self._reward_of(request.example, request.path)
        if isinstance(reward, Failure):
            self._num_failures += 1
            return EvaluationResult(request_id=request.request_id, outcome=reward)
        self._num_evaluated += 1
        verdict = Verdict(
            reward=reward, margin=None, output=f"{reward:g}", num_layer_tokens=len(request.path)
        )
        return EvaluationResult(request_id=request.request_id, outcome=verdict)

    def stats(self) -> EvaluatorStats:
        """Counts of verdicts and failures."""
        return EvaluatorStats(
            num_devices=1, num_evaluated=self._num_evaluated, num_failures=self._num_failures
        )

    def close(self) -> None:
        """Drop what waits."""
        self.closed = True
        self._waiting.clear()
