"""Part C: paths per second of the whole engine, by kind of answer, batch and rows of a call.

Each measurement begins with an engine that knows nothing. Two batches run, on the same questions
and on other paths, as rounds of a search do; questions have four paths each in a batch. Drafts of
random answers come true by chance only, so nearly every token is decoded.

What the engine reaches is compared with a plain product on this device.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from gpu_parts.child import run_child, run_children, start_context
from gpu_parts.device import CPU_REASON, is_cuda, product_flops_per_s, seconds_of
from gpu_parts.engine import (
    ANSWERED,
    Pair,
    failures_of,
    flops_of,
    planned_engine,
    time_split,
)
from gpu_parts.random_models import WordTask, random_model, searched_like_paths, word_examples
from gpu_parts.scale import Scale
from gpu_parts.sheet import Sheet
from search_cluster.model.device_memory import memory_of
from search_cluster.model.engine.executor import Outcome
from search_cluster.model.loaded import LoadedModel
from search_cluster.tasks.example import Example

LEAVES = 4
"""Paths of a question in a batch: `leaves_per_round` of every preset."""
ROUNDS = 2
NUM_PATHS = 48
CELL_LIMIT_S = 15.0
"""A measurement that would take longer, by what the last one took, is left out."""
ONE_SHARE = 0.7
"""The share of the part's time for one process; the rest is for several at once."""
MIN_SHARES = {"choices": 0.3, "generated": 0.2}
"""The shares of a plain product's speed that the engine is to reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of answer."""

    name: str
    task: WordTask
    examples: tuple[Example, ...]

    @property
    def rule(self) -> str:
        """The name of its rule."""
        return "choices" if self.task.max_new_tokens == 0 else "generated"


def check(sheet: Sheet, scale: Scale, device: str) -> None:
    """Fill in the sheet of part C."""
    # This process never touches the device, so that others can be forked from it.
    best: dict[str, float] = {}
    troubles: list[str] = []

    def take(message: tuple[str, Any]) -> None:
        name, figures = message
        sheet.put(name, figures)
        if isinstance(figures, dict) and "failures" in figures:
            troubles.append(f"{name}: {figures['failures']}")
        elif isinstance(figures, dict) and figures.get("mfu") is not None and "rule" in figures:
            best[figures["rule"]] = max(best.get(figures["rule"], 0.0), figures["mfu"])

    for model in scale.shapes:
        share_s = sheet.lent_s * ONE_SHARE * (0.6 if model == next(iter(scale.shapes)) else 1.0)
        end = run_child(_one_process, scale, model, device, share_s, limit_s=share_s + 5, take=take)
        if end.trouble:
            sheet.lack(f"the rest of {model}", end.trouble)
            if not end.is_late:
                troubles.append(f"{model}: {end.trouble}")
    for name, least in MIN_SHARES.items():
        rule = f"{name}: {least:.0%} of a plain product's speed"
        if not is_cuda(device):
            sheet.leave(rule, CPU_REASON)
        elif name in best:
            sheet.judge(rule, best[name], best[name] >= least)
        else:
            sheet.judge(rule, "nothing was measured in time", False)
    if best or troubles:
        sheet.judge(ANSWERED, [*troubles], not troubles)
    else:
        sheet.leave(ANSWERED, "nothing was measured in time")
    _several(sheet, scale, device)


def kinds_of(scale: Scale, seed: int = 0) -> list[Kind]:
    """All kinds of answers, with as many questions as the largest batch needs."""
    num_rows, num_choices, choice_tokens = scale.choice_rows
    count = max(1, max(scale.batches) // LEAVES)
    choices = word_examples(
        count, num_rows=num_rows, num_choices=num_choices, choice_tokens=choice_tokens, seed=seed
    )
    open_questions = word_examples(count, num_rows=scale.prompt_rows, seed=seed + 1)
    return [
        Kind(name="choices", task=WordTask(), examples=tuple(choices)),
        *(
            Kind(
                name=f"generated {tokens}",
                task=WordTask(max_new_tokens=tokens),
                examples=tuple(open_questions),
            )
            for tokens in scale.answer_tokens
        ),
    ]


def _one_process(
    scale: Scale, model: str, device: str, limit_s: float, send: Callable[[Any], None]
) -> None:
    end_s = time.monotonic() + limit_s
    product = product_flops_per_s(scale.product_width, device)
    loaded = random_model(scale.shapes[model], device=device)
    send((f"{model} product_tflops", round(product / 1e12, 3)))
    warm_kind, *_ = kinds_of(scale)
    _measured(loaded, warm_kind, min(scale.batches), min(scale.call_rows), product)
    for call_rows in scale.call_rows:
        for kind in kinds_of(scale):
            request_s = 0.0
            for batch in scale.batches:
                guess_s = ROUNDS * batch * request_s
                name = f"{model} {kind.name}, batch {batch}, call rows {call_rows}"
                if guess_s > min(CELL_LIMIT_S, end_s - time.monotonic()):
                    send((name, f"left out: {guess_s:.0f} s, as the last batch took"))
                    continue
                figures = _measured(loaded, kind, batch, call_rows, product)
                send((name, figures))
                if "failures" in figures:
                    break
                request_s = 1.0 / figures["paths_per_s"]


def batches_of(kind: Kind, num_layers: int, batch: int) -> list[list[Pair]]:
    """The batches of a measurement: every round asks the same questions on other paths."""
    examples = kind.examples[: max(1, batch // LEAVES)]
    paths = searched_like_paths(num_layers, NUM_PATHS)
    rounds: list[list[Pair]] = []
    for number in range(ROUNDS):
        rounds.append(
            [
                (example, paths[(LEAVES * number + leaf + index) % NUM_PATHS])
                for index, example in enumerate(examples)
                for leaf in range(LEAVES)
            ]
        )
    return rounds


def _measured(
    loaded: LoadedModel, kind: Kind, batch: int, call_rows: int, product: float
) -> dict[str, Any]:
    rounds = batches_of(kind, loaded.num_layers, batch)
    executor = planned_engine(loaded, kind.task, memory_of(loaded), call_rows=call_rows)
    outcomes: list[Outcome] = []

    def evaluate() -> None:
        for pairs in rounds:
            outcomes.extend(executor.evaluate(pairs))

    with time_split(loaded.device) as split:
        seconds = seconds_of(evaluate, loaded.device)
    if failures := failures_of(outcomes):
        return {"failures": f"{len(failures)} of {len(outcomes)}; the first: {failures[0]!r:.160}"}
    counters, num_paths = executor.counters, sum(map(len, rounds))
    flops = flops_of(counters, loaded)
    parts_s = sum(
        spent.host_s if spent.device_s is None else spent.device_s for spent in split.values()
    )
    return {
        "rule": kind.rule,
        "paths_per_s": round(num_paths / seconds, 2),
        "mfu": round(flops / seconds / product, 4),
        "seconds": round(seconds, 3),
        "layers_s": _rounded(split["layers"].device_s, split["layers"].host_s),
        "head_s": _rounded(split["head"].device_s, split["head"].host_s),
        "recheck_s": round(executor.recheck_seconds, 3),
        "rest_s": round(seconds - parts_s - executor.recheck_seconds, 3),
        "tie_rechecks": executor.num_tie_rechecks,
        "rows_a_call": round(counters.layer_tokens / counters.layer_calls, 1),
        "sharing": round(_sharing(rounds, counters.layer_runs + counters.shared_layer_runs), 3),
        "evictions": executor.store.num_evictions,
    }


def _rounded(device_s: float | None, host_s: float) -> float:
    return round(host_s if device_s is None else device_s, 3)


def _sharing(rounds: list[list[Pair]], layer_runs: int) -> float:
    """The share of the runs of layers that is left where paths share prefixes."""
    return layer_runs / sum(len(path) for pairs in rounds for _, path in pairs)


def _several(sheet: Sheet, scale: Scale, device: str) -> None:
    """The rate of one process and of several that share the device."""
    model = next(iter(scale.shapes))
    rates = {}
    for number in (1, scale.processes):
        barrier = start_context().Barrier(number)
        counts: list[tuple[int, float]] = []
        ends = run_children(
            _hold,
            [(scale, model, device, barrier)] * number,
            limit_s=sheet.lent_s,
            take=counts.append,
        )
        name = f"{number} processes" if number > 1 else "1 process"
        if len(counts) < number:
            why = next((end.trouble for end in ends if end.trouble), "")
            sheet.lack(name, f"{number - len(counts)} of {number} gave no rate: {why}")
            continue
        rates[number] = sum(done / seconds for done, seconds in counts)
        sheet.put(name, {"paths_per_s": round(rates[number], 2), "window_s": scale.window_s})
    if len(rates) == 2:
        sheet.put("gain_of_processes", round(rates[scale.processes] / rates[1], 3))


def _hold(scale: Scale, model: str, device: str, barrier: Any, send: Callable[[Any], None]) -> None:
    """Evaluate choices for a while, beside others that start at the same moment."""
    loaded = random_model(scale.shapes[model], device=device)
    kind, *_ = kinds_of(scale)
    batch = scale.batches[len(scale.batches) // 2]
    rounds = batches_of(kind, loaded.num_layers, batch)

    plan = memory_of(loaded, num_workers=scale.processes)

    def evaluate() -> int:
        executor = planned_engine(loaded, kind.task, plan)
        outcomes = [outcome for pairs in rounds for outcome in executor.evaluate(pairs)]
        for failure in failures_of(outcomes):
            raise failure
        return len(outcomes)

    evaluate()
    barrier.wait()
    started_s, done = time.perf_counter(), 0
    while time.perf_counter() - started_s < scale.window_s:
        done += evaluate()
    if is_cuda(device):
        torch.cuda.synchronize(device)
    send((done, time.perf_counter() - started_s))
