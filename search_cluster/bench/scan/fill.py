"""``search-cluster bench scan table``: all single edits of a model on many questions.

It is what races are measured against: whoever has the whole table can replay any number of them
over it. Workers are threads over one model, each with an engine of its own, that take whole blocks
of questions, so that all paths of a question share their prefixes.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

from search_cluster.bench.scan.config import ScanTableConfig
from search_cluster.bench.scan.score_table import (
    StoredQuestion,
    TableFacts,
    begin_table,
    questions_done,
    read_table,
    write_block,
)
from search_cluster.bench.scan.scored_engine import ScoredEngine, scored_blocks
from search_cluster.bench.scan.stored_answers import best_places, single_edit_paths
from search_cluster.errors import ConfigError
from search_cluster.lock import locked_run_folder
from search_cluster.model.kernels import kernels_of
from search_cluster.model.load.loading import load_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.runtime import keep_freed_memory
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.example import Example
from search_cluster.tasks.facts import facts_of
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.task import AnswerKind, Task


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
    fact_of = facts_of(data.examples)
    examples = select_examples(data.examples, config.num_questions, config.seed)
    loaded = load_model(config.model, device=config.device, dtype=config.dtype)
    paths = single_edit_paths(loaded.num_layers, config.max_block)
    num_full = len(examples) if config.num_full is None else config.num_full
    with locked_run_folder(config.out):
        begin_table(config.out, _facts(config, loaded, task, paths, examples, fact_of))
        filling = _Filling(config, loaded, task, examples, paths, say)
        filling.fill(range(len(examples))[:num_full], range(len(paths)))
        if num_full < len(examples):
            full = read_table(config.out).of_questions(range(num_full))
            filling.fill(range(len(examples))[num_full:], best_places(full, config.keep))
    return {
        "folder": str(config.out),
        "task": task.name,
        "num_paths": len(paths),
        "num_questions": len(examples),
        **filling.figures(),
    }


class _Filling:
    """Asks what is missing of a table, and counts."""

    def __init__(
        self,
        config: ScanTableConfig,
        loaded: LoadedModel,
        task: Task,
        examples: Sequence[Example],
        paths: Sequence[LayerPath],
        say: Callable[[str], None],
    ) -> None:
        self._config, self._examples, self._paths, self._say = config, examples, paths, say
        self._engines = [
            ScoredEngine(loaded, task, num_workers=config.workers) for _ in range(config.workers)
        ]
        self._num_pairs = self._num_failed = 0
        self._seconds = 0.0

    def fill(self, questions: Sequence[int], paths: Sequence[int]) -> None:
        """Ask some paths those questions that are not done; both by their places."""
        done = questions_done(self._config.out)
        missing = [place for place in questions if place not in done]
        self._say(f"{len(paths)} paths, {len(missing)} of {len(questions)} questions are missing")
        size = self._config.block
        blocks = [missing[first : first + size] for first in range(0, len(missing), size)]
        started_s = time.perf_counter()
        num_done = 0
        asked = [self._paths[place] for place in paths]
        with closing(scored_blocks(self._engines, blocks, self._examples, asked)) as scored:
            for block, scores in scored:
                rows = {
                    question: dict(zip(paths, of_question, strict=True))
                    for question, of_question in zip(block, scores, strict=True)
                }
                write_block(self._config.out, rows)
                num_done += len(block)
                self._num_failed += sum(not item for of_one in scores for item in of_one)
                rate = num_done / (time.perf_counter() - started_s)
                self._say(
                    f"{len(questions) - len(missing) + num_done} of {len(questions)} questions, "
                    f"{rate * len(paths):.1f} pairs/s, {(len(missing) - num_done) / rate / 60:.1f} "
                    "minutes left"
                )
        self._num_pairs += len(missing) * len(paths)
        self._seconds += time.perf_counter() - started_s

    def figures(self) -> dict[str, Any]:
        """What this call did."""
        return {
            "pairs": self._num_pairs,
            "seconds": self._seconds,
            "pairs_per_s": self._num_pairs / self._seconds if self._num_pairs else None,
            "failures": self._num_failed,
            "other_verdicts": sum(engine.num_other_verdicts for engine in self._engines),
        }


def _facts(
    config: ScanTableConfig,
    loaded: LoadedModel,
    task: Task,
    paths: Sequence[LayerPath],
    examples: Sequence[Example],
    fact_of: Mapping[str, int],
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
        num_full=config.num_full,
        keep=None if config.num_full is None else config.keep,
        paths=tuple(map(str, paths)),
        questions=tuple(_stored(example, fact_of) for example in examples),
    )


def _stored(example: Example, fact_of: Mapping[str, int]) -> StoredQuestion:
    if example.gold_index is None:
        raise ConfigError(
            f"example {example.example_id} has no gold index; a table of scores needs one"
        )
    return StoredQuestion(
        example_id=example.example_id,
        num_choices=len(example.choices),
        gold_index=example.gold_index,
        fact=fact_of[example.example_id],
    )
