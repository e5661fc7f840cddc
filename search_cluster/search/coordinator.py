"""The coordinator: drives the searches of many examples over one evaluator.

Pure apart from the evaluator it is given. It keeps the evaluator full, gives each example its outcomes in the order of
proposal, and hands out records as examples end. Which example ends first depends on timing; what a record says does
not.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from search_cluster.corpus.record import ExampleRecord
from search_cluster.evaluation.evaluator import PathEvaluator
from search_cluster.evaluation.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.paths.layer_path import LayerPath
from search_cluster.search.example_search import ExampleSearch
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.settings import SearchPreset


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchProgress:
    """Where a search stands."""

    num_examples: int
    num_examples_done: int
    num_paths_searched: int
    num_cache_hits: int
    num_failures: int


@dataclass(slots=True, eq=False)
class _Round:
    """One example's round in flight."""

    search: ExampleSearch
    outcomes: list[Verdict | Failure | None]
    num_missing: int


class Coordinator:
    """Runs `ExampleSearch` for every example; iterate `run` to the end.

    Args:
        evaluator: answers requests; stays the caller's to close.
        examples: in the order in which they are started.
        num_layers: depth of the model.
        preset: how to search.
        seed: of the whole run; each example derives its own from it.
    """

    def __init__(
        self, evaluator: PathEvaluator, examples: Sequence[Example], *, num_layers: int, preset: SearchPreset, seed: int
    ) -> None:
        self._evaluator = evaluator
        self._waiting = deque(examples)
        self._ready = deque[ExampleSearch]()
        self._num_examples = len(examples)
        self._num_layers = num_layers
        self._preset = preset
        self._seed = seed
        self._in_flight: dict[int, tuple[_Round, int]] = {}
        self._next_request_id = 0
        self._num_done = 0
        self._num_searched = 0
        self._num_cache_hits = 0
        self._num_failures = 0

    def progress(self) -> SearchProgress:
        """Counts so far."""
        return SearchProgress(
            num_examples=self._num_examples,
            num_examples_done=self._num_done,
            num_paths_searched=self._num_searched,
            num_cache_hits=self._num_cache_hits,
            num_failures=self._num_failures,
        )

    def run(self) -> Iterator[ExampleRecord | None]:
        """Records in the order in which examples end; ``None`` after each batch of results, so that callers can report.

        Raises:
            EvaluatorError: no worker is left.
        """
        while self._ready or self._waiting or self._in_flight:
            for search in self._fill():
                self._num_done += 1
                yield search.record()
            if self._in_flight:
                for result in self._evaluator.collect():
                    self._deliver(result)
                yield None

    def _fill(self) -> list[ExampleSearch]:
        """Submit rounds until the evaluator is full, started examples first; returns the searches that were done."""
        done = []
        while (self._ready or self._waiting) and len(self._in_flight) < self._evaluator.max_in_flight:
            search = self._ready.popleft() if self._ready else self._start(self._waiting.popleft())
            paths = search.propose()
            if paths:
                self._submit(search, paths)
            else:
                done.append(search)
        return done

    def _start(self, example: Example) -> ExampleSearch:
        return ExampleSearch(example, num_layers=self._num_layers, preset=self._preset, seed=self._seed)

    def _submit(self, search: ExampleSearch, paths: Sequence[LayerPath]) -> None:
        running = _Round(search, [None] * len(paths), len(paths))
        requests = []
        for index, path in enumerate(paths):
            requests.append(EvaluationRequest(request_id=self._next_request_id, example=search.example, path=path))
            self._in_flight[self._next_request_id] = (running, index)
            self._next_request_id += 1
        self._evaluator.submit(requests)

    def _deliver(self, result: EvaluationResult) -> None:
        """Hand a result to its example, which is ready for its next round when the last one of this round came."""
        running, index = self._in_flight.pop(result.request_id)
        running.outcomes[index] = result.outcome
        running.num_missing -= 1
        self._num_searched += 1
        self._num_cache_hits += result.from_cache
        self._num_failures += isinstance(result.outcome, Failure)
        if not running.num_missing:
            running.search.observe([outcome for outcome in running.outcomes if outcome is not None])
            self._ready.append(running.search)
