"""The evaluators of a run: asked of Ray at once, ready one after another, lost and ready again.

The process that owns the fleet owns the actors. What an evaluator does is not its business: whoever gives it work says
when it was lost.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from search_cluster.cluster.session import describe_resources
from search_cluster.cluster.worker_group import first_line
from search_cluster.cluster.worker_handle import ReadyWorker, WorkerHandle
from search_cluster.errors import EvaluatorError, SearchClusterError
from search_cluster.workers.messages import WorkerInfo, require_same_model

logger = logging.getLogger(__name__)

JOIN_GRACE_S = 10.0
"""How long the first evaluator waits for the others; who comes later joins the running search."""
MAX_BUILD_FAILURES = 3
"""So often an evaluator may fail to come back before it is given up."""


class WorkerFleet:
    """Follows evaluators from their request to their readiness; used by one thread.

    Args:
        evaluators: handles of actors that were just asked for; the fleet kills them in the end.
        needs: what one of them asks of the cluster, such as ``1 CPU, 1 GPU``.
        timeout_s: how long to wait for the first one at the start, and later for one to come back when all are lost.
        grace_s: how long the first one waits for the others.
    """

    def __init__(
        self, evaluators: Sequence[WorkerHandle], *, needs: str, timeout_s: float, grace_s: float = JOIN_GRACE_S
    ) -> None:
        self._evaluators = {evaluator.number: evaluator for evaluator in evaluators}
        self._needs = needs
        self._timeout_s = timeout_s
        self._grace_s = grace_s
        self._started_s = time.monotonic()
        self._placing = [evaluator.placed() for evaluator in evaluators]
        self._building: dict[Any, WorkerHandle] = {}
        self._counted: set[int] = set()
        """Evaluators whose first seconds on their device were handed on."""
        self._failures: Counter[int] = Counter()
        self._at_start: list[ReadyWorker] = []
        self._at_start_s = 0.0
        self._warned = False
        for evaluator in evaluators:
            self.watch(evaluator)

    def wait(self) -> WorkerInfo:
        """Wait for the first evaluator and, for a short time, for the others; what they say of their model.

        Raises:
            EvaluatorError: none was ready in time, one died, or they hold different models.
            SearchClusterError: what building a worker raises.
        """
        give_up_s = self._started_s + self._timeout_s
        while self._building and (left_s := give_up_s - time.monotonic()) > 0:
            ray.wait(list(self._building), num_returns=1, timeout=left_s)
            is_first = not self._at_start
            self._at_start += self._take_ready(raising=True)
            if self._at_start and is_first:
                give_up_s = min(give_up_s, time.monotonic() + self._grace_s)
        if not self._at_start:
            raise EvaluatorError(self.missing())
        self._info = require_same_model([ready.info for ready in self._at_start])
        self._at_start_s = time.monotonic()
        return self._info

    def missing(self) -> str:
        """Which evaluators are not there, and what the cluster has instead."""
        num_placed = len(ray.wait(self._placing, num_returns=len(self._placing), timeout=0)[0])
        num_wanted = len(self._evaluators)
        num_ready = num_wanted - len(self._building)
        where = f"{num_placed} had a place" if num_placed > num_ready else "no place was found for the others"
        return (
            f"{num_ready} of {num_wanted} workers were ready after {time.monotonic() - self._started_s:.0f} s "
            f"({where}); each asks for {self._needs}, and the cluster has {describe_resources()}: add nodes, or ask "
            "for fewer --workers"
        )

    def ready(self) -> list[ReadyWorker]:
        """Evaluators that became ready since the last call, or came back; does not wait.

        One that can't be built, or holds another model than the others, is reported and left out.
        """
        found = [ready.after(time.monotonic() - self._at_start_s) for ready in self._at_start]
        self._at_start.clear()
        for late in self._take_ready(raising=False):
            if late.info.model_fingerprint == self._info.model_fingerprint:
                found.append(late)
            else:
                self._give_up(late.evaluator, "it holds a model of another fingerprint than the others")
        if self._building and not self._warned and time.monotonic() - self._started_s > self._timeout_s:
            self._warned = True
            logger.warning("the search goes on without some evaluators: %s", self.missing())
        return found

    @property
    def num_workers(self) -> int:
        """Evaluators of the run, whether they are there or not."""
        return len(self._evaluators)

    @property
    def num_awaited(self) -> int:
        """Evaluators that may become ready yet."""
        return len(self._building) + len(self._at_start)

    def busy_s(self) -> float | None:
        """Seconds for which the devices of scripted evaluators were busy until now; ``None`` for real ones."""
        actors = {evaluator.actor for evaluator in self._evaluators.values()}
        if not all(hasattr(actor, "busy_s") for actor in actors):
            return None
        busy_s: list[float] = ray.get([actor.busy_s.remote() for actor in actors])
        return sum(busy_s)

    def watch(self, evaluator: WorkerHandle) -> None:
        """Wait for an evaluator that died to be back; Ray restarts it, if need be elsewhere."""
        self._building[evaluator.info()] = evaluator

    def close(self) -> None:
        """Kill the actors, which frees their devices. Idempotent."""
        for actor in {evaluator.actor for evaluator in self._evaluators.values()}:
            ray.kill(actor)
        self._evaluators.clear()
        self._building.clear()

    def _take_ready(self, *, raising: bool) -> list[ReadyWorker]:
        if not self._building:
            return []
        done, _ = ray.wait(list(self._building), num_returns=len(self._building), timeout=0)
        found = []
        for ref in done:
            evaluator = self._building.pop(ref)
            try:
                info, held_s = ray.get(ref)
            except (RayTaskError, RayActorError) as error:
                if raising:
                    raise _cause(error) from error
                self._retry(evaluator, error)
                continue
            held_s = 0.0 if evaluator.number in self._counted else held_s
            self._counted.add(evaluator.number)
            found.append(ReadyWorker(evaluator=evaluator, info=info, held_s=held_s))
        return found

    def _retry(self, evaluator: WorkerHandle, error: Exception) -> None:
        self._failures[evaluator.number] += 1
        if self._failures[evaluator.number] < MAX_BUILD_FAILURES:
            self.watch(evaluator)
        else:
            self._give_up(evaluator, str(_cause(error)))

    def _give_up(self, evaluator: WorkerHandle, reason: str) -> None:
        logger.error("evaluator %d is left out: %s", evaluator.number, reason)
        del self._evaluators[evaluator.number]
        if all(other.actor != evaluator.actor for other in self._evaluators.values()):
            ray.kill(evaluator.actor)


def _cause(error: Exception) -> Exception:
    """Our own error that a worker raised, or an `EvaluatorError` that names it."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, SearchClusterError):
        return type(cause)(str(cause))
    if isinstance(cause, RayActorError):
        return EvaluatorError(f"a worker died while it was built: {first_line(cause)}")
    return EvaluatorError(f"a worker can't be built: {type(cause).__name__}: {first_line(cause)}")
