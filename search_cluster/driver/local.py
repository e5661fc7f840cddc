"""Searching in this process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from search_cluster.cache.cached_evaluator import CachedEvaluator
from search_cluster.cache.open import open_store
from search_cluster.corpus.record import ExampleRecord
from search_cluster.driver.driver import Drive
from search_cluster.driver.job import Known, SearchJob, make_coordinator, preload
from search_cluster.protocols.counters import EvaluatorStats
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.search.coordinator import Coordinator, SearchProgress
from search_cluster.tasks.example import Example
from search_cluster.tree.menu import MenuPath


class LocalDrive:
    """Implements `Drive` with one coordinator in this process; see `drive_here`."""

    num_coordinators = 1
    num_restarts = 0

    def __init__(self, evaluator: CachedEvaluator, coordinator: Coordinator) -> None:
        self._evaluator, self._coordinator = evaluator, coordinator

    @property
    def busy(self) -> bool:
        """Whether an example has not ended."""
        return self._coordinator.busy

    @property
    def menu(self) -> tuple[MenuPath, ...]:
        """What the study found; empty before its end, and without one."""
        return self._coordinator.menu

    def step(self) -> list[ExampleRecord]:
        """Go on for a batch of results; the records of the examples that ended."""
        return self._coordinator.step()

    def progress(self) -> SearchProgress:
        """Counts so far."""
        return self._coordinator.progress()

    def stats(self) -> EvaluatorStats:
        """Counters of the evaluator and the cache."""
        return self._evaluator.stats()


@contextmanager
def drive_here(
    job: SearchJob, pool: PathEvaluator, examples: Sequence[Example], *, probes: Sequence[Example], known: Known
) -> Iterator[Drive]:
    """Search in this process; the pool stays the caller's to close."""
    with open_store(job.redis_url, context=job.context, run_dir=job.run_dir) as store:
        evaluator = CachedEvaluator(pool, store)
        preload(evaluator, known)
        yield LocalDrive(evaluator, make_coordinator(job, evaluator, examples, probes))
