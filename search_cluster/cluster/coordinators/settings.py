"""Settings of the coordinators of a run. Free of Ray, so that any process can make them."""

from dataclasses import dataclass

WORKERS_PER_COORDINATOR = 16
"""How many workers one coordinator is given at first; ``search-cluster bench scaling`` measures how
many it keeps busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorSettings:
    """What a run says of its coordinators; the names are those of `search_cluster.config`."""

    num_coordinators: int | None = None
    """How many share the work; ``None``: one per `WORKERS_PER_COORDINATOR` workers, and more where
    these are full (`search_cluster.cluster.coordinators.staffing`)."""
    requests_per_batch: int | None = None
    """Paths that are sent to a worker together, at most; ``None``: each worker's speed decides."""
    placement_timeout_s: float = 600.0
    """How long to go on without any worker, and to wait at least for a coordinator that starts."""
    coordinator_timeout_s: float = 300.0
    """How long a coordinator may not report while a step is in flight; then it is taken for
    hung."""
    worker_timeout_s: float = 1800.0
    """How long a worker may take for a batch; then it is taken for hung."""
    idle_s: float = 30.0
    """How long a worker has had nothing to do when its device is given back, once no example is
    left to begin."""

    def num_coordinators_for(self, num_workers: int) -> int:
        """How many coordinators drive so many workers at first."""
        return self.num_coordinators or -(-num_workers // WORKERS_PER_COORDINATOR)
