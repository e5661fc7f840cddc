"""The path worker turns requests into results: one device, one frozen model.

It answers one task, or several, each with an engine of its own over the same weights.
"""

import logging
import platform
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from search_cluster.errors import DeviceBrokenError, SearchClusterError, UnsupportedFamilyError
from search_cluster.faults import FailureLog
from search_cluster.model.bridge.bridges import path_costs
from search_cluster.model.device_health import (
    broken,
    is_device_fault,
    naming_device_faults,
    require_sound_device,
)
from search_cluster.model.device_memory import memory_of
from search_cluster.model.devices.layer_devices import device_names
from search_cluster.model.engine.device_meter import DeviceMeter
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
from search_cluster.workers.own_trouble import is_own_trouble
from search_cluster.workers.shared_engine import SharedEngine

logger = logging.getLogger(__name__)


class PathWorker:
    """Evaluates requests on one device, batches of several threads at the same time.

    Building it loads the model, which takes seconds.

    Args:
        spec: what to build.
        loaded: a model that is loaded already, to share it.
        failure_log: where failures are told that are no example's own; ``None``: a new one.
        meter: what reads the device, of a worker on the same one; ``None``: a new one.

    Raises:
        DeviceBrokenError: the device is broken.
        ModelError: the model can't be loaded.
        TaskError: the task is unknown.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        loaded: LoadedModel | None = None,
        failure_log: FailureLog | None = None,
        meter: DeviceMeter | None = None,
    ) -> None:
        limit_threads(spec.num_threads)
        keep_freed_memory()
        self._num_threads = spec.num_threads
        self._tasks = [get_task(name) for name in (spec.task, *spec.more_tasks)]
        with naming_device_faults(spec.device):
            self.loaded = loaded or load_model(
                spec.model,
                dtype=spec.dtype,
                device=spec.device,
                revision=spec.revision,
                trust_remote_code=spec.trust_remote_code,
                chat=spec.chat,
                workers_per_gpu=1 if spec.shares_weights else spec.workers_per_gpu,
                devices_per_worker=spec.devices_per_worker,
            )
        self._devices = device_names(self.loaded.device, self.loaded.num_devices)
        self._require_sound_devices()
        about_prompts = [
            line for task in self._tasks for line in require_askable(self.loaded, task)
        ]
        if loaded is None:  # as `load_model` does; whoever shares a model has been told
            for line in about_prompts:
                logger.warning("%s", line)
        self._warnings = (*self.loaded.warnings, *about_prompts)
        self._device_share = 1.0
        if self.loaded.device.startswith("cuda"):
            self._device_share = self.loaded.num_devices / spec.workers_per_gpu
        with naming_device_faults(", ".join(self._devices)):
            self.meter = meter or DeviceMeter(self.loaded)
            self._executors = self._build_executors(spec)
        """One for each task; none if the materialised model answers."""
        self._engines = [SharedEngine(executor) for executor in self._executors]
        self._materialised = threading.Lock()
        """Held while the materialised model answers in the engine's place."""
        self._reporting = threading.Lock()
        self._reported = EngineWork()  # guarded by `_reporting`
        self.failure_log = failure_log or FailureLog(logger)
        self._fault: DeviceBrokenError | None = None
        """What showed that the device is broken; it stays so for this process."""

    def _build_executors(self, spec: WorkerSpec) -> list[PathExecutor]:
        if spec.executor == MATERIALISED:
            return []
        num_tasks = len(self._tasks)
        # Engines of one worker may compute at the same time, like workers that share weights.
        memory = memory_of(
            self.loaded,
            num_workers=spec.workers_per_gpu * num_tasks,
            shares_weights=spec.shares_weights or spec.workers_per_gpu == 1,
            rows_per_call=spec.rows_per_call,
        )
        is_cpu = not self.loaded.device.startswith("cuda")
        state_bytes = memory.state_bytes // (num_tasks if is_cpu else 1)
        try:
            return [
                PathExecutor(
                    self.loaded,
                    task,
                    max_state_bytes=(spec.state_bytes or 0) // num_tasks or state_bytes,
                    max_call_rows=memory.rows_per_call,
                    head_rows=memory.head_rows,
                    tie_threshold=spec.tie_threshold,
                )
                for task in self._tasks
            ]
        except UnsupportedFamilyError as error:
            logger.warning(
                "paths are evaluated one at a time on the materialised model, which is slow: %s",
                error,
            )
            return []

    def _task_number(self, request: EvaluationRequest) -> int:
        """The place of the request's task; a worker of one task takes every request for its own."""
        if len(self._tasks) == 1:
            return 0
        return [task.name for task in self._tasks].index(request.example.task)

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
            tie_threshold=self._executors[0].tie_threshold
            if self._executors
            else TIE_THRESHOLDS[loaded.dtype],
            node=platform.node(),
            arithmetic=kernels_of(loaded.device, loaded.dtype),
            device_share=self._device_share,
            costs=path_costs(loaded.model),
            warnings=self._warnings,
        )

    def evaluate(self, requests: Sequence[EvaluationRequest]) -> BatchReport:
        """One result per request. An example that can't be evaluated gives a `Failure`.

        Requests of other threads may run in the same steps of the engine; no verdict depends on it.

        Raises:
            DeviceBrokenError: the device is broken; nothing of the batch counts, whatever had been
                found, and the process is of no use any more.
        """
        limit_threads(self._num_threads)  # the setting belongs to the calling thread
        try:
            self._require_sound(None)
            outcomes, busy_s = self._outcomes(requests)
            failed = [outcome for outcome in outcomes if not isinstance(outcome, Verdict)]
            for outcome in failed:
                self._require_sound(outcome)
            if failed:
                self._require_sound_devices()
            with naming_device_faults(", ".join(self._devices)):
                reading = self.meter.reading()
            self._require_sound(None)
        except DeviceBrokenError as error:
            self._fault = error
            raise
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
        if not self._executors:
            num_rows = sum(item.num_layer_tokens for item in outcomes if isinstance(item, Verdict))
            work = work.plus(self.meter.work_of_rows(num_rows))
        local = (place for place, outcome in enumerate(outcomes) if is_own_trouble(outcome))
        local_ids = tuple(requests[place].request_id for place in local)
        return BatchReport(results=results, work=work, reading=reading, local_ids=local_ids)

    def _require_sound_devices(self) -> None:
        """Pass if each device computes a product of known value right.

        Raises:
            DeviceBrokenError: one does not.
        """
        for device in self._devices:
            require_sound_device(device, self.loaded.dtype)

    def _require_sound(self, error: BaseException | None) -> None:
        """Pass unless an error says that the device is broken, or another thread has found that."""
        if is_device_fault(error):
            assert error is not None, "nothing is no fault"
            raise broken(", ".join(self._devices), error) from error
        if self._fault is not None:
            raise DeviceBrokenError(str(self._fault))

    def _new_work(self) -> EngineWork:
        """What the engine did since the last call, answers apart, whatever batch it was for."""
        with self._reporting:
            done = EngineWork()
            for executor in self._executors:
                done = done.plus(self.meter.work_of(executor))
            new, self._reported = done.minus(self._reported), done
        return new

    def _outcomes(self, requests: Sequence[EvaluationRequest]) -> tuple[list[Outcome], float]:
        """One outcome per request, and the seconds that they took of the device."""
        if not self._engines:
            return self._materialised_outcomes(requests)
        places: dict[int, list[int]] = {}
        for place, request in enumerate(requests):
            places.setdefault(self._task_number(request), []).append(place)
        outcomes: dict[int, Outcome] = {}
        busy_s = 0.0
        for number, of_task in places.items():
            answers, seconds = self._engine_outcomes(
                self._engines[number], [requests[place] for place in of_task]
            )
            outcomes |= dict(zip(of_task, answers, strict=True))
            busy_s += seconds
        return [outcomes[place] for place in range(len(requests))], busy_s

    def _engine_outcomes(
        self, engine: SharedEngine, requests: Sequence[EvaluationRequest]
    ) -> tuple[list[Outcome], float]:
        """The same for requests of one task."""
        pairs = [(request.example, request.path) for request in requests]
        call = engine.run(pairs)
        if call.error is not None:  # what is left gets a chance of its own, in nobody's company
            self._require_sound(call.error)
            self._require_sound_devices()
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
                alone = engine.run_alone(pair)
                if not isinstance(alone.outcomes[0], Verdict):
                    self._require_sound(alone.outcomes[0])
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
            task = self._tasks[self._task_number(request)]
            return evaluate_path(self.loaded, task, request.example, request.path)
        except Exception as error:  # one bad example never stops a run; its cause is reported
            return error

    def _as_message(self, request: EvaluationRequest, outcome: Outcome) -> Verdict | Failure:
        if isinstance(outcome, Verdict):
            return outcome
        if not isinstance(outcome, SearchClusterError):
            what = f"example {request.example.example_id}, path {request.path} failed"
            self.failure_log.add(what, outcome)
        return Failure(kind=type(outcome).__name__, message=str(outcome))
