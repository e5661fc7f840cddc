"""``search-cluster scan judge``: what a path gains on questions that its scan never asked."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from search_cluster.bridged_spec import spec_again
from search_cluster.cache.cached_evaluator import CachedEvaluator
from search_cluster.cache.open import open_store, require_usable_url
from search_cluster.commands.crossexec import costs_of
from search_cluster.commands.from_hub import with_hub_folders
from search_cluster.commands.provenance import context_of_run
from search_cluster.commands.scan.left_out import left_out, left_out_figures
from search_cluster.commands.scan.scanned import (
    require_known,
    require_scanned_model,
    task_of_scan,
)
from search_cluster.config import SearchConfig
from search_cluster.driver.pools import open_pool
from search_cluster.driver.trials import AnswerWatch, TrialRunner
from search_cluster.errors import ConfigError, TaskError
from search_cluster.lock import locked_run_folder
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.protocols.messages import EvaluationResult, Failure
from search_cluster.protocols.rounds import Outcome, Trial
from search_cluster.report.scan.words import facts_text, gain_text, number_of_layers
from search_cluster.scan.answers import AnswerTable
from search_cluster.scan.constants import RACE
from search_cluster.scan.judged import JUDGED_NAME, Judgement, fresh_questions, keep_judgement
from search_cluster.scan.left_out import left_out_line
from search_cluster.scan.questions import questions_by_id
from search_cluster.scan.racing.choice import is_guessing_on
from search_cluster.scan.result import ScanResult
from search_cluster.scan.result_file import read_result
from search_cluster.scan.specs.chosen import path_to_export
from search_cluster.scan.standings import standings
from search_cluster.scan.table import SCAN_TABLE_NAME, UNFINISHED_SCAN_NAME, read_scan_table
from search_cluster.scan.uses import digest_of_questions
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.example import Example
from search_cluster.tasks.facts import facts_of
from search_cluster.tasks.kept import spec_of_kept
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import select_examples
from search_cluster.telemetry.progress import ProgressReporter


def judge_path(
    config: SearchConfig,
    *,
    task: str | None,
    named: str | None,
    best: bool,
    model: str | None,
) -> tuple[Judgement, dict[str, Any]]:
    """Ask the plain model and a path what no part of a scan asked; keep what that says.

    Running it again on the same folder asks the cache, as far as an earlier run came.

    Args:
        config: where and how to run: ``run`` is the scan's folder, ``split``, ``limit`` and
            ``seed`` say which questions. Model, dtype and chat are the scan's.
        task: the name or file of the task; ``None``: the scan's.
        named: another path, in any notation; ``None``: the scan's choice.
        best: whether the first finalist will do where the scan is not sure.
        model: where the model is now; ``None``: where it was.

    Returns:
        The judgement, and what ``--json`` reports.

    Raises:
        SearchClusterError: the scan, the path, the task, the model, the server or the cluster are
            not as they must be.
        KeyboardInterrupt: running it again resumes.
    """
    started = datetime.now(UTC)
    require_usable_url(config.redis_url)  # before the model is loaded, which takes a while
    run, result = config.run, read_result(config.run)
    path = path_to_export(result, named=named, best=best, folder=str(run))
    if path.is_identity:
        raise ConfigError(f"path {path} is the plain model, which gains nothing; name another one")
    config = with_hub_folders(config)
    config = replace(config, bridges=None).overridden(
        {
            "model": spec_again(result.model, model, config.bridges),
            "task": spec_of_kept(task or _only_task(result, run), run),
            "dtype": result.dtype,
            "chat": result.chat or None,
        }
    )
    questions = _questions(config, result)
    with ExitStack() as stack:
        stack.enter_context(locked_run_folder(run))
        pool = stack.enter_context(open_pool(config))
        require_scanned_model(result, pool.info.model, config.model_spec)
        asked = get_task(config.task)
        context = context_of_run(asked, pool.info, None, ())
        store = open_store(config.redis_url, context=context, run_dir=run)
        evaluator = CachedEvaluator(pool, stack.enter_context(store))
        table = AnswerTable(
            questions.examples, LayerPath.identity(result.num_layers), questions.facts
        )
        outcomes, counts = _ask(evaluator, table, path, asked.name)
        judgement = Judgement(
            at=started.isoformat(),
            task=asked.name,
            split=config.split,
            path=str(path),
            questions=digest_of_questions(questions.examples),
            num_asked=len(questions.examples),
            num_known=questions.num_known,
            num_facts_known=questions.num_facts_known,
            standing=standings([table], [path])[0],
            plain_is_guessing=is_guessing_on(table),
            left_out=left_out({config.split: [table]}, outcomes),
        )
        num_judgements = keep_judgement(run, judgement)
        layers = pool.info.costs.layers(path)
        costs = counts | costs_of(evaluator.stats())
    figures = _figures(judgement) | {
        "run": str(run),
        "model": config.model_spec,
        "seed": config.seed,
        "layers": layers,
        "num_layers": result.num_layers,
        "judgements": num_judgements,
        "file": str(run / JUDGED_NAME),
    }
    return judgement, figures | costs


def _only_task(result: ScanResult, run: Path) -> str:
    if len(result.tasks) > 1:
        raise ConfigError(
            f"the scan in {run} is of {', '.join(result.tasks)}; name one task with --task"
        )
    return result.tasks[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Questions:
    """What to ask."""

    examples: list[Example]
    facts: list[int]
    """The fact that each asks for."""
    num_known: int
    """Questions of the split that the scan has asked."""
    num_facts_known: int
    """Of these facts, those for which the scan has asked in another way."""


def _questions(config: SearchConfig, result: ScanResult) -> _Questions:
    data_dir = resolve_data_dir(config.data_dir)
    task = get_task(config.task)
    of_split = task.load(config.split, data_dir).examples
    asked = _asked(config.run, result, data_dir)
    fresh = fresh_questions(of_split, asked)
    num_known = len(of_split) - len(fresh)
    if len(fresh) < RACE.min_questions:
        raise TaskError(
            f"task {task.name} has {len(fresh)} questions of {config.split} that the scan did not "
            f"ask, beside {num_known} that it did, and a judgement needs {RACE.min_questions}; "
            "name another --split, or another --task"
        )
    chosen = list(select_examples(fresh, config.limit, config.seed))
    # What a guard asked must not change what is said here.
    searched = [item for item in asked if item.task not in result.guards]
    fact_of = facts_of([*of_split, *searched])
    facts = [fact_of[item.example_id] for item in chosen]
    return _Questions(
        examples=chosen,
        facts=facts,
        num_known=num_known,
        num_facts_known=len(set(facts) & {fact_of[item.example_id] for item in searched}),
    )


def _asked(run: Path, result: ScanResult, data_dir: Path | None) -> list[Example]:
    """All questions that scans in a folder have asked, whatever for."""
    table = read_scan_table(run / SCAN_TABLE_NAME)
    if (run / UNFINISHED_SCAN_NAME).is_file():  # of scans with other settings
        table = table.with_rows_of(read_scan_table(run / UNFINISHED_SCAN_NAME))
    rows = table.rows.values()

    def questions_of(tasks: Iterable[str]) -> dict[str, Example]:
        found = (task_of_scan(name, run) for name in tasks)
        return questions_by_id(found, data_dir, result.seed)

    known = questions_of(table.context.contexts)
    known |= questions_of(sorted({row.task for row in rows if row.example_id not in known}))
    require_known((row.task for row in rows if row.example_id not in known), len(rows))
    return [known[example_id] for example_id in {row.example_id: None for row in rows}]


def _ask(
    evaluator: PathEvaluator, table: AnswerTable, path: LayerPath, task: str
) -> tuple[dict[tuple[str, LayerPath], Outcome], dict[str, int]]:
    """Fill a table with the answers of the plain model and a path; what came of each, and counts.

    Raises:
        EvaluatorError: nobody is left to evaluate.
        OneFaultError: the questions fail for one reason.
    """
    trials = table.missing((table.identity, path), len(table.questions))
    watch = AnswerWatch(len(table.questions))
    outcomes: dict[tuple[str, LayerPath], Outcome] = {}
    counts = {"verdicts": 0, "cache_hits": 0, "failures": 0}
    with ProgressReporter(len(trials), f"judging on {task}", unit="verdicts") as reporter:

        def take(trial: Trial, result: EvaluationResult) -> None:
            example, asked = trial
            watch.take(example, result)
            outcomes[example.example_id, asked] = result.outcome
            counts["verdicts"] += 1
            counts["cache_hits"] += result.from_cache
            counts["failures"] += isinstance(result.outcome, Failure)
            reporter.update(
                counts["verdicts"], counts["verdicts"], counts["cache_hits"], counts["failures"]
            )

        table.take(trials, TrialRunner(evaluator, take).outcomes(trials))
    watch.end()
    return outcomes, counts


def _figures(judgement: Judgement) -> dict[str, Any]:
    standing = judgement.standing
    return {
        "task": judgement.task,
        "split": judgement.split,
        "path": judgement.path,
        "asked": judgement.num_asked,
        "questions": standing.num_questions,
        "facts": standing.num_facts,
        "left_out": left_out_figures(judgement.left_out),
        "known_to_scan": judgement.num_known,
        "facts_known_to_scan": judgement.num_facts_known,
        "plain_accuracy": standing.plain_accuracy,
        "accuracy": standing.accuracy,
        "gain": standing.gain,
        "gain_low": standing.low,
        "gain_high": standing.high,
        "p": standing.p_adjusted,
        "plain_is_guessing": judgement.plain_is_guessing,
    }


def show_judgement(judgement: Judgement, figures: Mapping[str, Any]) -> None:
    """Print a judgement: what it says first, then what it stands on."""
    standing = judgement.standing
    print(
        f"{gain_text(standing)} questions of {judgement.task} ({judgement.split}) that no part of "
        f"the scan asked: path {judgement.path} with {number_of_layers(figures['layers'])} of "
        f"{figures['num_layers']} layers is right on {standing.accuracy:.1%}, the plain model on "
        f"{standing.plain_accuracy:.1%}"
    )
    if facts := facts_text(standing):
        print(f"They are {standing.num_questions:,} questions{facts}, which the interval counts.")
    if judgement.num_facts_known:
        print(
            f"For {judgement.num_facts_known:,} of the facts the scan had asked in other ways, so "
            "that a path which it chose for them is flattered here."
        )
    if judgement.plain_is_guessing:
        print("The plain model can't be told from guesses there, so there is nothing to keep.")
    if line := left_out_line(judgement.left_out):
        print(line)
    print(
        f"{judgement.num_known:,} questions of the split were left aside: the scan asked them. "
        f"Judgements in {figures['file']}: {figures['judgements']}."
    )
