"""The engine as the parts use it, and the few things inside of it that they look at.

All that is not `PathExecutor`'s own promise stands here: where time goes, the gap that decided a
verdict, and the rows that a call may have.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from gpu_parts.device import is_cuda
from gpu_parts.sheet import Sheet
from search_cluster.errors import NonFiniteLogitsError, in_one_line
from search_cluster.model.engine.answers import Answered
from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.engine.flops import FlopRates
from search_cluster.model.engine.layer_runner import LayerRunner
from search_cluster.model.engine.work_counters import WorkCounters
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.memory_plan import MemoryPlan
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict

Pair = tuple[Example, LayerPath]
ANSWERED = "every request gets a verdict, or logits that are not finite"


class GapKeeper(PathExecutor):
    """The engine, with the smallest gap that decided each request of its last batch."""

    def evaluate_with_gaps(self, pairs: Sequence[Pair]) -> tuple[list[Outcome], list[float]]:
        """Outcomes and gaps in the order of the pairs; NaN where there is no verdict."""
        self._gaps: dict[int, float] = {}
        first = self._num_tickets
        outcomes = self.evaluate(pairs)
        tickets = range(first, first + len(pairs))
        return outcomes, [self._gaps.get(ticket, float("nan")) for ticket in tickets]

    def _graded(self, job: Any, answered: Answered) -> Outcome:
        self._gaps[job.index] = answered.gap
        return super()._graded(job, answered)


def planned_engine(
    loaded: LoadedModel,
    task: Task,
    plan: MemoryPlan,
    *,
    state_bytes: int | None = None,
    call_rows: int | None = None,
) -> PathExecutor:
    """An engine as a worker has it, unless another size is given."""
    return PathExecutor(
        loaded,
        task,
        max_state_bytes=plan.state_bytes if state_bytes is None else state_bytes,
        max_call_rows=call_rows or plan.rows_per_call,
        head_rows=plan.head_rows,
    )


def failures_of(outcomes: Sequence[Outcome]) -> list[Exception]:
    """The outcomes that say nothing of their paths, such as lack of memory."""
    return [
        outcome for outcome in outcomes if not isinstance(outcome, Verdict | NonFiniteLogitsError)
    ]


def judge_answered(sheet: Sheet, outcomes: Sequence[Outcome]) -> None:
    """Judge whether all requests were answered, and not all of them without a verdict."""
    failures = failures_of(outcomes)
    what = f"{len(failures)} of {len(outcomes)} did not"
    if failures:
        what += f"; the first: {type(failures[0]).__name__}: {in_one_line(failures[0])[:200]}"
    has_verdict = any(isinstance(outcome, Verdict) for outcome in outcomes)
    sheet.judge(ANSWERED, what, has_verdict and not failures)


def call_rows_of(executor: PathExecutor) -> int:
    """The largest number of rows that a call may have now."""
    return executor._scheduler.max_call_rows


def facts_of(executor: PathExecutor) -> dict[str, Any]:
    """What decides whether verdicts are computed again, and how often they were."""
    return {
        "is_invariant": executor.arithmetic.is_invariant,
        "not_invariant": executor.arithmetic.reason,
        "tie_threshold": executor.tie_threshold,
        "tie_rechecks": executor.num_tie_rechecks,
        "recheck_s": round(executor.recheck_seconds, 3),
    }


def flops_of(counters: WorkCounters, loaded: LoadedModel) -> float:
    """The arithmetic that stands in the counters."""
    return FlopRates.of(loaded.model).flops(counters)


def essence(outcome: Outcome) -> tuple[Any, ...]:
    """What makes two outcomes the same, margins apart."""
    if isinstance(outcome, Verdict):
        return outcome.reward, outcome.output, outcome.num_layer_tokens
    return type(outcome).__name__, str(outcome)


@dataclass(slots=True)
class Spent:
    """Seconds in one kind of call."""

    host_s: float = 0.0
    """Until the calls came back, the device perhaps still at it."""
    device_s: float | None = None
    """On the device, from a call's first kernel to its last; ``None`` on a CPU."""


@contextmanager
def time_split(device: str) -> Iterator[dict[str, Spent]]:
    """Seconds in layers and in the head while it is open, of all engines of this process."""
    spent = {"layers": Spent(), "head": Spent()}
    events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
    stream = torch.cuda.current_stream(device) if is_cuda(device) else None
    run, logits = LayerRunner.run, LayerRunner.logits

    def timed(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            marks = [
                torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
                for _ in range(2 * is_cuda(device))
            ]
            started_s = time.perf_counter()
            if marks:
                marks[0].record(stream)
            result = method(*args, **kwargs)
            if marks:
                marks[1].record(stream)
                events.append((name, marks[0], marks[1]))
            spent[name].host_s += time.perf_counter() - started_s
            return result

        return call

    LayerRunner.run = timed("layers", run)  # type: ignore[method-assign]
    LayerRunner.logits = timed("head", logits)  # type: ignore[method-assign]
    try:
        yield spent
    finally:
        LayerRunner.run, LayerRunner.logits = run, logits  # type: ignore[method-assign]
        if events:
            torch.cuda.synchronize(device)
        for name, first, last in events:
            spent[name].device_s = (spent[name].device_s or 0.0) + first.elapsed_time(last) / 1e3
