"""Rounds whose requests are at the evaluator: who asked, and which outcomes are missing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from search_cluster.protocols.counters import SearchCounts
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.protocols.rounds import Outcome, Rounds, Trial

Found = TypeVar("Found")


@dataclass(slots=True, eq=False)
class Asker(Generic[Found]):
    """A search or the study, with what was delivered to it and where its result goes."""

    rounds: Rounds[Found]
    take_result: Callable[[Found, SearchCounts], None]
    """Takes what the rounds found, once they ask for nothing more, and what they were given."""
    counts: SearchCounts = field(default_factory=SearchCounts)

    def end(self) -> None:
        """Hand the result over."""
        self.take_result(self.rounds.result(), self.counts)


@dataclass(slots=True, eq=False)
class _Round:
    """One asker's round in flight."""

    asker: Asker[Any]
    outcomes: list[Outcome | None]
    num_missing: int
    num_cache_hits: int = 0
    num_failures: int = 0


class RoundsInFlight:
    """Turns rounds into requests and results into whole rounds.

    A round is observed when its last outcome is there, in the order in which its trials were asked
    for, so that no search sees in which order results arrive.
    """

    def __init__(self) -> None:
        self._places: dict[int, tuple[_Round, int]] = {}
        """The round of each request, and the place of its outcome there, by request id."""
        self._next_request_id = 0
        self.delivered = SearchCounts()
        """What was delivered to askers in whole rounds."""

    def __len__(self) -> int:
        return len(self._places)

    def start(self, asker: Asker[Any], trials: Sequence[Trial]) -> list[EvaluationRequest]:
        """The requests of an asker's next round of at least one trial."""
        running = _Round(asker, [None] * len(trials), len(trials))
        requests = []
        for place, (example, path) in enumerate(trials):
            request_id = self._next_request_id
            requests.append(EvaluationRequest(request_id=request_id, example=example, path=path))
            self._places[request_id] = (running, place)
            self._next_request_id += 1
        return requests

    def deliver(self, result: EvaluationResult) -> Asker[Any] | None:
        """Enter a result; the asker, if the round is whole now, which it has observed then."""
        running, place = self._places.pop(result.request_id)
        running.outcomes[place] = result.outcome
        running.num_missing -= 1
        running.num_cache_hits += result.from_cache
        running.num_failures += isinstance(result.outcome, Failure)
        if running.num_missing:
            return None
        counts = SearchCounts(
            num_paths_searched=len(running.outcomes),
            num_cache_hits=running.num_cache_hits,
            num_failures=running.num_failures,
        )
        asker = running.asker
        self.delivered = self.delivered.plus(counts)
        asker.counts = asker.counts.plus(counts)
        asker.rounds.observe([outcome for outcome in running.outcomes if outcome is not None])
        return asker
