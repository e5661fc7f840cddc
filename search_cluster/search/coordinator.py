"""The coordinator: drives the searches of many examples over one evaluator.

Pure apart from the evaluator it is given. It keeps the evaluator full, gives each example its outcomes in the order of
proposal, and hands out records as examples end. Which example ends first depends on timing; what a record says does
not. So examples may be divided among several coordinators, which share nothing but what a study found.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from search_cluster.corpus.record import ExampleRecord, failed_record
from search_cluster.protocols.counters import SearchCounts
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.search.example_search import ExampleSearch
from search_cluster.search.guarded_search import GuardedSearch
from search_cluster.search.rounds import Rounds, Trial
from search_cluster.search.study.study import MenuStudy
from search_cluster.tasks.example import Example
from search_cluster.tasks.perturbation.perturbations import EvidenceRole
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.menu import MenuPath, MenuSearch
from search_cluster.tree.settings import SearchPreset

logger = logging.getLogger(__name__)

Perturb = Callable[[Example, EvidenceRole, int], Sequence[Example]]
"""(example, role, count) -> so many perturbations at most."""


def no_perturbations(example: Example, role: EvidenceRole, count: int) -> Sequence[Example]:
    """For tasks without any."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchProgress:
    """Where a search stands."""

    num_examples: int
    num_examples_done: int
    num_paths_searched: int
    num_cache_hits: int
    num_failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Studied:
    """What a study left to the searches after it."""

    menu: tuple[MenuPath, ...] = ()
    """Paths that are good for many questions, shortest first."""
    cost_per_example: int = 0
    """Evaluations; they are paid by all examples alike."""


@dataclass(slots=True, eq=False)
class _Asker:
    """A search (or the study) and what was delivered to it."""

    rounds: Rounds
    counts: SearchCounts = field(default_factory=SearchCounts)


@dataclass(slots=True, eq=False)
class _Round:
    """One example's round in flight."""

    asker: _Asker
    outcomes: list[Verdict | Failure | None]
    num_missing: int
    num_cache_hits: int = 0
    num_failures: int = 0


class Coordinator:
    """Searches examples, after a study of other questions if the preset plans one.

    Iterate `run` to the end; or call `step` as long as `busy`, and `add` examples in between.

    Args:
        evaluator: answers requests; stays the caller's to close.
        examples: in the order in which they are started.
        num_layers: depth of the model.
        preset: how to search.
        seed: of the whole run; each example derives its own from it.
        probes: other questions for the study, in a random order; needed by presets with a study.
        perturb: gives so many perturbations of an example for a role; needed by presets that ask for evidence.
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
        self._waiting = deque(examples)
        self._ready = deque[_Asker]()
        self._num_examples = len(examples)
        self._num_layers = num_layers
        self._preset = preset
        self._seed = seed
        self._perturb = perturb
        self._study = None
        if studied is None and preset.study is not None:
            self._study = _study_of(preset, probes, num_layers=num_layers, num_examples=len(examples))
            self._ready.append(_Asker(self._study))
        self.studied = studied or Studied()
        """What the study left; nothing before its end, and without one."""
        self._in_flight: dict[int, tuple[_Round, int]] = {}
        self._next_request_id = 0
        self._num_done = 0
        self._delivered = SearchCounts()
        self._settled = SearchCounts()

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
    def settled(self) -> SearchCounts:
        """What was delivered to the study and to examples that have ended."""
        return self._settled

    @property
    def delivered(self) -> SearchCounts:
        """What was delivered in all."""
        return self._delivered

    def progress(self) -> SearchProgress:
        """Counts so far."""
        return SearchProgress(
            num_examples=self._num_examples,
            num_examples_done=self._num_done,
            num_paths_searched=self._delivered.num_paths_searched,
            num_cache_hits=self._delivered.num_cache_hits,
            num_failures=self._delivered.num_failures,
        )

    def add(self, examples: Iterable[Example]) -> None:
        """Search these examples, too, after those that were given before."""
        before = len(self._waiting)
        self._waiting.extend(examples)
        self._num_examples += len(self._waiting) - before

    def run(self) -> Iterator[ExampleRecord | None]:
        """Records in the order in which examples end; ``None`` after each step, so that callers can report.

        Raises:
            EvaluatorError: no worker is left.
        """
        while self.busy:
            yield from self.step()
            yield None

    def step(self, timeout_s: float | None = None) -> list[ExampleRecord]:
        """Fill the evaluator, take what it has ready, and give the records of the examples that ended.

        Args:
            timeout_s: how long to wait for the evaluator at most.

        Raises:
            EvaluatorError: no worker is left.
        """
        records = self._fill()
        self._num_done += len(records)
        if self._in_flight:
            for result in self._evaluator.collect(timeout_s):
                self._deliver(result)
        return records

    def study_step(self, timeout_s: float | None = None) -> None:
        """As `step`, as long as `studying`, but start no example when the study ends."""
        waiting, self._waiting = self._waiting, deque()
        self.step(timeout_s)
        self._waiting = waiting

    def _fill(self) -> list[ExampleRecord]:
        """Submit rounds until the evaluator is full, started examples first; the records of those that were done."""
        done = []
        requests: list[EvaluationRequest] = []
        room = self._evaluator.max_in_flight
        while len(self._in_flight) < room:
            if self._ready:
                asker = self._ready.popleft()
            elif self._waiting and self._study is None:
                example = self._waiting.popleft()
                try:
                    asker = _Asker(self._start(example))
                except Exception as error:  # a task's code for perturbations; one bad example never stops a run
                    logger.exception("the search of example %s can't be started", example.example_id)
                    done.append(failed_record(example, self._num_layers, kind=type(error).__name__, message=str(error)))
                    continue
            else:
                break
            trials = asker.rounds.next_round()
            if trials:
                requests += self._requests(asker, trials)
                continue
            self._settled = self._settled.plus(asker.counts)
            if isinstance(asker.rounds, MenuStudy):
                self._take_menu(asker.rounds)
            else:
                assert isinstance(asker.rounds, ExampleSearch | GuardedSearch), "nobody else asks"
                done.append(asker.rounds.record())
        if requests:
            self._evaluator.submit(requests)
        return done

    def _take_menu(self, study: MenuStudy) -> None:
        """Go on with what the study found."""
        self.studied = Studied(
            menu=study.menu, cost_per_example=math.ceil(study.num_spent / max(1, self._num_examples))
        )
        self._study = None

    def _start(self, example: Example) -> ExampleSearch | GuardedSearch:
        preset = self._preset
        if preset.study is not None:
            preset = replace(preset, strategy=MenuSearch(menu=self.studied.menu))
        if preset.evidence is None:
            return ExampleSearch(example, num_layers=self._num_layers, preset=preset, seed=self._seed)
        budget = max(1, preset.budget - self.studied.cost_per_example)
        num_guide, num_verify = preset.affordable_perturbations(budget)
        return GuardedSearch(
            example,
            guide=self._perturb(example, EvidenceRole.GUIDE, num_guide),
            verify=self._perturb(example, EvidenceRole.VERIFY, num_verify),
            menu=self.menu,
            num_layers=self._num_layers,
            preset=preset,
            budget=budget,
            seed=self._seed,
        )

    def _requests(self, asker: _Asker, trials: Sequence[Trial]) -> list[EvaluationRequest]:
        running = _Round(asker, [None] * len(trials), len(trials))
        requests = []
        for index, (example, path) in enumerate(trials):
            requests.append(EvaluationRequest(request_id=self._next_request_id, example=example, path=path))
            self._in_flight[self._next_request_id] = (running, index)
            self._next_request_id += 1
        return requests

    def _deliver(self, result: EvaluationResult) -> None:
        """Hand a result to its example, which is ready for its next round when the last one of this round came."""
        running, index = self._in_flight.pop(result.request_id)
        running.outcomes[index] = result.outcome
        running.num_missing -= 1
        running.num_cache_hits += result.from_cache
        running.num_failures += isinstance(result.outcome, Failure)
        if not running.num_missing:
            counts = SearchCounts(
                num_paths_searched=len(running.outcomes),
                num_cache_hits=running.num_cache_hits,
                num_failures=running.num_failures,
            )
            self._delivered = self._delivered.plus(counts)
            running.asker.counts = running.asker.counts.plus(counts)
            running.asker.rounds.observe([outcome for outcome in running.outcomes if outcome is not None])
            self._ready.append(running.asker)


def _study_of(preset: SearchPreset, probes: Sequence[Example], *, num_layers: int, num_examples: int) -> MenuStudy:
    assert preset.study is not None, "the caller looked"
    assert preset.evidence is not None, "a study serves a search that asks for evidence"
    return MenuStudy(
        probes,
        num_layers=num_layers,
        max_evaluations=preset.study_budget * num_examples,
        plan=preset.study,
        max_drop=preset.evidence.max_probe_drop,
    )
