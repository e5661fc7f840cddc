"""Searching in this process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from search_cluster.cache.cached_evaluator import CachedEvaluator
from search_cluster.cache.open import open_store
from search_cluster.driver.driver import Driver
from search_cluster.driver.job import Known, SearchJob, make_coordinator, preload
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.tasks.example import Example


@contextmanager
def drive_here(
    job: SearchJob,
    pool: PathEvaluator,
    examples: Sequence[Example],
    *,
    probes: Sequence[Example],
    known: Known,
) -> Iterator[Driver]:
    """Search with one coordinator in this process; the pool stays the caller's to close.

    Args:
        job: what is searched, and how.
        pool: the workers.
        examples: in the order in which they are started.
        probes: other questions for the study, in a random order.
        known: verdicts that need not be looked up.
    """
    with open_store(job.redis_url, context=job.context, run_dir=job.run_dir) as store:
        evaluator = CachedEvaluator(pool, store)
        preload(evaluator, known)
        yield make_coordinator(job, evaluator, examples, probes)
