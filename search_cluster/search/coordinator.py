"""The coordinator: drives the searches of many examples over one evaluator.

Pure apart from the evaluator it is given. It keeps the evaluator full, gives each example its outcomes in the order of
proposal, and hands out records as examples end. Which example ends first depends on timing; what a record says does
not.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from search_cluster.corpus.record import ExampleRecord
from search_cluster.evaluation.evaluator import PathEvaluator
from search_cluster.evaluation.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.search.example_search import ExampleSearch
from search_cluster.search.guarded_search import GuardedSearch
from search_cluster.search.menu_study import MenuStudy
from search_cluster.search.rounds import Rounds, Trial
from search_cluster.tasks.example import Example
from search_cluster.tasks.perturbations import EvidenceRole
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.menu import MenuPath, MenuSearch
from search_cluster.tree.settings import SearchPreset

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


@dataclass(slots=True, eq=False)
class _Round:
    """One example's round in flight."""

    asker: Rounds
    outcomes: list[Verdict | Failure | None]
    num_missing: int


class Coordinator:
    """Searches every example, after a study of other questions if the preset plans one; iterate `run` to the end.

    Args:
        evaluator: answers requests; stays the caller's to close.
        examples: in the order in which they are started.
        num_layers: depth of the model.
        preset: how to search.
        seed: of the whole run; each example derives its own from it.
        probes: other questions for the study, in a random order; needed by presets with a study.
        perturb: gives so many perturbations of an example for a role; needed by presets that ask for evidence.
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
    ) -> None:
        self._evaluator = evaluator
        self._waiting = deque(examples)
        self._ready = deque[Rounds]()
        self._num_examples = len(examples)
        self._num_layers = num_layers
        self._preset = preset
        self._seed = seed
        self._perturb = perturb
        self._own_budget = preset.budget
        self.menu: tuple[MenuPath, ...] = ()
        """What the study found; empty before its end, and without one."""
        self._study = _study_of(preset, probes, num_layers=num_layers, num_examples=len(examples))
        if self._study is not None:
            self._ready.append(self._study)
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

    def _fill(self) -> list[ExampleSearch | GuardedSearch]:
        """Submit rounds until the evaluator is full, started examples first; returns the searches that were done."""
        done = []
        while len(self._in_flight) < self._evaluator.max_in_flight:
            if self._ready:
                asker = self._ready.popleft()
            elif self._waiting and self._study is None:
                asker = self._start(self._waiting.popleft())
            else:
                break
            trials = asker.next_round()
            if trials:
                self._submit(asker, trials)
            elif isinstance(asker, MenuStudy):
                self._take_menu(asker)
            else:
                assert isinstance(asker, ExampleSearch | GuardedSearch), "nobody else asks"
                done.append(asker)
        return done

    def _take_menu(self, study: MenuStudy) -> None:
        """Go on with what the study found; its evaluations are paid by all examples alike."""
        self.menu = study.menu
        self._preset = replace(self._preset, strategy=MenuSearch(menu=self.menu))
        self._own_budget = max(1, self._preset.budget - math.ceil(study.num_spent / max(1, self._num_examples)))
        self._study = None

    def _start(self, example: Example) -> ExampleSearch | GuardedSearch:
        rule = self._preset.evidence
        if rule is None:
            return ExampleSearch(example, num_layers=self._num_layers, preset=self._preset, seed=self._seed)
        num_guide, num_verify = self._preset.affordable_perturbations(self._own_budget)
        return GuardedSearch(
            example,
            guide=self._perturb(example, EvidenceRole.GUIDE, num_guide),
            verify=self._perturb(example, EvidenceRole.VERIFY, num_verify),
            menu=self.menu,
            num_layers=self._num_layers,
            preset=self._preset,
            budget=self._own_budget,
            seed=self._seed,
        )

    def _submit(self, asker: Rounds, trials: Sequence[Trial]) -> None:
        running = _Round(asker, [None] * len(trials), len(trials))
        requests = []
        for index, (example, path) in enumerate(trials):
            requests.append(EvaluationRequest(request_id=self._next_request_id, example=example, path=path))
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
            running.asker.observe([outcome for outcome in running.outcomes if outcome is not None])
            self._ready.append(running.asker)


def _study_of(
    preset: SearchPreset, probes: Sequence[Example], *, num_layers: int, num_examples: int
) -> MenuStudy | None:
    if preset.study is None or preset.evidence is None:
        return None
    return MenuStudy(
        probes,
        num_layers=num_layers,
        max_evaluations=(preset.budget - preset.own_budget) * num_examples,
        plan=preset.study,
        max_drop=preset.evidence.max_probe_drop,
    )
