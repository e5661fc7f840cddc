"""The Ray pool: one actor per device, a bounded number of batches in flight on each.

Evaluation is idempotent, so a request whose worker died is simply sent again: alone, so that a request which kills its
worker takes no other with it, and a bounded number of times.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError, RayActorError, RayTaskError

from search_cluster.errors import EvaluatorError, SearchClusterError
from search_cluster.evaluation.messages import EvaluationRequest, EvaluationResult, EvaluatorStats, Failure
from search_cluster.workers.dispatch import Dispatcher
from search_cluster.workers.path_worker import BatchReport, PathWorker, WorkerInfo, WorkerSpec, require_same_model
from search_cluster.workers.ray_session import describe_resources
from search_cluster.workers.tally import Tally

BATCHES_PER_WORKER = 2
"""In flight: one running, one waiting, which keeps a device busy while results travel."""
MAX_ATTEMPTS = 3
"""How often one request may lose its worker before it counts as a failure."""
MAX_LOSSES_IN_A_ROW = 12
"""Batches lost without one result in between: then it is not the requests that kill the workers."""
UNLIMITED_RESTARTS = -1
"""Of an actor. What bounds restarts is that no request is sent more than `MAX_ATTEMPTS` times."""


@dataclass(slots=True, eq=False)
class _Queued:
    """A request that waits, and how many workers it has killed."""

    request: EvaluationRequest
    num_attempts: int = 0


@dataclass(slots=True, eq=False)
class _Worker:
    """One actor and what is in flight on it; owned by the pool."""

    number: int
    actor: Any
    batches: dict[Any, list[_Queued]] = field(default_factory=dict)
    """In flight, by result reference, in the order of sending: the actor runs the first, the others wait there."""
    probe: Any = None
    """Set while the actor restarts: the reference of a call that returns when it is up again. It gets no batch."""


class RayPool:
    """Implements `PathEvaluator` with Ray actors; `search_cluster.workers.ray_session.connect_ray` comes first.

    Args:
        spec: what every worker builds.
        num_workers: how many actors, each with one device.
        num_gpus_per_worker: 1 on GPUs, 0 on CPUs.
        requests_per_batch: requests sent together at most; a batch should be worth 20 ms of device time or more.
        placement_timeout_s: how long to wait for all workers to be placed and to load their model.

    Raises:
        EvaluatorError: the cluster can't place the workers in time, or they hold different models.
        ModelError: the model can't be loaded (or `TaskError`, and so on: what building a worker raises).
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        num_workers: int,
        num_gpus_per_worker: float = 0,
        requests_per_batch: int = 16,
        placement_timeout_s: float = 600.0,
    ) -> None:
        actor_class = ray.remote(PathWorkerActor).options(
            num_cpus=spec.num_threads,
            num_gpus=num_gpus_per_worker,
            max_restarts=UNLIMITED_RESTARTS,
            enable_task_events=False,
        )
        self._tally = Tally(num_devices=num_workers)
        self._workers = [_Worker(number, actor_class.remote(spec)) for number in range(num_workers)]
        self._requests_per_batch = requests_per_batch
        self._dispatcher = Dispatcher[_Queued](
            num_workers, requests_per_batch, lambda item: item.request.example.example_id
        )
        self._suspects = deque[_Queued]()
        self._losses_in_a_row = 0
        self._num_in_flight = 0
        try:
            self.info = self._wait_until_ready(placement_timeout_s)
        except BaseException:
            self.close()
            raise

    def _wait_until_ready(self, timeout_s: float) -> WorkerInfo:
        refs = [worker.actor.info.remote() for worker in self._workers]
        try:
            infos: list[WorkerInfo] = ray.get(refs, timeout=timeout_s)
        except GetTimeoutError as error:
            ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
            raise EvaluatorError(
                f"{len(ready)} of {len(refs)} workers were ready after {timeout_s:g} s; the cluster has "
                f"{describe_resources()}: add nodes, or ask for fewer --workers"
            ) from error
        except RayTaskError as error:
            raise _cause(error) from error
        except RayActorError as error:
            raise EvaluatorError(f"a worker died while it was built: {_first_line(error)}") from error
        for number, info in enumerate(infos):
            self._tally.place(number, node=info.node, device=info.device)
        return require_same_model(infos)

    @property
    def max_in_flight(self) -> int:
        """Requests of all batches that may be in flight."""
        return len(self._workers) * BATCHES_PER_WORKER * self._requests_per_batch

    def submit(self, requests: Sequence[EvaluationRequest]) -> None:
        """Queue requests and fill idle workers."""
        self._num_in_flight += len(requests)
        self._dispatcher.add(_Queued(request) for request in requests)
        self._dispatch()

    def _dispatch(self) -> None:
        """Send batches, the idlest worker first, until all are full or nothing waits."""
        ready = [worker for worker in self._workers if worker.probe is None]
        for num_batches in range(BATCHES_PER_WORKER):
            for worker in ready:
                if len(worker.batches) == num_batches and (items := self._next_items(worker)):
                    ref = worker.actor.evaluate.remote([item.request for item in items])
                    worker.batches[ref] = items

    def _next_items(self, worker: _Worker) -> list[_Queued]:
        """A batch; a request that may have killed a worker goes alone."""
        return [self._suspects.popleft()] if self._suspects else self._dispatcher.next_batch(worker.number)

    def collect(self, timeout_s: float | None = None) -> list[EvaluationResult]:
        """Results of the batches that are ready; waits for the first.

        Raises:
            EvaluatorError: workers die one after another, or can't be built again.
        """
        results: list[EvaluationResult] = []
        while not results and (waiting := self._references()):
            ready, _ = ray.wait(list(waiting), num_returns=1, timeout=timeout_s)
            if not ready:
                break
            for ref in ready:
                worker = waiting[ref]
                if ref in worker.batches:
                    results += self._take(worker, ref)
                elif ref == worker.probe:
                    self._revive(worker)
            self._dispatch()
        self._num_in_flight -= len(results)
        return results

    def _references(self) -> dict[Any, _Worker]:
        """What can be waited for, and whose it is."""
        waiting = {ref: worker for worker in self._workers for ref in worker.batches}
        return waiting | {worker.probe: worker for worker in self._workers if worker.probe is not None}

    def _take(self, worker: _Worker, ref: Any) -> list[EvaluationResult]:
        """The results of a batch; of a worker that died, the failures of requests that are given up."""
        try:
            report: BatchReport = ray.get(ref)
        except (ActorUnavailableError, ActorDiedError) as error:
            return self._requeue(worker, error)
        del worker.batches[ref]
        self._losses_in_a_row = 0
        self._tally.add(worker.number, report.results, report.work)
        return list(report.results)

    def _requeue(self, worker: _Worker, error: RayActorError) -> list[EvaluationResult]:
        """Put all that was in flight on a dead worker back in front of the queue, and have the worker restarted.

        Only the first batch was running, so only its requests may have killed the worker.
        """
        self._tally.add_restart(worker.number)
        self._losses_in_a_row += 1
        if self._losses_in_a_row > MAX_LOSSES_IN_A_ROW:
            raise EvaluatorError(
                f"workers died {self._losses_in_a_row} times without one result in between ({_first_line(error)}); "
                "nothing found is lost: look at Ray's logs for the cause, then run the same command again"
            ) from error
        running, *behind = worker.batches.values()
        worker.batches.clear()
        worker.probe = worker.actor.info.options(max_task_retries=-1).remote()
        for item in running:
            item.num_attempts += 1
        self._suspects.extend(item for item in running if item.num_attempts < MAX_ATTEMPTS)
        behind_items = [item for batch in behind for item in batch]
        self._suspects.extend(item for item in behind_items if item.num_attempts)
        self._dispatcher.add_first(item for item in behind_items if not item.num_attempts)
        message = f"{MAX_ATTEMPTS} workers died of it: {_first_line(error)}"
        given_up = [
            EvaluationResult(request_id=item.request.request_id, outcome=Failure(kind="WorkerDied", message=message))
            for item in running
            if item.num_attempts >= MAX_ATTEMPTS
        ]
        self._tally.add(worker.number, given_up)
        return given_up

    def _revive(self, worker: _Worker) -> None:
        """Give a restarted worker work again.

        Raises:
            EvaluatorError: it can't be built again.
        """
        probe, worker.probe = worker.probe, None
        try:
            info: WorkerInfo = ray.get(probe)
        except (RayActorError, RayTaskError) as error:
            raise EvaluatorError(
                f"a worker that died can't be built again ({_first_line(error)}); nothing found is lost: look at Ray's "
                "logs for the cause, then run the same command again"
            ) from error
        self._tally.place(worker.number, node=info.node, device=info.device)

    def stats(self) -> EvaluatorStats:
        """Counters since the pool was built."""
        return self._tally.stats(num_in_flight=self._num_in_flight)

    def close(self) -> None:
        """Kill the actors, which frees their devices. Idempotent."""
        for worker in self._workers:
            ray.kill(worker.actor)
        self._workers.clear()
        self._tally.stop()


class PathWorkerActor:
    """A `PathWorker` as a Ray actor; reached through its handle only."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._worker: PathWorker | None = None

    def info(self) -> WorkerInfo:
        """Build the worker if need be; what it says of itself."""
        return self._built().info

    def evaluate(self, requests: Sequence[EvaluationRequest]) -> BatchReport:
        """See `PathWorker.evaluate`. A restarted actor builds its worker first."""
        return self._built().evaluate(requests)

    def _built(self) -> PathWorker:
        # Not in __init__: an error there would reach the caller as a dead actor, without its type.
        if self._worker is None:
            self._worker = PathWorker(self._spec)
        return self._worker


def _cause(error: RayTaskError) -> Exception:
    """Our own error that a worker raised, or an `EvaluatorError` that names it."""
    cause = error.cause
    if isinstance(cause, SearchClusterError):
        return type(cause)(str(cause))
    return EvaluatorError(f"a worker can't be built: {type(cause).__name__}: {_first_line(cause)}")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
