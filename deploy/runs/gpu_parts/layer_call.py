"""Part B: what one call of a layer costs, by rows and segments.

A path and the same path three times over are run on the same questions; the difference is what the
calls cost that the longer one has more, with all of the engine around them: its plan, its launches,
its waiting. Where each segment has one row, both paths give answers of six tokens and of two, and
what four more tokens cost on one path is taken from what they cost on the other: prompts and the
reading of logits, which waits for the device, are as many on both.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch

from gpu_parts.device import (
    CPU_REASON,
    Work,
    is_cuda,
    product_flops_per_s,
    seconds_of,
    work_of,
    work_that_is_seen,
)
from gpu_parts.engine import failures_of
from gpu_parts.random_models import WordTask, random_model, word_examples
from gpu_parts.scale import Scale
from gpu_parts.sheet import Sheet
from search_cluster.model.device_memory import default_state_bytes
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.engine.flops import FlopRates
from search_cluster.model.engine.work_counters import WorkCounters
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example

NUM_LAYERS = 4
REPEATS = 3
SHORT_ANSWER, LONG_ANSWER = 2, 6
ROUNDS = 3
ROOM = 2
"""The states of how many sets of questions are kept."""
KEYS_ROOM = 11
"""How many times the keys of a call there is room in any case: choices have a tenth for them."""
CELL_S = 3.0
"""What a measurement takes at most, about, and half of what one of decoding takes; with less time
left it is not begun."""
MAX_LAUNCHES = 60
MIN_EFFICIENCY = 0.5
FLAT = 2
"""By how many launches calls of few and of many segments may differ."""
NOTHING = "no such calls were measured"
UNSEEN_KERNELS = "torch's profiler sees no kernels here, perhaps for want of rights"
UNSEEN_WAITS = "torch does not tell of a wait here that there was"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One of the runs whose differences are measured."""

    task: WordTask
    path: LayerPath


@dataclass(slots=True, kw_only=True)
class Cell:
    """What a call costs at one number of rows and segments."""

    model: str
    rows: int
    segments: int
    figures: dict[str, Any]

    @property
    def is_decoding(self) -> bool:
        """Whether each segment adds one row to rows that are held."""
        return self.rows == self.segments

    @property
    def name(self) -> str:
        """The name in the part's line."""
        return f"{self.model} {self.rows}x{self.segments}"


def check(sheet: Sheet, scale: Scale, device: str) -> None:
    """Fill in the sheet of part B."""
    product = product_flops_per_s(scale.product_width, device)
    sheet.put("product_tflops", round(product / 1e12, 3))
    cells: list[Cell] = []
    left_out: list[str] = []
    for number, (model, shape) in enumerate(scale.shapes.items()):
        kept_s = sheet.left_s * (1 - 1 / (len(scale.shapes) - number))  # for the other shapes
        loaded = random_model(shape, device=device, num_layers=NUM_LAYERS)
        for rows in scale.rows:
            for segments in (number for number in scale.segments if number <= rows):
                cell = Cell(model=model, rows=rows, segments=segments, figures={})
                if sheet.left_s < kept_s + CELL_S * (2 if cell.is_decoding else 1):
                    left_out.append(cell.name)
                    continue
                cell.figures = _measured(loaded, cell, scale, product)
                cells.append(cell)
                sheet.put(cell.name, cell.figures)
        del loaded
    if left_out:
        sheet.put("left_out_for_want_of_time", [*left_out])
    _judge(sheet, cells, scale, work_that_is_seen(device) if is_cuda(device) else None)


def _measured(loaded: LoadedModel, cell: Cell, scale: Scale, product: float) -> dict[str, Any]:
    path = LayerPath.identity(loaded.num_layers)
    paths = (path, LayerPath(path.layers * REPEATS, loaded.num_layers))
    answers: Sequence[int] = (0,)
    if cell.is_decoding:
        num_rows, num_choices, answers = scale.held_rows, 0, (SHORT_ANSWER, LONG_ANSWER)
        # Requests join as calls have room, and here all of them are to run side by side.
        limit = REPEATS * cell.segments * (num_rows + 2 * LONG_ANSWER)
    else:
        num_rows, num_choices, limit = cell.rows // cell.segments, 2, cell.rows
    runs = [
        Run(task=WordTask(max_new_tokens=some), path=path) for path in paths for some in answers
    ]
    questions = _questions(cell.segments, num_rows, num_choices)
    try:
        costs = [_costs(loaded, run, questions, limit) for run in runs]
    except torch.OutOfMemoryError as error:
        return {"error": str(error).splitlines()[0][:160]}
    if cell.is_decoding:
        costs = [costs[1].less(costs[0]), costs[3].less(costs[2])]
    short, long = costs
    return _figures(loaded, long.less(short), product)


def _questions(count: int, num_rows: int, num_choices: int) -> Iterator[list[Example]]:
    """Sets of questions, other ones each time, so that none is known yet."""
    for seed in itertools.count():
        yield word_examples(count, num_rows=num_rows, num_choices=num_choices, seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a run costs, as a median or as counts."""

    wall_s: float
    work: Work
    counters: WorkCounters

    def less(self, other: "Costs") -> "Costs":
        """What it costs more than another one; of kernels their number alone."""

        def more(mine: Any, others: Any) -> Any:
            return None if mine is None or others is None else mine - others

        def differences(mine: object, others: object, names: Iterable[str]) -> dict[str, Any]:
            return {name: more(getattr(mine, name), getattr(others, name)) for name in names}

        counts = [field.name for field in fields(Work) if field.name != "kernels"]
        counters = [field.name for field in fields(WorkCounters)]
        return Costs(
            wall_s=self.wall_s - other.wall_s,
            work=Work(**differences(self.work, other.work, counts)),
            counters=WorkCounters(**differences(self.counters, other.counters, counters)),
        )


def _costs(
    loaded: LoadedModel, run: Run, questions: Iterator[list[Example]], max_rows: int
) -> Costs:
    def engine(room: int) -> PathExecutor:
        return PathExecutor(loaded, run.task, max_state_bytes=room, max_call_rows=max_rows)

    def evaluate(executor: PathExecutor, examples: Sequence[Example]) -> None:
        for failure in failures_of(
            executor.evaluate([(example, run.path) for example in examples])
        ):
            raise failure

    # Half: calls may be larger here than what is planned for them.
    first = engine(default_state_bytes(loaded) // 2)
    evaluate(first, next(questions))
    room, counters = ROOM * first.store.peak_bytes, first.counters
    if not run.task.max_new_tokens:
        room = max(room, KEYS_ROOM * max_rows * first.store.keys.bytes_per_row)
    del first  # and with it the memory that it has
    # From the third set of questions on, this one has all the memory that it may have, and throws
    # away what is old, as an engine does that has run for a while.
    executor = engine(room)
    seconds = [
        seconds_of(partial(evaluate, executor, next(questions)), loaded.device)
        for _ in range(ROOM + 1 + ROUNDS)
    ]
    work = work_of(lambda: evaluate(executor, next(questions)), loaded.device)
    # The fastest, since a difference of two is taken.
    return Costs(wall_s=min(seconds[-ROUNDS:]), work=work, counters=counters)


def _figures(loaded: LoadedModel, more: Costs, product: float) -> dict[str, Any]:
    calls, tokens = more.counters.layer_calls, more.counters.layer_tokens
    rates = FlopRates.of(loaded.model)
    flops = tokens * rates.layer_row + more.counters.visible_rows * rates.visible_row
    wall_s = more.wall_s / calls
    figures: dict[str, Any] = {
        "calls": calls,
        "rows_a_call": tokens / calls,
        "wall_us": round(wall_s * 1e6, 1),
        # A difference of short times can come out as nothing.
        "efficiency": round(flops / calls / wall_s / product, 4) if wall_s > 0 else None,
    }
    for field in fields(Work):
        total = getattr(more.work, field.name)
        if total is None:
            continue
        figures[field.name] = total / calls if field.name == "device_s" else round(total / calls, 2)
    if "device_s" in figures:
        figures["device_us"] = round(figures.pop("device_s") * 1e6, 1)
        figures["idle_us"] = round(figures["wall_us"] - figures["device_us"], 1)
    return figures


def _judge(sheet: Sheet, cells: Sequence[Cell], scale: Scale, seen: Work | None) -> None:
    """Judge the cells, as far as what is seen of a sum tells that their counts mean something."""
    rules = {
        "few": f"a call launches at most {MAX_LAUNCHES} kernels",
        "syncs": "no call waits for the device",
        "flat": f"launches differ by at most {FLAT} between few and many segments",
        "fast": f"calls of {max(scale.rows)} rows reach {MIN_EFFICIENCY:.0%} of a plain product",
    }
    if seen is None:
        for rule in rules.values():
            sheet.leave(rule, CPU_REASON)
        return
    whole = [cell for cell in cells if "error" not in cell.figures]
    failed = [f"{cell.name}: {cell.figures['error']}" for cell in cells if cell not in whole]
    sheet.judge("every call fits the device", failed, not failed)
    if not whole:
        for rule in rules.values():
            sheet.leave(rule, NOTHING)
        return
    if seen.launches:
        _judge_launches(sheet, whole, rules)
    else:
        for name in ("few", "flat"):
            sheet.leave(rules[name], UNSEEN_KERNELS)
    if seen.syncs:
        waits = {cell.name: cell.figures["syncs"] for cell in whole if cell.figures["syncs"] > 0}
        sheet.judge(rules["syncs"], waits, not waits)
    else:
        sheet.leave(rules["syncs"], UNSEEN_WAITS)
    shares = {
        cell.name: cell.figures["efficiency"] for cell in whole if cell.rows == max(scale.rows)
    }
    if shares:
        is_fast = all((share or 0.0) >= MIN_EFFICIENCY for share in shares.values())
        sheet.judge(rules["fast"], shares, is_fast)
    else:
        sheet.leave(rules["fast"], NOTHING)


def _judge_launches(sheet: Sheet, cells: Sequence[Cell], rules: Mapping[str, str]) -> None:
    launches = {cell.name: cell.figures["launches"] for cell in cells}
    most = max(launches, key=lambda name: launches[name])
    sheet.judge(rules["few"], f"{launches[most]} at {most}", launches[most] <= MAX_LAUNCHES)
    alike: dict[str, list[float]] = {}
    for cell in cells:
        if not cell.is_decoding:
            alike.setdefault(f"{cell.model} {cell.rows}", []).append(cell.figures["launches"])
    spread = {name: max(of) - min(of) for name, of in alike.items() if len(of) > 1}
    if spread:
        sheet.judge(rules["flat"], spread, max(spread.values()) <= FLAT)
    else:
        sheet.leave(rules["flat"], NOTHING)
