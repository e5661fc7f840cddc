"""Part B: what one call of a layer costs, by rows and segments.

A path and the same path three times over are run on the same questions; the difference is what the
calls cost that the longer one has more, with all of the engine around them: its plan, its launches,
its waiting. Where each segment has one row, answers of six tokens and of two are compared instead.
"""

import itertools
from collections.abc import Iterator, Sequence
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
)
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
CELL_S = 2.0
"""What a measurement takes at most, about; with less time left it is not begun."""
MAX_LAUNCHES = 60
MIN_EFFICIENCY = 0.5
FLAT = 2
"""By how many launches calls of few and of many segments may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One of the two runs whose difference is measured."""

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
                if sheet.left_s < kept_s + CELL_S:
                    left_out.append(cell.name)
                    continue
                cell.figures = _measured(loaded, cell, scale, product)
                cells.append(cell)
                sheet.put(cell.name, cell.figures)
        del loaded
    if left_out:
        sheet.put("left_out_for_want_of_time", [*left_out])
    _judge(sheet, cells, scale, device)


def _measured(loaded: LoadedModel, cell: Cell, scale: Scale, product: float) -> dict[str, Any]:
    num_rows = scale.held_rows if cell.is_decoding else cell.rows // cell.segments
    path = LayerPath.identity(loaded.num_layers)
    if cell.is_decoding:
        short, long = (
            Run(task=WordTask(max_new_tokens=tokens), path=path)
            for tokens in (SHORT_ANSWER, LONG_ANSWER)
        )
    else:
        short = Run(task=WordTask(), path=path)
        long = Run(task=WordTask(), path=LayerPath(path.layers * REPEATS, loaded.num_layers))
    questions = _questions(cell.segments, num_rows, 0 if cell.is_decoding else 2)
    limit = max(cell.rows, cell.segments * num_rows)
    try:
        return _difference(
            loaded,
            _costs(loaded, short, questions, limit),
            _costs(loaded, long, questions, limit),
            product,
        )
    except torch.OutOfMemoryError as error:
        return {"error": str(error).splitlines()[0][:160]}


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


def _costs(
    loaded: LoadedModel, run: Run, questions: Iterator[list[Example]], max_rows: int
) -> Costs:
    def engine(room: int) -> PathExecutor:
        return PathExecutor(loaded, run.task, max_state_bytes=room, max_call_rows=max_rows)

    def evaluate(executor: PathExecutor, examples: Sequence[Example]) -> None:
        executor.evaluate([(example, run.path) for example in examples])

    first = engine(default_state_bytes(loaded))
    evaluate(first, next(questions))
    # From the third set of questions on, this one has all the memory that it may have, and throws
    # away what is old, as an engine does that has run for a while.
    executor = engine(ROOM * first.store.peak_bytes)
    seconds = [
        seconds_of(partial(evaluate, executor, next(questions)), loaded.device)
        for _ in range(ROOM + 1 + ROUNDS)
    ]
    work = work_of(lambda: evaluate(executor, next(questions)), loaded.device)
    # The fastest, since a difference of two is taken.
    return Costs(wall_s=min(seconds[-ROUNDS:]), work=work, counters=first.counters)


def _difference(loaded: LoadedModel, short: Costs, long: Costs, product: float) -> dict[str, Any]:
    calls = long.counters.layer_calls - short.counters.layer_calls
    tokens = long.counters.layer_tokens - short.counters.layer_tokens
    visible = long.counters.visible_rows - short.counters.visible_rows
    rates = FlopRates.of(loaded.model)
    flops = tokens * rates.layer_row + visible * rates.visible_row
    wall_s = (long.wall_s - short.wall_s) / calls
    figures: dict[str, Any] = {
        "calls": calls,
        "rows_a_call": tokens / calls,
        "wall_us": round(wall_s * 1e6, 1),
        # A difference of two short times can come out as nothing.
        "efficiency": round(flops / calls / wall_s / product, 4) if wall_s > 0 else None,
    }
    for field in fields(Work):
        before, after = getattr(short.work, field.name), getattr(long.work, field.name)
        if field.name == "kernels" or before is None or after is None:
            continue
        each = (after - before) / calls
        figures[field.name] = each if field.name == "device_s" else round(each, 2)
    if "device_s" in figures:
        figures["device_us"] = round(figures.pop("device_s") * 1e6, 1)
        figures["idle_us"] = round(figures["wall_us"] - figures["device_us"], 1)
    return figures


def _judge(sheet: Sheet, cells: Sequence[Cell], scale: Scale, device: str) -> None:
    rules = {
        "few": f"a call launches at most {MAX_LAUNCHES} kernels",
        "syncs": "no call waits for the device",
        "flat": f"launches differ by at most {FLAT} between few and many segments",
        "fast": f"calls of {max(scale.rows)} rows reach {MIN_EFFICIENCY:.0%} of a plain product",
    }
    if not is_cuda(device):
        for rule in rules.values():
            sheet.leave(rule, CPU_REASON)
        return
    whole = [cell for cell in cells if "error" not in cell.figures]
    failed = [cell.name for cell in cells if "error" in cell.figures]
    sheet.judge("every call fits the device", failed, not failed)
    launches = {cell.name: cell.figures["launches"] for cell in whole}
    most = max(launches, key=lambda name: launches[name])
    sheet.judge(rules["few"], f"{launches[most]} at {most}", launches[most] <= MAX_LAUNCHES)
    waits = {cell.name: cell.figures["syncs"] for cell in whole if cell.figures["syncs"] > 0}
    sheet.judge(rules["syncs"], waits, not waits)
    spread = {
        f"{model} {rows}": max(counts) - min(counts)
        for model in scale.shapes
        for rows in scale.rows
        if (
            counts := [
                cell.figures["launches"]
                for cell in whole
                if (cell.model, cell.rows) == (model, rows) and not cell.is_decoding
            ]
        )
    }
    sheet.judge(rules["flat"], spread, max(spread.values()) <= FLAT)
    shares = {
        cell.name: cell.figures["efficiency"] for cell in whole if cell.rows == max(scale.rows)
    }
    sheet.judge(
        rules["fast"], shares, all((share or 0.0) >= MIN_EFFICIENCY for share in shares.values())
    )
