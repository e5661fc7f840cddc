"""Searching with coordinators on a Ray cluster, after a study from this process."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from search_cluster.cache.cached_evaluator import CachedEvaluator
from search_cluster.cache.open import EMBEDDED, EMBEDDED_FOLDER, open_store
from search_cluster.cache.server.embedded import EmbeddedServer
from search_cluster.cluster.coordinators.settings import CoordinatorSettings
from search_cluster.corpus.encoded_shard import EncodedShard, Found
from search_cluster.driver.driver import Driver
from search_cluster.driver.job import Known, SearchJob, make_coordinator, preload
from search_cluster.driver.partition import PartitionSetup
from search_cluster.protocols.counters import EvaluatorStats, SearchProgress, sum_of_stats
from search_cluster.search.coordinator import Coordinator
from search_cluster.search.search_plan import Studied
from search_cluster.tasks.example import Example
from search_cluster.tree.menu import MenuPath

if TYPE_CHECKING:
    from search_cluster.cluster.coordinators.group import CoordinatorGroup
    from search_cluster.cluster.ray_pool import RayPool


class ClusterDriver:
    """Implements `Driver` with coordinators on a Ray cluster; made by `drive_on_cluster`.

    The study, if the preset plans one, runs first, from this process, on all workers that are
    there.

    Args:
        study: a coordinator of this process for the study alone; it starts no example.
        start: starts the coordinators of the cluster when the study has ended.
    """

    def __init__(self, study: Coordinator, start: Callable[[Studied], "CoordinatorGroup"]) -> None:
        self._study = study
        self._start = start
        self._group = None if study.studying else start(study.studied)

    @property
    def busy(self) -> bool:
        """Whether an example has not ended."""
        return self._group is None or self._group.busy

    @property
    def menu(self) -> tuple[MenuPath, ...]:
        """What the study found; empty before its end, and without one."""
        return self._study.menu

    def step(self) -> Sequence[Found]:
        """Go on with the study, or with the examples; what came of those that ended."""
        if self._group is not None:
            return self._group.step()
        self._study.study_step()
        if not self._study.studying:
            self._group = self._start(self._study.studied)
        return []

    def progress(self) -> SearchProgress:
        """Counts so far, the study's included; during the study this process is the coordinator."""
        progress = self._study.progress()
        if self._group is None:
            return progress
        counts = self._study.delivered.plus(self._group.counts)
        return replace(
            progress,
            num_examples_done=self._group.num_ended,
            num_paths_searched=counts.num_paths_searched,
            num_cache_hits=counts.num_cache_hits,
            num_failures=counts.num_failures,
            num_coordinators=self._group.num_coordinators,
            num_coordinator_restarts=self._group.num_restarts,
            study_budget=0,
        )

    def stats(self) -> EvaluatorStats:
        """Counters of all workers and caches so far."""
        own = self._study.stats()
        return own if self._group is None else sum_of_stats([own, self._group.stats()])

    def close(self) -> Sequence[EncodedShard]:
        """End the coordinators; the shards that no step has handed out. Idempotent."""
        return [] if self._group is None else self._group.close()


@contextmanager
def drive_on_cluster(
    job: SearchJob,
    pool: "RayPool",
    examples: Sequence[Example],
    *,
    probes: Sequence[Example],
    known: Known,
    settings: CoordinatorSettings,
) -> Iterator[Driver]:
    """Search with coordinators on the cluster; the pool stays the caller's to close.

    Args:
        job: what is searched, and how.
        pool: the workers.
        examples: in the order in which they are started.
        probes: other questions for the study, in a random order.
        known: verdicts that need not be looked up.
        settings: how many coordinators there are, and how long they are waited for.
    """
    with ExitStack() as stack:
        if job.redis_url == EMBEDDED:
            server = stack.enter_context(EmbeddedServer(job.run_dir / EMBEDDED_FOLDER))
            job = replace(job, redis_url=server.url)
        store = stack.enter_context(
            open_store(job.redis_url, context=job.context, run_dir=job.run_dir)
        )
        evaluator = CachedEvaluator(pool, store)
        preload(evaluator, known)

        def start(studied: Studied) -> "CoordinatorGroup":
            from search_cluster.cluster.coordinators.group import CoordinatorGroup

            fleet, ready = pool.release()
            return CoordinatorGroup(
                PartitionSetup(job=replace(job, studied=studied)),
                fleet=fleet,
                ready=ready,
                examples=examples,
                known=known,
                num_layers=job.num_layers,
                settings=settings,
            )

        study = make_coordinator(job, evaluator, examples, probes)
        yield stack.enter_context(closing(ClusterDriver(study, start)))
