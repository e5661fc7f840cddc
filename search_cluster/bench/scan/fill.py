"""``search-cluster bench scan table``: all single edits of a model on many questions.

It is what races are measured against: whoever has the whole table can replay any number of them
over it. Workers are threads over one model, each with an engine of its own, that take whole blocks
of questions, so that all paths of a question share their prefixes.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from search_cluster.bench.scan.config import ScanTableConfig
from search_cluster.bench.scan.score_table import (
    StoredQuestion,
    TableFacts,
    begin_table,
    questions_done,
    write_block,
)
from search_cluster.bench.scan.scored_engine import ScoredEngine, Scores
from search_cluster.errors import ConfigError
from search_cluster.lock import lock_run_folder
from search_cluster.model.kernels import kernels_of
from search_cluster.model.load.loading import load_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.runtime import keep_freed_memory, limit_threads
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.edits import TWICE
from search_cluster.scan.settings import Family
from search_cluster.scan.space import first_candidates
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.task import AnswerKind, Task

Block = list[int]
"""Places of questions."""
Scored = tuple[Block, list[list[Scores]]]
"""The scores of the questions of a block, by path."""


def fill_table(config: ScanTableConfig, say: Callable[[str], None]) -> dict[str, Any]:
    """Compute what is missing of a table.

    Args:
        config: the settings.
        say: takes a line for people now and then.

    Raises:
        SearchClusterError: no such model, task or data, the task's questions have no choices, or
            the folder holds another table.
    """
    keep_freed_memory()  # as workers do
    task = get_task(config.task)
    if task.kind is not AnswerKind.CHOICE:
        raise ConfigError(
            f"the answers of task {task.name} are generated; a table of scores needs a task with "
            "choices, such as arc_easy"
        )
    data = task.load(config.split, resolve_data_dir(config.data_dir))
    examples = select_examples(data.examples, config.num_questions, config.seed)
    loaded = load_model(config.model, device=config.device, dtype=config.dtype)
    paths = single_edit_paths(loaded.num_layers, config.max_block)
    lock = lock_run_folder(config.out)
    try:
        begin_table(config.out, _facts(config, loaded, task, paths, examples))
        done = questions_done(config.out)
        missing = [place for place in range(len(examples)) if place not in done]
        say(f"{len(paths)} paths; {len(missing)} of {len(examples)} questions are missing")
        started_s = time.perf_counter()
        blocks = [
            missing[first : first + config.block] for first in range(0, len(missing), config.block)
        ]
        engines = [
            ScoredEngine(loaded, task, num_workers=config.workers) for _ in range(config.workers)
        ]
        num_done = num_failed = 0
        for block, scores in _scored(engines, blocks, examples, paths):
            write_block(config.out, dict(zip(block, scores, strict=True)))
            num_done += len(block)
            num_failed += sum(not of_path for of_question in scores for of_path in of_question)
            rate = num_done / (time.perf_counter() - started_s)
            say(
                f"{len(examples) - len(missing) + num_done} of {len(examples)} questions, "
                f"{rate * len(paths):.1f} pairs/s, {(len(missing) - num_done) / rate / 60:.1f} "
                "minutes left"
            )
        seconds = time.perf_counter() - started_s
    finally:
        os.close(lock)
    return {
        "folder": str(config.out),
        "task": task.name,
        "num_paths": len(paths),
        "num_questions": len(examples),
        "pairs": len(paths) * len(missing),
        "seconds": seconds,
        "pairs_per_s": len(paths) * len(missing) / seconds if missing else None,
        "failures": num_failed,
        "other_verdicts": sum(engine.num_other_verdicts for engine in engines),
    }


def single_edit_paths(num_layers: int, max_block: int | None) -> tuple[LayerPath, ...]:
    """The plain path, and every path of a scan's first race."""
    candidates = first_candidates(
        num_layers,
        (Family.SKIP, Family.REPEAT),
        max_block=max_block or num_layers,
        passes=TWICE,
    )
    return (LayerPath.identity(num_layers), *(item.path for item in candidates))


def _facts(
    config: ScanTableConfig,
    loaded: LoadedModel,
    task: Task,
    paths: Sequence[LayerPath],
    examples: Sequence[Example],
) -> TableFacts:
    return TableFacts(
        model=config.model,
        model_fingerprint=loaded.fingerprint,
        num_layers=loaded.num_layers,
        dtype=loaded.dtype,
        arithmetic=kernels_of(loaded.device, loaded.dtype),
        chat=loaded.chat,
        task=task.name,
        task_version=task.version,
        split=config.split,
        seed=config.seed,
        paths=tuple(map(str, paths)),
        questions=tuple(_stored(example) for example in examples),
    )


def _stored(example: Example) -> StoredQuestion:
    if example.gold_index is None:
        raise ConfigError(
            f"example {example.example_id} has no gold index; a table of scores needs one"
        )
    return StoredQuestion(
        example_id=example.example_id,
        num_choices=len(example.choices),
        gold_index=example.gold_index,
    )


def _scored(
    engines: Sequence[ScoredEngine],
    blocks: Sequence[Block],
    examples: Sequence[Example],
    paths: Sequence[LayerPath],
) -> Iterator[Scored]:
    """The scores of all blocks, in the order in which they are done.

    The first error of a thread is raised here.
    """
    waiting: queue.SimpleQueue[Block] = queue.SimpleQueue()
    for block in blocks:
        waiting.put(block)
    done: queue.SimpleQueue[Scored | Exception] = queue.SimpleQueue()

    def work(engine: ScoredEngine) -> None:
        limit_threads(1)  # the setting belongs to the calling thread
        while True:
            try:
                block = waiting.get_nowait()
                done.put((block, engine.scores([examples[place] for place in block], paths)))
            except queue.Empty:
                return
            except Exception as error:  # raised where the result is waited for
                done.put(error)
                return

    # Daemons: an interrupt does not wait for blocks that run, which the next call does again.
    for engine in engines:
        threading.Thread(target=work, args=(engine,), daemon=True).start()
    for _ in blocks:
        found = done.get()
        if isinstance(found, Exception):
            raise found
        yield found
