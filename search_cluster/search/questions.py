"""Where evidence comes from: other questions of the task, and perturbations of a question."""

from collections.abc import Sequence

from search_cluster.tasks.example import Example
from search_cluster.tasks.perturbations import EvidenceRole, perturbations
from search_cluster.tasks.selection import derive_seed, select_examples
from search_cluster.tasks.task import Task

ENOUGH = 64
"""With fewer questions that are not searched, the searched ones serve as probes, too."""


class Questions:
    """All questions of a split and those of them that are searched. Immutable.

    Args:
        task: asks and grades.
        pool: all questions of the split.
        searched: those that a search is about.
        seed: of the run.
    """

    def __init__(self, task: Task, pool: Sequence[Example], searched: Sequence[Example], *, seed: int) -> None:
        self._task, self._pool, self._seed = task, tuple(pool), seed
        ids = {example.example_id for example in searched}
        others = tuple(example for example in pool if example.example_id not in ids)
        self._others = others if len(others) >= ENOUGH else self._pool

    def probes(self, count: int) -> tuple[Example, ...]:
        """Up to ``count`` questions to try paths on, in a random order; not searched ones where there are enough."""
        return select_examples(self._others, count, derive_seed(self._seed, "probes"))

    def perturb(self, example: Example, role: EvidenceRole, count: int) -> tuple[Example, ...]:
        """Up to ``count`` perturbations of a question; none if the task declares none."""
        found = perturbations(self._task, example, self._pool, role=role, count=count, seed=self._seed)
        return tuple(item.example for item in found)
