"""The path worker: one device, one frozen model, one task. Turns requests into results, one after the other."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from search_cluster.errors import EvaluatorError, SearchClusterError
from search_cluster.evaluation.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.model.loading import LoadedModel, load_model
from search_cluster.model.runtime import limit_threads
from search_cluster.model.scoring import evaluate_path
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.verdict import Verdict

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """All that a worker needs to build itself, in any process of the cluster."""

    model: str
    """``demo``, a hub id or a folder, as `search_cluster.model.loading.load_model` takes it."""
    dtype: str
    device: str
    revision: str | None
    trust_remote_code: bool
    task: str
    """Task name, or the path of a task file, as `search_cluster.tasks.registry.get_task` takes it."""
    num_threads: int
    """CPU threads of one worker's arithmetic, at least 1. Part of what makes results reproducible to the last bit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """What a built worker says of itself."""

    model_fingerprint: str
    num_layers: int
    dtype: str
    device: str


class PathWorker:
    """Evaluates requests on one device. Building it loads the model, which takes seconds.

    Raises:
        ModelError: the model can't be loaded.
        TaskError: the task is unknown.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        limit_threads(spec.num_threads)
        self._num_threads = spec.num_threads
        self._task = get_task(spec.task)
        self._loaded: LoadedModel = load_model(
            spec.model,
            dtype=spec.dtype,
            device=spec.device,
            revision=spec.revision,
            trust_remote_code=spec.trust_remote_code,
        )

    @property
    def info(self) -> WorkerInfo:
        """Facts about the loaded model."""
        loaded = self._loaded
        return WorkerInfo(
            model_fingerprint=loaded.fingerprint,
            num_layers=loaded.num_layers,
            dtype=loaded.dtype,
            device=loaded.device,
        )

    def evaluate(self, requests: Sequence[EvaluationRequest]) -> list[EvaluationResult]:
        """One result per request, in the same order. An example that can't be evaluated gives a `Failure`."""
        return [self._evaluate_one(request) for request in requests]

    def _evaluate_one(self, request: EvaluationRequest) -> EvaluationResult:
        limit_threads(self._num_threads)  # the setting belongs to the calling thread
        started_s = time.perf_counter()
        outcome: Verdict | Failure
        try:
            outcome = evaluate_path(self._loaded, self._task, request.example, request.path)
        except SearchClusterError as error:
            outcome = Failure(kind=type(error).__name__, message=str(error))
        except Exception as error:  # one bad example never stops a run; the cause is reported with the example
            logger.exception("example %s, path %s failed", request.example.example_id, request.path)
            outcome = Failure(kind=type(error).__name__, message=str(error))
        return EvaluationResult(
            request_id=request.request_id, outcome=outcome, device_busy_s=time.perf_counter() - started_s
        )


def require_same_model(infos: Sequence[WorkerInfo]) -> WorkerInfo:
    """The info that all workers share.

    Raises:
        EvaluatorError: two workers hold different models (their verdicts must not be mixed).
    """
    fingerprints = sorted({info.model_fingerprint for info in infos})
    if len(fingerprints) != 1:
        raise EvaluatorError(
            f"workers hold models with the fingerprints {', '.join(fingerprints)}; all must hold the same one: "
            "check that every node reads the same model files and revision"
        )
    return infos[0]
