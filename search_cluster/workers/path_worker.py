"""The path worker turns requests into results: one device, one frozen model, one task."""

import logging
import platform
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from search_cluster.errors import SearchClusterError, UnsupportedFamilyError
from search_cluster.faults import FailureLog
from search_cluster.model.device_memory import memory_of
from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.engine.rechecks import TIE_THRESHOLDS
from search_cluster.model.kernels import kernels_of
from search_cluster.model.load.loading import load_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import require_askable
from search_cluster.model.runtime import keep_freed_memory, limit_threads
from search_cluster.model.scoring import evaluate_path
from search_cluster.protocols.counters import EngineWork
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.messages import MATERIALISED, BatchReport, WorkerInfo, WorkerSpec
from search_cluster.workers.shared_engine import SharedEngine

logger = logging.getLogger(__name__)


class PathWorker:
    """Evaluates requests on one device, batches of several threads at the same time.

    Building it loads the model, which takes seconds.

    Args:
        spec: what to build.
        loaded: a model that is loaded already, to share it.
        failure_log: where failures are told that are no example's own; ``None``: a new one.

    Raises:
        ModelError: the model can't be loaded.
        TaskError: the task is unknown.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        loaded: LoadedModel | None = None,
        failure_log: FailureLog | None = None,
    ) -> None:
        limit_threads(spec.num_threads)
        keep_freed_memory()
        self._num_threads = spec.num_threads
        self._task = get_task(spec.task)
        self.loaded = loaded or load_model(
            spec.model,
            dtype=spec.dtype,
            device=spec.device,
            revision=spec.revision,
            trust_remote_code=spec.trust_remote_code,
            chat=spec.chat,
            workers_per_gpu=1 if spec.shares_weights else spec.workers_per_gpu,
        )
        about_prompts = require_askable(self.loaded, self._task)
        if loaded is None:  # as `load_model` does; whoever shares a model has been told
            for line in about_prompts:
                logger.warning("%s", line)
        self._warnings = (*self.loaded.warnings, *about_prompts)
        self._device_share = 1.0
        if self.loaded.device.startswith("cuda"):
            self._device_share = 1.0 / spec.workers_per_gpu
        self._executor = self._build_executor(spec)
        self._engine = None if self._executor is None else SharedEngine(self._executor)
        self._materialised = threading.Lock()
        """Held while the materialised model answers in the engine's place."""
        self._reporting = threading.Lock()
        self._reported = EngineWork()  # guarded by `_reporting`
        self.failure_log = failure_log or FailureLog(logger)

    def _build_executor(self, spec: WorkerSpec) -> PathExecutor | None:
        if spec.executor == MATERIALISED:
            return None
        memory = memory_of(
            self.loaded,
            num_workers=spec.workers_per_gpu,
            shares_weights=spec.shares_weights,
            rows_per_call=spec.rows_per_call,
        )
        try:
            return PathExecutor(
                self.loaded,
                self._task,
                max_state_bytes=spec.state_bytes or memory.state_bytes,
                max_call_rows=memory.rows_per_call,
                head_rows=memory.head_rows,
                tie_threshold=spec.tie_threshold,
            )
        except UnsupportedFamilyError as error:
            logger.warning(
                "paths are evaluated one at a time on the materialised model, which is slow: %s",
                error,
            )
            return None

    @property
    def info(self) -> WorkerInfo:
        """Facts about the loaded model."""
        loaded = self.loaded
        return WorkerInfo(
            model=loaded.identity,
            chat=loaded.chat,
            num_layers=loaded.num_layers,
            dtype=loaded.dtype,
            device=loaded.device,
            # The materialised model alone says what an engine with rechecks says.
            tie_threshold=TIE_THRESHOLDS[loaded.dtype]
            if self._executor is None
            else self._executor.tie_threshold,
            node=platform.node(),
            arithmetic=kernels_of(loaded.device, loaded.dtype),
            device_share=self._device_share,
            warnings=self._warnings,
        )

    def evaluate(self, requests: Sequence[EvaluationRequest]) -> BatchReport:
        """One result per request. An example that can't be evaluated gives a `Failure`.

        Requests of other threads may run in the same steps of the engine; no verdict depends on it.
        """
        limit_threads(self._num_threads)  # the setting belongs to the calling thread
        outcomes, busy_s = self._outcomes(requests)
        share_s = busy_s / max(1, len(requests))
        results = tuple(
            EvaluationResult(
                request_id=request.request_id,
                outcome=self._as_message(request, outcome),
                device_busy_s=share_s,
            )
            for request, outcome in zip(requests, outcomes, strict=True)
        )
        num_cut = sum(isinstance(item, Verdict) and item.is_cut is True for item in outcomes)
        work = replace(self._new_work(), num_cut_answers=num_cut)
        return BatchReport(results=results, work=work)

    def _new_work(self) -> EngineWork:
        """What the engine did since the last call, answers apart, whatever batch it was for."""
        if self._executor is None:
            return EngineWork()
        with self._reporting:
            done = EngineWork(
                num_layer_runs=self._executor.counters.layer_runs,
                num_tie_rechecks=self._executor.num_tie_rechecks,
                num_evictions=self._executor.store.num_evictions,
                recheck_s=self._executor.recheck_seconds,
            )
            new, self._reported = done.minus(self._reported), done
        return new

    def _outcomes(self, requests: Sequence[EvaluationRequest]) -> tuple[list[Outcome], float]:
        """One outcome per request, and the seconds that they took of the device."""
        if self._engine is None:
            return self._materialised_outcomes(requests)
        pairs = [(request.example, request.path) for request in requests]
        call = self._engine.run(pairs)
        if call.error is not None:  # what is left gets a chance of its own, in nobody's company
            what = (
                f"a batch of {len(pairs)} requests failed; the {call.num_open} that were not "
                "answered are now evaluated alone"
            )
            self.failure_log.add(what, call.error)
        outcomes: list[Outcome] = []
        busy_s = call.busy_s
        for place, pair in enumerate(pairs):
            if place in call.outcomes:
                outcomes.append(call.outcomes[place])
            else:
                alone = self._engine.run_alone(pair)
                outcomes.append(alone.outcomes[0])
                busy_s += alone.busy_s
        return outcomes, busy_s

    def _materialised_outcomes(
        self, requests: Sequence[EvaluationRequest]
    ) -> tuple[list[Outcome], float]:
        with self._materialised:
            started_s = time.perf_counter()
            outcomes = [self._materialised_outcome(request) for request in requests]
            return outcomes, time.perf_counter() - started_s

    def _materialised_outcome(self, request: EvaluationRequest) -> Outcome:
        try:
            return evaluate_path(self.loaded, self._task, request.example, request.path)
        except (
            Exception
        ) as error:  # one bad example never stops a run; the cause is reported with the example
            return error

    def _as_message(self, request: EvaluationRequest, outcome: Outcome) -> Verdict | Failure:
        if isinstance(outcome, Verdict):
            return outcome
        if not isinstance(outcome, SearchClusterError):
            what = f"example {request.example.example_id}, path {request.path} failed"
            self.failure_log.add(what, outcome)
        return Failure(kind=type(outcome).__name__, message=str(outcome))
