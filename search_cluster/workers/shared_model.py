"""Workers of one process and one device that share a model."""

from search_cluster.faults import FailureLog
from search_cluster.workers.messages import WorkerSpec
from search_cluster.workers.path_worker import PathWorker


def workers_of_one_model(
    spec: WorkerSpec, num_workers: int, failure_log: FailureLog | None = None
) -> list[PathWorker]:
    """So many workers; the first loads the model.

    Args:
        spec: what each of them builds.
        num_workers: at least one.
        failure_log: as `PathWorker` takes it, for all of them.

    Raises:
        SearchClusterError: what building a worker raises.
    """
    first = PathWorker(spec, failure_log=failure_log)
    return [
        first,
        *(
            PathWorker(spec, loaded=first.loaded, failure_log=first.failure_log, meter=first.meter)
            for _ in range(num_workers - 1)
        ),
    ]
