"""Searching with coordinators on a Ray cluster: a study from this process first, then the examples, shared out."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from search_cluster.cache.cached_evaluator import CachedEvaluator
from search_cluster.cache.open import EMBEDDED, EMBEDDED_FOLDER, open_store
from search_cluster.cache.server.embedded import EmbeddedServer
from search_cluster.corpus.record import ExampleRecord
from search_cluster.driver.driver import Drive
from search_cluster.driver.job import Known, SearchJob, make_coordinator, preload
from search_cluster.driver.partition import PartitionSetup
from search_cluster.protocols.counters import EvaluatorStats, SearchCounts, sum_of_stats
from search_cluster.search.coordinator import SearchProgress
from search_cluster.tasks.example import Example
from search_cluster.tree.menu import MenuPath

if TYPE_CHECKING:
    from search_cluster.cluster.coordinator_group import CoordinatorGroup
    from search_cluster.cluster.ray_pool import RayPool

WORKERS_PER_COORDINATOR = 16
"""How many evaluators one coordinator keeps busy with ease; `search-cluster bench scaling` measures it."""


class ClusterDrive:
    """Implements `Drive` with coordinators on a Ray cluster; see `drive_on_cluster`.

    The study, if the preset plans one, runs first, from this process, on all evaluators that are there.
    """

    def __init__(
        self,
        job: SearchJob,
        pool: "RayPool",
        evaluator: CachedEvaluator,
        examples: Sequence[Example],
        *,
        probes: Sequence[Example],
        known: Known,
        num_coordinators: int,
        requests_per_batch: int | None,
        timeout_s: float,
        silence_s: float,
    ) -> None:
        self._job, self._pool, self._evaluator = job, pool, evaluator
        self._examples, self._known = examples, known
        self._wanted = num_coordinators
        self._requests_per_batch = requests_per_batch
        self._timeout_s, self._silence_s = timeout_s, silence_s
        self._study = make_coordinator(job, evaluator, examples, probes)
        self._group: CoordinatorGroup | None = None
        if not self._study.studying:
            self._start()

    def _start(self) -> None:
        from search_cluster.cluster.coordinator_group import CoordinatorGroup

        fleet, ready = self._pool.release()
        self._group = CoordinatorGroup(
            PartitionSetup(job=replace(self._job, studied=self._study.studied)),
            fleet=fleet,
            ready=ready,
            examples=self._examples,
            known=self._known,
            num_coordinators=self._wanted,
            num_layers=self._job.num_layers,
            requests_per_batch=self._requests_per_batch,
            timeout_s=self._timeout_s,
            silence_s=self._silence_s,
        )

    @property
    def busy(self) -> bool:
        """Whether an example has not ended."""
        return self._group is None or self._group.busy

    @property
    def menu(self) -> tuple[MenuPath, ...]:
        """What the study found; empty before its end, and without one."""
        return self._study.menu

    @property
    def num_coordinators(self) -> int:
        """Coordinators at work; during the study, this process."""
        return 1 if self._group is None else self._group.num_coordinators

    @property
    def num_restarts(self) -> int:
        """Coordinators that died and were replaced."""
        return 0 if self._group is None else self._group.num_restarts

    def step(self) -> list[ExampleRecord]:
        """Go on with the study, or with the examples; the records of those that ended."""
        if self._group is not None:
            return self._group.step()
        self._study.study_step()
        if not self._study.studying:
            self._start()
        return []

    def progress(self) -> SearchProgress:
        """Counts so far, the study's included."""
        counts = self._study.delivered.plus(SearchCounts() if self._group is None else self._group.counts)
        return SearchProgress(
            num_examples=len(self._examples),
            num_examples_done=0 if self._group is None else self._group.num_ended,
            num_paths_searched=counts.num_paths_searched,
            num_cache_hits=counts.num_cache_hits,
            num_failures=counts.num_failures,
        )

    def stats(self) -> EvaluatorStats:
        """Counters of all evaluators and caches so far."""
        own = self._evaluator.stats()
        return own if self._group is None else sum_of_stats([own, self._group.stats()])

    def close(self) -> None:
        """End the coordinators. Idempotent."""
        if self._group is not None:
            self._group.close()


@contextmanager
def drive_on_cluster(
    job: SearchJob,
    pool: "RayPool",
    examples: Sequence[Example],
    *,
    probes: Sequence[Example],
    known: Known,
    num_coordinators: int | None,
    requests_per_batch: int | None,
    timeout_s: float,
    silence_s: float,
) -> Iterator[Drive]:
    """Search with coordinators on the cluster; the pool stays the caller's to close.

    Args:
        job: what is searched, and how.
        pool: the evaluators.
        examples: in the order in which they are started.
        probes: other questions for the study, in a random order.
        known: verdicts that need not be looked up.
        num_coordinators: ``None``: one per `WORKERS_PER_COORDINATOR` evaluators.
        requests_per_batch: as `search_cluster.cluster.worker_group.WorkerGroup` takes it.
        timeout_s: how long to go on without any evaluator.
        silence_s: how long a coordinator may not report.
    """
    with ExitStack() as stack:
        if job.redis_url == EMBEDDED:
            server = stack.enter_context(EmbeddedServer(job.run_dir / EMBEDDED_FOLDER))
            job = replace(job, redis_url=server.url)
        store = stack.enter_context(open_store(job.redis_url, context=job.context, run_dir=job.run_dir))
        evaluator = CachedEvaluator(pool, store)
        preload(evaluator, known)
        wanted = num_coordinators or -(-pool.num_workers // WORKERS_PER_COORDINATOR)
        drive = ClusterDrive(
            job,
            pool,
            evaluator,
            examples,
            probes=probes,
            known=known,
            num_coordinators=wanted,
            requests_per_batch=requests_per_batch,
            timeout_s=timeout_s,
            silence_s=silence_s,
        )
        yield stack.enter_context(closing(drive))
