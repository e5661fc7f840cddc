"""``search-cluster crossexec``: a menu of useful paths, each run on every example of a corpus.

A corpus knows the verdicts of the paths that were tried per question. A router that chooses among a
few paths learns from the full table instead: every path of the menu on every question.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from search_cluster.bridged_spec import spec_again
from search_cluster.cache.cached_evaluator import CachedEvaluator
from search_cluster.cache.open import open_store, require_usable_url
from search_cluster.commands.provenance import (
    context_of_run,
    path_table_provenance,
    require_same_context,
    tie_threshold_of_run,
)
from search_cluster.config import SearchConfig
from search_cluster.corpus.coverage import MenuChoice, pick_menu
from search_cluster.corpus.manifest import require_same_model
from search_cluster.corpus.path_table import PathTable, PathTableProvenance, PathTableRow
from search_cluster.corpus.reader import read_corpus
from search_cluster.corpus.task import task_of_corpus
from search_cluster.corpus.unfinished_table import (
    finish_path_table,
    keep_unfinished,
    known_verdicts,
)
from search_cluster.driver.pools import open_pool
from search_cluster.driver.trials import AnswerWatch, answers
from search_cluster.lock import locked_run_folder
from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.counters import EvaluatorStats
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.stats import wilson_interval
from search_cluster.tasks.example import Example
from search_cluster.tasks.kept import spec_of_kept
from search_cluster.tasks.selection import select_examples
from search_cluster.telemetry.progress import ProgressReporter

logger = logging.getLogger(__name__)


def cross_execute(
    config: SearchConfig,
    *,
    menu_size: int,
    extra_paths: Sequence[str] = (),
    model: str | None = None,
    task: str | None = None,
) -> dict[str, Any]:
    """Pick a menu from a corpus, run it on the corpus' examples, write the table.

    It returns what ``--json`` reports.

    Verdicts of the corpus, of the cache and of earlier tables are not computed again, so running it
    again resumes.

    Args:
        config: where and how to run: ``run`` is the corpus' folder, ``limit`` the number of
            examples. Model, task and dtype are the corpus'.
        menu_size: paths at most, identity included.
        extra_paths: paths that run in any case, after those of the menu, as `parse_path` reads
            them.
        model: where the model is now; ``None``: where the corpus says it was.
        task: the task's file, if its name alone does not find it.

    Raises:
        SearchClusterError: the corpus, the model, the task, the server or the cluster are not as
            they must be.
        KeyboardInterrupt: what was computed so far is on disk, and running it again resumes.
    """
    started_s = time.perf_counter()
    require_usable_url(config.redis_url)  # before the model is loaded, which takes a while
    corpus = read_corpus(config.run)
    searched_with = corpus.manifest.provenance
    config = replace(config, bridges=None).overridden(
        {
            "model": spec_again(searched_with.model_spec, model, config.bridges),
            "task": task or spec_of_kept(searched_with.task, config.run),
            "dtype": searched_with.dtype,
            "chat": searched_with.chat or None,
        }
    )
    asked = task_of_corpus(searched_with, task, config.run)
    choices = pick_menu(corpus.records, num_layers=searched_with.num_layers, size=menu_size)
    if len(choices) > 1 and not searched_with.evidence:
        logger.warning(
            "%s was searched with preset %s, which asks for no evidence, so the menu's paths may "
            "be luck; search with --preset credible for credible ones",
            config.run,
            searched_with.preset,
        )
    choices = _with_extra(
        choices, [parse_path(text, searched_with.num_layers) for text in extra_paths]
    )
    examples = select_examples(
        [record.example for record in corpus.records], config.limit, searched_with.seed
    )
    provenance = path_table_provenance(corpus, choices, menu_size=menu_size, limit=config.limit)
    with ExitStack() as stack:
        stack.enter_context(locked_run_folder(config.run))
        known = list(known_verdicts(config.run, searched_with.verdict_context))
        tie_threshold = tie_threshold_of_run(searched_with)
        pool = stack.enter_context(open_pool(config, tie_threshold=tie_threshold))
        require_same_model(searched_with, config.model_spec, pool.info.model)
        context = context_of_run(asked, pool.info, searched_with, examples)
        require_same_context(searched_with, context, config.run)
        store = open_store(config.redis_url, context=context, run_dir=config.run)
        evaluator = CachedEvaluator(pool, stack.enter_context(store))
        evaluator.preload(known)
        evaluator.preload(
            (record.example.example_id, item.path, item.verdict)
            for record in corpus.records
            for item in record.evaluated
        )
        table = _Table(provenance, choices, examples)
        try:
            table.fill(evaluator, f"cross-executing {asked.name}")
        except BaseException:
            keep_unfinished(config.run, provenance, [*known, *table.path_table().verdicts()])
            raise
        target = finish_path_table(config.run, table.path_table(), known)
        stats = evaluator.stats()
    return (
        {
            "run": str(config.run),
            "task": asked.name,
            "split": searched_with.split,
            "model": config.model_spec,
            "corpus_digest": provenance.corpus_digest,
            "menu_file": str(target),
            "menu_size": menu_size,
            "credible": provenance.credible,
            "menu": menu_figures(table.path_table(), choices),
        }
        | table.counts()
        | costs_of(stats)
        | {"elapsed_seconds": time.perf_counter() - started_s}
    )


def _with_extra(
    choices: Sequence[MenuChoice], paths: Iterable[LayerPath]
) -> tuple[MenuChoice, ...]:
    """The choices, then the paths that are not among them, which add an unknown number."""
    chosen = {choice.path for choice in choices}
    extra = [path for path in dict.fromkeys(paths) if path not in chosen]
    return (*choices, *(MenuChoice(path=path, newly_right=0, layers_saved=0) for path in extra))


def menu_figures(table: PathTable, choices: Sequence[MenuChoice]) -> list[dict[str, Any]]:
    """Per path of a menu: what it added when it was chosen, and what the table says of it.

    ``accuracy`` is the share of examples that it answers right, with a 95 % interval; an example
    without a verdict is not answered right. ``any_right`` is the share that this path or one before
    it answers right: what a router that knows the answers would reach, and no accuracy of anything.
    ``mean_layers`` is the mean length that this would take, with identity where none is right.
    """
    num_layers = table.provenance.corpus.num_layers
    shortest: dict[str, int] = {}
    examples = table.by_example()
    figures = []
    for index, choice in enumerate(choices):
        right = [
            key
            for key, rows in examples.items()
            if (verdict := rows[index].verdict) and verdict.is_correct
        ]
        for key in right:
            shortest[key] = min(shortest.get(key, len(choice.path)), len(choice.path))
        low, high = wilson_interval(len(right), len(examples))
        num_layers_run = sum(shortest.get(key, num_layers) for key in examples)
        figures.append(
            {
                "path": str(choice.path),
                "layers": len(choice.path),
                "newly_right": choice.newly_right,
                "layers_saved": choice.layers_saved,
                "accuracy": len(right) / len(examples),
                "accuracy_low": low,
                "accuracy_high": high,
                "any_right": len(shortest) / len(examples),
                "mean_layers": num_layers_run / len(examples),
            }
        )
    return figures


class _Table:
    """The rows of a table while they come in."""

    def __init__(
        self,
        provenance: PathTableProvenance,
        choices: Sequence[MenuChoice],
        examples: Sequence[Example],
    ) -> None:
        self._provenance = provenance
        self._paths = tuple(choice.path for choice in choices)
        self._examples = sorted(examples, key=lambda example: example.example_id)
        self._rows: dict[int, PathTableRow] = {}
        self._num_failures = 0
        self._num_cached = 0

    def fill(self, evaluator: PathEvaluator, description: str) -> None:
        """Evaluate every pair; all paths of an example together, because they share prefixes.

        Raises:
            OneFaultError: the examples fail for one reason.
        """
        num_missing = [len(self._paths)] * len(self._examples)
        num_done = 0
        watch = AnswerWatch(len(self._examples))
        with ProgressReporter(len(self._examples), description) as reporter:
            for result in answers(evaluator, self._requests()):
                place, index = divmod(result.request_id, len(self._paths))
                example = self._examples[place]
                watch.take(example, result)
                self._rows[result.request_id] = _row(example.example_id, index, result)
                self._num_failures += isinstance(result.outcome, Failure)
                self._num_cached += result.from_cache
                num_missing[place] -= 1
                num_done += not num_missing[place]
                reporter.update(num_done, len(self._rows), self._num_cached, self._num_failures)
        watch.end()

    def _requests(self) -> Iterator[EvaluationRequest]:
        for place, example in enumerate(self._examples):
            for index, path in enumerate(self._paths):
                yield EvaluationRequest(
                    request_id=place * len(self._paths) + index, example=example, path=path
                )

    def path_table(self) -> PathTable:
        """The rows so far."""
        rows = tuple(self._rows[number] for number in sorted(self._rows))
        return PathTable(provenance=self._provenance, paths=self._paths, rows=rows)

    def counts(self) -> dict[str, int]:
        """Sizes and failures."""
        return {
            "examples": len(self._examples),
            "verdicts": len(self._rows) - self._num_failures,
            "failures": self._num_failures,
            "cache_hits": self._num_cached,
        }


def _row(example_id: str, path_index: int, result: EvaluationResult) -> PathTableRow:
    outcome = result.outcome
    if isinstance(outcome, Failure):
        failure = f"{outcome.kind}: {outcome.message}"
        return PathTableRow(
            example_id=example_id, path_index=path_index, verdict=None, failure=failure
        )
    return PathTableRow(example_id=example_id, path_index=path_index, verdict=outcome)


def costs_of(stats: EvaluatorStats) -> dict[str, Any]:
    """What evaluators took, as ``--json`` reports it."""
    return {
        "paths_evaluated": stats.num_evaluated,
        "device_seconds": stats.device_held_s,
        "device_busy_seconds": stats.device_busy_s,
        "workers": stats.num_devices,
        "cache_errors": stats.num_cache_errors,
    }
