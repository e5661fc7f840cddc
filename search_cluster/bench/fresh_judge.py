"""Whether a path holds for a question, on evidence that no search has seen.

A best path *holds* if it is right on fresh perturbations of the question as often as identity
(within `PERTURBATION_SLACK`) and on fresh other questions as well (within `PROBE_SLACK`). Of a
question without fresh perturbations no path holds: nothing was seen of it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.protocols.messages import EvaluationRequest
from search_cluster.protocols.rounds import Trial
from search_cluster.search.questions import Questions
from search_cluster.tasks.example import Example
from search_cluster.tasks.perturbation.perturbations import EvidenceRole
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.task import Task, load_if_any
from search_cluster.tasks.verdict import Verdict

PERTURBATION_SLACK = 0.10
"""How much rarer than identity, as a share of the fresh perturbations, a path that holds may be
right on them."""
PROBE_SLACK = 0.05
"""How much rarer, as a share of the fresh other questions, it may be right on them."""
LOOK_PROBES = 100
"""Fresh other questions that all paths are asked."""
LOOK_SLACK = 0.15
"""How much rarer, as a share of these, a path may be right that is asked the others, too. Of paths
that truly lose `PROBE_SLACK` about one in a hundred is stopped where a fifth of the answers change,
more where questions ask for one fact."""


def fresh_questions(
    task: Task, data_dir: Path | None, *, without: Iterable[Example], count: int, seed: int
) -> tuple[Example, ...]:
    """Questions of test and validation, which no search sees.

    Args:
        task: which task; it may lack a validation.
        data_dir: see `Task.load`.
        without: questions that a search may see; they may stand in these splits, too.
        count: how many at most.
        seed: draws them.

    Raises:
        TaskError: there is no test split, or a split can't be read.
    """
    fresh = (
        *task.load("test", data_dir).examples,
        *load_if_any(task, "validation", data_dir).examples,
    )
    seen = {example.example_id for example in without}
    by_id = {item.example_id: item for item in fresh if item.example_id not in seen}
    return select_examples(list(by_id.values()), count, seed)


class FreshJudge:
    """Says whether a path holds for a question, on evidence that no search has seen.

    Raises:
        InvalidValueError: there is no probe.
    """

    def __init__(
        self,
        evaluator: PathEvaluator,
        questions: Questions,
        probes: Sequence[Example],
        *,
        num_layers: int,
        num_fresh: int,
    ) -> None:
        if not probes:
            raise InvalidValueError(
                "no fresh other question to judge paths on; the task needs a test split"
            )
        self._evaluator, self._questions, self._probes = evaluator, questions, probes
        self._num_fresh = num_fresh
        self.identity = LayerPath.identity(num_layers)
        self._rewards: dict[tuple[str, LayerPath], bool] = {}
        self._next_id = -1

    def is_right(self, example: Example, path: LayerPath) -> bool:
        """Whether the path answers the question; asked before, or evaluated now."""
        self._evaluate([(example, path)])
        return self._rewards[example.example_id, path]

    def fresh(self, example: Example) -> tuple[Example, ...]:
        """Perturbations of a question that no search has seen; fewer where the task has no more."""
        return self._questions.perturb(example, EvidenceRole.FRESH, self._num_fresh)

    def holds(self, items: Sequence[Trial]) -> list[bool]:
        """Per (question, path) whether the path holds.

        Probes are spent only on those that pass the perturbations.
        """
        fresh = {example.example_id: self.fresh(example) for example, _ in items}
        self._evaluate(
            [
                (perturbed, candidate)
                for example, path in items
                for perturbed in fresh[example.example_id]
                for candidate in (path, self.identity)
            ]
        )
        stable = [
            bool(fresh[example.example_id])
            and self._num_right(fresh[example.example_id], path)
            >= self._num_right(fresh[example.example_id], self.identity)
            - PERTURBATION_SLACK * len(fresh[example.example_id])
            for example, path in items
        ]
        kept = self._keeping(
            {path for (_, path), passed in zip(items, stable, strict=True) if passed}
        )
        return [passed and path in kept for (_, path), passed in zip(items, stable, strict=True)]

    def _keeping(self, paths: Iterable[LayerPath]) -> set[LayerPath]:
        """The paths that are right on the fresh other questions, too."""
        kept = sorted(set(paths), key=lambda path: path.layers)
        for probes, slack in (
            (self._probes[:LOOK_PROBES], LOOK_SLACK),
            (self._probes, PROBE_SLACK),
        ):
            self._evaluate([(probe, path) for path in [self.identity, *kept] for probe in probes])
            least = self._num_right(probes, self.identity) - slack * len(probes)
            kept = [path for path in kept if self._num_right(probes, path) >= least]
        return set(kept)

    def probe_accuracy(self, path: LayerPath) -> float:
        """Share of the fresh other questions on which a path is right.

        Raises:
            KeyError: it was not asked all of them.
        """
        return self._num_right(self._probes, path) / len(self._probes)

    def _num_right(self, examples: Sequence[Example], path: LayerPath) -> int:
        return sum(self._rewards[example.example_id, path] for example in examples)

    def _evaluate(self, trials: Sequence[Trial]) -> None:
        """Evaluate unknown trials, those of an example together; a failure counts as wrong."""
        unknown = {
            (example.example_id, path): (example, path)
            for example, path in trials
            if (example.example_id, path) not in self._rewards
        }
        by_example: dict[str, list[Trial]] = defaultdict(list)
        for (example_id, _), trial in unknown.items():
            by_example[example_id].append(trial)
        waiting: dict[int, tuple[str, LayerPath]] = {}
        for group in by_example.values():
            requests = []
            for example, path in group:
                requests.append(
                    EvaluationRequest(request_id=self._next_id, example=example, path=path)
                )
                waiting[self._next_id] = (example.example_id, path)
                self._next_id -= 1
            self._evaluator.submit(requests)
        while waiting:
            for result in self._evaluator.collect():
                outcome = result.outcome
                self._rewards[waiting.pop(result.request_id)] = (
                    isinstance(outcome, Verdict) and outcome.is_correct
                )
