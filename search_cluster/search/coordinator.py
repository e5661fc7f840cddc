"""The coordinator: drives the searches of many examples over one evaluator.

Pure apart from the evaluator it is given. It keeps the evaluator full, gives each example its
outcomes in the order of proposal, and hands out records as examples end. Which example ends first
depends on timing; what a record says does not. So examples may be divided among several
coordinators, which share nothing but what a study found.
"""

import logging
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from search_cluster.corpus.record import ExampleRecord, failed_record
from search_cluster.faults import FailureLog
from search_cluster.protocols.counters import EvaluatorStats, SearchCounts, SearchProgress
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.protocols.messages import EvaluationRequest
from search_cluster.search.rounds_in_flight import Asker, RoundsInFlight
from search_cluster.search.search_plan import Perturb, SearchPlan, Studied, no_perturbations
from search_cluster.tasks.example import Example
from search_cluster.tree.menu import MenuPath
from search_cluster.tree.settings import SearchPreset

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSearch:
    """What came of the search of one example."""

    record: ExampleRecord
    counts: SearchCounts
    """What was delivered to it."""


class Coordinator:
    """Searches examples, after a study of other questions if the preset plans one.

    Iterate `run` to the end; or call `step` as long as `busy`, and `add` examples in between.

    Args:
        evaluator: answers requests; stays the caller's to close.
        examples: in the order in which they are started.
        num_layers: the model's depth.
        preset: how to search.
        seed: the whole run's seed; each example derives its own from it.
        probes: other questions for the study, in a random order; needed by presets with a study.
        perturb: gives perturbations of an example for a role; needed by presets with evidence.
        studied: what another coordinator's study left; then there is no other one.
    """

    def __init__(
        self,
        evaluator: PathEvaluator,
        examples: Sequence[Example],
        *,
        num_layers: int,
        preset: SearchPreset,
        seed: int,
        probes: Sequence[Example] = (),
        perturb: Perturb = no_perturbations,
        studied: Studied | None = None,
    ) -> None:
        self._evaluator = evaluator
        self._plan = SearchPlan(num_layers=num_layers, preset=preset, seed=seed, perturb=perturb)
        self._waiting = deque(examples)
        self._ready = deque[Asker[Any]]()
        self._in_flight = RoundsInFlight()
        self._failure_log = FailureLog(logger)
        self._ended: list[EndedSearch] = []
        """What the next step hands out."""
        self._num_examples = len(examples)
        self._num_done = 0
        self.studied = studied or Studied()
        """What the study left; nothing before its end, and without one."""
        self._study: Asker[tuple[MenuPath, ...]] | None = None
        self._study_budget = 0
        if studied is None:
            study = self._plan.study(probes, num_examples=len(examples))
            if study is not None:
                self._study = Asker(study, self._take_menu)
                self._study_budget = study.budget
        if self._study is not None:
            self._ready.append(self._study)

    @property
    def menu(self) -> tuple[MenuPath, ...]:
        """What the study found; empty before its end, and without one."""
        return self.studied.menu

    @property
    def studying(self) -> bool:
        """Whether the study goes on; no example is started before its end."""
        return self._study is not None

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        return bool(self._ready or self._waiting or self._in_flight)

    @property
    def num_waiting(self) -> int:
        """Examples that were not started yet."""
        return len(self._waiting)

    @property
    def num_in_flight(self) -> int:
        """Requests whose outcome is awaited."""
        return len(self._in_flight)

    @property
    def delivered(self) -> SearchCounts:
        """What was delivered in all."""
        return self._in_flight.delivered

    def progress(self) -> SearchProgress:
        """Counts so far."""
        return SearchProgress(
            num_examples=self._num_examples,
            num_examples_done=self._num_done,
            num_paths_searched=self.delivered.num_paths_searched,
            num_cache_hits=self.delivered.num_cache_hits,
            num_failures=self.delivered.num_failures,
            study_budget=self._study_budget if self.studying else 0,
        )

    def stats(self) -> EvaluatorStats:
        """Counters of the evaluator."""
        return self._evaluator.stats()

    def close(self) -> tuple[()]:
        """Do nothing: every record was handed out, and the evaluator is the caller's."""
        return ()

    def add(self, examples: Iterable[Example]) -> None:
        """Search these examples, too, after those that were given before."""
        before = len(self._waiting)
        self._waiting.extend(examples)
        self._num_examples += len(self._waiting) - before

    def run(self) -> Iterator[ExampleRecord | None]:
        """Records in the order in which examples end; ``None`` after each step, for reporting.

        Raises:
            EvaluatorError: no worker is left.
        """
        while self.busy:
            yield from self.step()
            yield None

    def step(self, timeout_s: float | None = None) -> list[ExampleRecord]:
        """Fill the evaluator, take what it has ready, and give the records of ended examples.

        Args:
            timeout_s: how long to wait for the evaluator at most.

        Raises:
            EvaluatorError: no worker is left.
        """
        return [ended.record for ended in self.counted_step(timeout_s)]

    def counted_step(self, timeout_s: float | None = None) -> list[EndedSearch]:
        """Do a `step`, and say what was delivered to each search that ended."""
        self._fill()
        ended, self._ended = self._ended, []
        self._num_done += len(ended)
        if self._in_flight:
            for result in self._evaluator.collect(timeout_s):
                if (asker := self._in_flight.deliver(result)) is not None:
                    self._ready.append(asker)
        return ended

    def study_step(self, timeout_s: float | None = None) -> None:
        """Do a `step` of the study, and start no example when it ends. Called while `studying`."""
        waiting, self._waiting = self._waiting, deque()
        self.step(timeout_s)
        self._waiting = waiting

    def _fill(self) -> None:
        """Submit rounds until the evaluator is full, or nothing is there to be asked."""
        # In one call: the cache in front of the devices looks all of them up at once. Where it
        # finds that other jobs compute some of them, the devices have room for as many again, and
        # only now: of two jobs that began together, one would else follow the other to the end.
        while requests := self._requests_for(self._evaluator.max_in_flight):
            self._evaluator.submit(requests)

    def _requests_for(self, room: int) -> list[EvaluationRequest]:
        """The requests of further rounds, until so many are in flight."""
        requests: list[EvaluationRequest] = []
        while len(self._in_flight) < room:
            asker = self._next_asker()
            if asker is None:
                break
            if trials := asker.rounds.next_round():
                requests += self._in_flight.start(asker, trials)
            else:
                asker.end()
        return requests

    def _next_asker(self) -> Asker[Any] | None:
        """Whoever may ask next; ``None`` if all others wait for outcomes.

        Started examples come before new ones: so few trees are in memory at a time, and an example
        goes on while a device still holds its states.
        """
        while not self._ready and self._waiting and self._study is None:
            example = self._waiting.popleft()
            try:
                search = self._plan.search(example, self.studied)
            except Exception as error:
                # A task's own code makes perturbations, and one bad example never stops a run.
                what = f"the search of example {example.example_id} can't be started"
                self._failure_log.add(what, error)
                kind, message = type(error).__name__, str(error)
                record = failed_record(example, self._plan.num_layers, kind=kind, message=message)
                self._take_record(record, SearchCounts())
            else:
                return Asker(search, self._take_record)
        return self._ready.popleft() if self._ready else None

    def _take_record(self, record: ExampleRecord, counts: SearchCounts) -> None:
        self._ended.append(EndedSearch(record=record, counts=counts))

    def _take_menu(self, menu: tuple[MenuPath, ...], counts: SearchCounts) -> None:
        """End the study: the examples that wait are searched with what it found, and pay for it."""
        cost_per_example = math.ceil(counts.num_paths_searched / max(1, self._num_examples))
        self.studied = Studied(menu=menu, cost_per_example=cost_per_example)
        self._study = None
