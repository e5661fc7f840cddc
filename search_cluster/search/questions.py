"""Where evidence comes from: other questions of the task, and perturbations of a question."""

from collections.abc import Sequence
from contextlib import suppress

from search_cluster.tasks.example import Example
from search_cluster.tasks.perturbation.frames import framed
from search_cluster.tasks.perturbation.perturbations import EvidenceRole, perturbations
from search_cluster.tasks.selection import derive_seed, select_examples
from search_cluster.tasks.task import Task


class Questions:
    """All questions of a split and those of them that are searched. Immutable.

    Args:
        task: asks and grades.
        pool: all questions of the split.
        searched: those that a search is about.
        seed: the run's seed.
    """

    def __init__(
        self, task: Task, pool: Sequence[Example], searched: Sequence[Example], *, seed: int
    ) -> None:
        self._task, self._pool, self._seed = task, tuple(pool), seed
        ids = {example.example_id for example in searched}
        self._searched = tuple(searched)
        self._others = tuple(example for example in pool if example.example_id not in ids)

    def probes(self, count: int) -> tuple[Example, ...]:
        """Up to ``count`` questions to try paths on, in a random order.

        Searched ones come after all others, and only where these are too few: a run of a whole
        split has no others.
        """
        seed = derive_seed(self._seed, "probes")
        others = select_examples(self._others, count, seed)
        num_missing = count - len(others)
        return others + (select_examples(self._searched, num_missing, seed) if num_missing else ())

    def perturb(self, example: Example, role: EvidenceRole, count: int) -> tuple[Example, ...]:
        """Up to ``count`` perturbations of a question: the task's own, then generic frames.

        There are none where nothing surely keeps the answer, and then nothing can be verified.
        """
        found = perturbations(
            self._task, example, self._pool, role=role, count=count, seed=self._seed
        )
        roles = list(EvidenceRole)
        return tuple(item.example for item in found) + framed(
            self._task,
            example,
            part=roles.index(role),
            num_parts=len(roles),
            count=count - len(found),
            seed=self._seed,
        )

    def can_verify(self, examples: Sequence[Example]) -> bool:
        """Whether any of these questions has a perturbation; without, no path can be credible."""
        return any(map(self._has_perturbation, examples))

    def _has_perturbation(self, example: Example) -> bool:
        # A task's own code makes prompts and perturbations. Where it fails on an example, the
        # search of that example says so.
        with suppress(Exception):
            return any(
                self.perturb(example, role, 1) for role in (EvidenceRole.GUIDE, EvidenceRole.VERIFY)
            )
        return False
