"""Part E: memory. What was planned and what is taken, after thousands of evictions, and without.

The last means that torch is told to take less than a call needs, so that the engine runs out of
memory, has to run smaller calls, and is to give the same verdicts.
"""

import gc
from collections.abc import Sequence
from typing import Any

import torch

from gpu_parts.device import is_cuda
from gpu_parts.engine import Pair, call_rows_of, essence, judge_answered, planned_engine
from gpu_parts.random_models import WordTask, random_model
from gpu_parts.scale import Scale
from gpu_parts.sheet import Sheet
from gpu_parts.throughput import batches_of, kinds_of
from search_cluster.model.device_memory import memory_of
from search_cluster.model.engine.executor import Outcome
from search_cluster.model.loaded import LoadedModel

STATE_BYTES = 2**31
SMALL_SHARE = 8
"""The small store has room for this part of what the states took before."""
LEFT_SHARE = 0.5
"""The share of what calls took before that they may take when memory is short."""
RECOVERY_ROUNDS = 100
"""How many batches the rows of a call have for coming back."""
RECOVERY_PAIRS = 8
"""The requests of such a batch: it takes as many calls as a larger one, and less time."""
LAST_S = 5.0
"""The seconds that are kept for what comes behind."""
CPU_REASON = "torch does not watch the memory of a CPU"
WITHIN_PLAN = "no more is taken than is planned for weights, states and one call"
SAME_EVICTED = "states that are thrown away change no verdict"
SAME_SHORT = "running out of memory changes no verdict"
ROWS_BACK = "the rows of a call come back when there is memory again"


def check(sheet: Sheet, scale: Scale, device: str) -> None:
    """Fill in the sheet of part E."""
    loaded = random_model(next(iter(scale.shapes.values())), device=device)
    pairs = _pairs(scale, loaded)
    plan = memory_of(loaded)
    executor = planned_engine(loaded, WordTask(), plan, state_bytes=STATE_BYTES)
    if is_cuda(device):
        torch.cuda.reset_peak_memory_stats(device)
    before = _allocated(device)
    outcomes = executor.evaluate(pairs)
    judge_answered(sheet, outcomes)
    peak = _allocated(device, peak=True)
    planned = plan.size.weight_bytes + STATE_BYTES + plan.activation_bytes
    sheet.put(
        "planned",
        {
            "weight_bytes": plan.size.weight_bytes,
            "state_bytes": STATE_BYTES,
            "activation_bytes": plan.activation_bytes,
            "rows_per_call": plan.rows_per_call,
            "head_rows": plan.head_rows,
        },
    )
    sheet.put("states_peak_bytes", executor.store.peak_bytes)
    if before is None or peak is None:
        sheet.lack("allocated_peak_bytes", CPU_REASON)
        sheet.leave(WITHIN_PLAN, CPU_REASON)
    else:
        sheet.put("allocated_before_bytes", before)
        sheet.put("allocated_peak_bytes", peak)
        sheet.judge(WITHIN_PLAN, f"{peak} of {planned}", peak <= planned)
    room = executor.store.peak_bytes // SMALL_SHARE
    del executor
    _evictions(sheet, scale, loaded, pairs, outcomes, room)
    if before is None or peak is None:
        for rule in (SAME_SHORT, ROWS_BACK):
            sheet.leave(rule, "a CPU's memory can't be made short for torch alone")
    elif sheet.left_s < LAST_S:
        for rule in (SAME_SHORT, ROWS_BACK):
            sheet.leave(rule, f"{sheet.left_s:.0f} s were left")
    else:
        _shortage(sheet, scale, loaded, pairs, outcomes, peak - before)


def _evictions(
    sheet: Sheet,
    scale: Scale,
    loaded: LoadedModel,
    pairs: Sequence[Pair],
    expected: Sequence[Outcome],
    room: int,
) -> None:
    """Evaluate with hardly any room for states, until enough of them have been thrown away."""
    executor = planned_engine(loaded, WordTask(), memory_of(loaded), state_bytes=room)
    device = loaded.device
    empty = _held(device)
    num_changed, num_rounds = 0, 0
    while executor.store.num_evictions < scale.evictions and sheet.left_s > 2 * LAST_S:
        num_changed += _num_changed(executor.evaluate(pairs), expected)
        num_rounds += 1
    sheet.put("evictions", {"evictions": executor.store.num_evictions, "rounds": num_rounds})
    after = _held(device)
    if after is None:
        sheet.lack("held_after_evictions", CPU_REASON)
    else:
        sheet.put("held_before_evictions", empty)
        sheet.put("held_after_evictions", after)
    if executor.store.num_evictions:
        sheet.judge(SAME_EVICTED, f"{num_changed} changed", num_changed == 0)
    else:
        sheet.leave(SAME_EVICTED, f"none was thrown away in {num_rounds} rounds")


def _shortage(
    sheet: Sheet,
    scale: Scale,
    loaded: LoadedModel,
    pairs: Sequence[Pair],
    expected: Sequence[Outcome],
    needed: int,
) -> None:
    """Run out of memory, and then not any more."""
    device = loaded.device
    executor = planned_engine(loaded, WordTask(), memory_of(loaded), state_bytes=STATE_BYTES)
    before_rows = call_rows_of(executor)
    gc.collect()  # What is found and given back later would be memory that is not short.
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    limit = (_allocated(device) or 0) + int(LEFT_SHARE * needed)
    torch.cuda.set_per_process_memory_fraction(limit / total, device)
    times = -_times_short(device)
    try:
        outcomes = executor.evaluate(pairs)
    except torch.OutOfMemoryError as error:
        sheet.judge(SAME_SHORT, str(error).splitlines()[0][:160], False)
        sheet.leave(ROWS_BACK, "the engine gave up")
        return
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    short_rows = call_rows_of(executor)
    times += _times_short(device)
    sheet.put("times_short", times)
    if times:
        num_changed = _num_changed(outcomes, expected)
        sheet.judge(SAME_SHORT, f"{num_changed} changed", num_changed == 0)
    else:
        sheet.leave(SAME_SHORT, "memory did not run out: all calls fitted what was left")
    num_rounds = 0
    while call_rows_of(executor) < before_rows and num_rounds < RECOVERY_ROUNDS:
        if sheet.left_s < LAST_S:
            break
        num_rounds += 1  # Other questions each time: nothing is known yet.
        executor.evaluate(_pairs(scale, loaded, num_rounds)[:RECOVERY_PAIRS])
    rows = {"before": before_rows, "short": short_rows, "after": call_rows_of(executor)}
    sheet.put("call_rows", {**rows})
    is_back = rows["after"] == before_rows
    if short_rows == before_rows:
        sheet.leave(ROWS_BACK, "calls of layers fitted what was left")
    elif is_back or num_rounds == RECOVERY_ROUNDS:
        sheet.judge(ROWS_BACK, {**rows}, is_back)
    else:
        sheet.leave(ROWS_BACK, f"no time was left after {num_rounds} batches")


def _pairs(scale: Scale, loaded: LoadedModel, seed: int = 0) -> list[Pair]:
    """Choices of a batch of middling size, on paths as searches have them."""
    kind, *_ = kinds_of(scale, seed)
    batch = scale.batches[len(scale.batches) // 2]
    return [pair for some in batches_of(kind, loaded.num_layers, batch) for pair in some]


def _num_changed(outcomes: Sequence[Outcome], expected: Sequence[Outcome]) -> int:
    return sum(
        essence(one) != essence(other) for one, other in zip(outcomes, expected, strict=True)
    )


def _allocated(device: str, *, peak: bool = False) -> int | None:
    if not is_cuda(device):
        return None
    ask = torch.cuda.max_memory_allocated if peak else torch.cuda.memory_allocated
    return int(ask(device))


def _times_short(device: str) -> int:
    """How often torch had no memory to give, in this process."""
    return int(torch.cuda.memory_stats(device).get("num_ooms", 0))


def _held(device: str) -> dict[str, Any] | None:
    """What tensors take and what torch keeps for them, in bytes."""
    if not is_cuda(device):
        return None
    allocated, reserved = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
    return {"allocated_bytes": allocated, "reserved_bytes": reserved}
