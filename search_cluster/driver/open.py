"""Who drives the searches of a run and where its metrics go, as its settings say."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from search_cluster.cluster.coordinators.settings import CoordinatorSettings
from search_cluster.config import RAY_NONE, SearchConfig
from search_cluster.driver.cluster import drive_on_cluster
from search_cluster.driver.driver import Driver
from search_cluster.driver.job import Known, SearchJob
from search_cluster.driver.local import drive_here
from search_cluster.protocols.metrics import MetricsExporter, NoExporter
from search_cluster.tasks.example import Example

if TYPE_CHECKING:
    from search_cluster.cluster.ray_pool import RayPool
    from search_cluster.driver.pools import Pool


def open_driver(
    config: SearchConfig,
    job: SearchJob,
    pool: "Pool",
    examples: Sequence[Example],
    probes: Sequence[Example],
    known: Known,
) -> AbstractContextManager[Driver]:
    """The searches of a job, in this process or on the cluster of the pool."""
    if config.ray == RAY_NONE:
        return drive_here(job, pool, examples, probes=probes, known=known)
    if TYPE_CHECKING:
        assert isinstance(pool, RayPool)
    return drive_on_cluster(
        job,
        pool,
        examples,
        probes=probes,
        known=known,
        settings=CoordinatorSettings(
            num_coordinators=config.coordinators,
            requests_per_batch=config.requests_per_batch,
            placement_timeout_s=config.placement_timeout_s,
            coordinator_timeout_s=config.coordinator_timeout_s,
            worker_timeout_s=config.worker_timeout_s,
        ),
    )


def open_exporter(config: SearchConfig) -> MetricsExporter:
    """Where metrics go: to Ray's agents, if there is a Ray."""
    if config.ray == RAY_NONE:
        return NoExporter()
    from search_cluster.cluster.metrics import RayMetricsExporter

    return RayMetricsExporter()
