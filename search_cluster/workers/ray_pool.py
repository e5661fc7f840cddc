"""The Ray pool: one actor per device, a bounded number of batches in flight on each.

Evaluation is idempotent, so a request whose worker died is simply sent again: alone, so that a request which kills its
worker takes no other with it, and a bounded number of times.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError, RayActorError, RayTaskError

from search_cluster.errors import EvaluatorError, SearchClusterError
from search_cluster.evaluation.messages import EvaluationRequest, EvaluationResult, EvaluatorStats, Failure
from search_cluster.workers.path_worker import PathWorker, WorkerInfo, WorkerSpec, require_same_model
from search_cluster.workers.ray_session import describe_resources
from search_cluster.workers.tally import Tally

BATCHES_PER_WORKER = 2
"""In flight: one running, one waiting, which keeps a device busy while results travel."""
MAX_WORKER_RESTARTS = 3
MAX_ATTEMPTS = 3
"""How often one request may lose its worker before it counts as a failure."""


@dataclass(slots=True, eq=False)
class _Worker:
    """One actor and what is in flight on it; owned by the pool."""

    actor: Any
    num_batches: int = 0


@dataclass(slots=True, eq=False)
class _Queued:
    """A request that waits, and how many workers it has lost."""

    request: EvaluationRequest
    num_attempts: int = 0


@dataclass(slots=True, eq=False)
class _Batch:
    """Requests in flight on one worker."""

    worker: _Worker
    items: list[_Queued] = field(default_factory=list)


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
        requests_per_batch: int = 4,
        placement_timeout_s: float = 600.0,
    ) -> None:
        actor_class = ray.remote(PathWorkerActor).options(
            num_cpus=spec.num_threads,
            num_gpus=num_gpus_per_worker,
            max_restarts=MAX_WORKER_RESTARTS,
            enable_task_events=False,
        )
        self._tally = Tally(num_devices=num_workers)
        self._workers = [_Worker(actor_class.remote(spec)) for _ in range(num_workers)]
        self._requests_per_batch = requests_per_batch
        self._queue = deque[_Queued]()
        self._batches: dict[Any, _Batch] = {}
        self._failed: list[EvaluationResult] = []
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
        return require_same_model(infos)

    @property
    def max_in_flight(self) -> int:
        """Requests of all batches that may be in flight."""
        return len(self._workers) * BATCHES_PER_WORKER * self._requests_per_batch

    def submit(self, requests: Sequence[EvaluationRequest]) -> None:
        """Queue requests and fill idle workers."""
        self._queue.extend(_Queued(request) for request in requests)
        self._dispatch()

    def _dispatch(self) -> None:
        """Send batches, the idlest worker first, until all are full or nothing waits."""
        while self._queue and self._workers:
            worker = min(self._workers, key=lambda candidate: candidate.num_batches)
            if worker.num_batches >= BATCHES_PER_WORKER:
                return
            batch = _Batch(worker, self._next_items())
            worker.num_batches += 1
            ref = worker.actor.evaluate.remote([item.request for item in batch.items])
            self._batches[ref] = batch

    def _next_items(self) -> list[_Queued]:
        """An even share of the queue, at most a batch; a request that lost a worker goes alone."""
        first = self._queue.popleft()
        if first.num_attempts:
            return [first]
        items = [first]
        size = min(self._requests_per_batch, math.ceil((1 + len(self._queue)) / len(self._workers)))
        while self._queue and len(items) < size and not self._queue[0].num_attempts:
            items.append(self._queue.popleft())
        return items

    def collect(self, timeout_s: float | None = None) -> list[EvaluationResult]:
        """Results of the batches that are ready; waits for the first.

        Raises:
            EvaluatorError: all workers are dead.
        """
        results: list[EvaluationResult] = []
        while not results and (self._batches or self._queue or self._failed):
            results, self._failed = self._failed, []
            if not results:
                if not self._batches:
                    raise EvaluatorError(
                        f"all workers died, each after {MAX_WORKER_RESTARTS} restarts; nothing is lost: look at Ray's "
                        "logs for the cause, then run the same command again"
                    )
                ready, _ = ray.wait(list(self._batches), num_returns=1, timeout=timeout_s)
                if not ready:
                    break
                for ref in ready:
                    results += self._take(ref)
            self._dispatch()
        self._tally.add(results)
        return results

    def _take(self, ref: Any) -> list[EvaluationResult]:
        batch = self._batches.pop(ref)
        batch.worker.num_batches -= 1
        try:
            results: list[EvaluationResult] = ray.get(ref)
        except ActorDiedError as error:
            if batch.worker in self._workers:
                self._workers.remove(batch.worker)
            self._retry(batch, error)
            return []
        except ActorUnavailableError as error:
            self._retry(batch, error)
            return []
        return results

    def _retry(self, batch: _Batch, error: Exception) -> None:
        """Queue the requests of a lost batch again, in front; give up on those that lost too many workers."""
        self._tally.num_worker_restarts += 1
        for item in reversed(batch.items):
            item.num_attempts += 1
            if item.num_attempts < MAX_ATTEMPTS:
                self._queue.appendleft(item)
            else:
                failure = Failure(kind="WorkerDied", message=_first_line(error))
                self._failed.append(EvaluationResult(request_id=item.request.request_id, outcome=failure))

    def stats(self) -> EvaluatorStats:
        """Counters since the pool was built."""
        return self._tally.stats()

    def close(self) -> None:
        """Kill the actors, which frees their devices. Idempotent."""
        for worker in self._workers:
            ray.kill(worker.actor)
        self._workers.clear()
        self._batches.clear()
        self._queue.clear()
        self._tally.stop()


class PathWorkerActor:
    """A `PathWorker` as a Ray actor; reached through its handle only."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._worker: PathWorker | None = None

    def info(self) -> WorkerInfo:
        """Build the worker if need be; what it says of itself."""
        return self._built().info

    def evaluate(self, requests: Sequence[EvaluationRequest]) -> list[EvaluationResult]:
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
