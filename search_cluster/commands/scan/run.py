"""``search-cluster scan``: the best one path for a model and its tasks, from settings to result."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from search_cluster.cache.by_task import open_stores
from search_cluster.cache.cached_evaluator import CachedEvaluator
from search_cluster.cache.open import num_waiting, require_usable_url
from search_cluster.commands.depth_prior import read_depth_prior
from search_cluster.commands.examples import warn_of_malformed, write_malformed
from search_cluster.commands.from_hub import with_hub_folders
from search_cluster.commands.provenance import context_of_run
from search_cluster.commands.scan.asking import ScanAsking
from search_cluster.commands.scan.job import ScanJob, ScanTasks, no_growth, scan_job
from search_cluster.commands.scan.result import ScanLooks, scan_figures, scan_result
from search_cluster.commands.scan.scanned import require_same_questions
from search_cluster.commands.scan.times import with_times
from search_cluster.config import SearchConfig
from search_cluster.console import say
from search_cluster.corpus.manifest import MANIFEST_NAME
from search_cluster.driver.pools import open_pool
from search_cluster.errors import ConfigError
from search_cluster.lock import locked_run_folder
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.progress import ScanStage
from search_cluster.scan.questions import TEST, VALIDATION
from search_cluster.scan.racing.choice import confirm
from search_cluster.scan.racing.race import ScanSearch
from search_cluster.scan.result_file import write_result
from search_cluster.scan.settings import ScanSettings
from search_cluster.scan.table import ScanContext, ScanTable, finish_scan_table, known_rows
from search_cluster.scan.uses import TestUse, count_test_use
from search_cluster.tasks.kept import keep_tasks, spec_if_gone
from search_cluster.telemetry.price import cost_figures, price_of, priced
from search_cluster.telemetry.run_counters import used_figures
from search_cluster.trackers import open_trackers, tracker_names

GUARD = "guard"
"""What the rows of guards have for a split."""


def run_scan(
    config: SearchConfig,
    settings: ScanSettings,
    *,
    tasks: Sequence[str],
    guards: Sequence[str] = (),
    paths: Path | None = None,
) -> dict[str, Any]:
    """Scan, write ``scan.json`` into ``config.run``, and give what ``--json`` reports.

    Running it again on the same folder asks nothing twice.

    Args:
        config: where and how to run; its task and split are not looked at.
        settings: what to look for.
        tasks: names or files of the tasks, at least one.
        guards: names or files of tasks on which losses are reported.
        paths: a file with paths to try, too.

    Raises:
        SearchClusterError: settings, data, model, server or cluster are not as they must be.
        KeyboardInterrupt: what was answered so far is on disk, and running it again resumes.
    """
    started = datetime.now(UTC)
    require_usable_url(config.redis_url)  # before the model is loaded, which takes a while
    reports_to = tracker_names(config.report_to)
    config = with_hub_folders(config)
    price = price_of(config.price_per_gpu_hour, config.currency)
    prior = read_depth_prior(config.depth_prior)
    tasks = [spec_if_gone(task, config.run) for task in tasks]
    guards = [spec_if_gone(task, config.run) for task in guards]
    of_tasks = ScanTasks.of(config, tasks, guards)
    warn_of_malformed(config.run, of_tasks.malformed)
    with ExitStack() as folder, ExitStack() as stack:
        _require_scan_folder(config.run)
        folder.enter_context(locked_run_folder(config.run))
        config = config.overridden({"task": tasks[0]})
        pool = stack.enter_context(open_pool(config, more_tasks=(*tasks[1:], *guards)))
        info = pool.info
        if prior is not None:
            prior.require_of(info.model)
        job = scan_job(
            config,
            settings,
            of_tasks,
            num_layers=info.num_layers,
            costs=info.costs,
            prior=None if prior is None else prior.layers,
            paths=paths,
        )
        contexts = {task.name: context_of_run(task, info, None, ()) for task in of_tasks.everybody}
        table = ScanTable(
            ScanContext(
                model=config.model_spec,
                model_fingerprint=info.model_fingerprint,
                num_layers=info.num_layers,
                contexts={name: context.namespace for name, context in contexts.items()},
            )
        )
        known = known_rows(config.run, table.context)
        require_same_questions(
            known, of_tasks.questions, config.run, "restore it, or choose another run folder"
        )
        keep_tasks([*tasks, *guards], config.run)
        write_malformed(config.run, of_tasks.malformed)
        if settings.grow > 1 and not job.plan.grown:
            say(no_growth(job))
        store = open_stores(
            config.redis_url, contexts=contexts, examples=job.everything, run_dir=config.run
        )
        evaluator = CachedEvaluator(pool, stack.enter_context(store))
        evaluator.preload(known.verdicts())
        trackers = stack.enter_context(
            open_trackers(reports_to, config.run, asdict(config) | asdict(settings))
        )
        with ScanAsking(job, evaluator, table, known, started=started, trackers=trackers) as asking:
            looks = _look(job, asking, started)
        result = scan_result(job, looks, table, info)
        finish_scan_table(config.run, table, known)
        counters = asking.counters().to_json()
        trackers.log(scan_figures(result))
        stack.close()
        if settings.timings:
            asking.announce(ScanStage.TIMING)
            result = with_times(config, result)
        write_result(config.run, result)
    return (
        scan_figures(result)
        | {
            "run": str(config.run),
            "seconds": counters.pop("elapsed_seconds"),
            "verdicts_all": len(table.rows),
            "verdicts_waiting": sum(
                num_waiting(config.run, context) for context in contexts.values()
            ),
        }
        | {key: counters[key] for key in _COSTS}
        | used_figures(counters)
        | cost_figures(priced([counters], price))
    )


_COSTS = (
    "paths_evaluated",
    "cache_hits",
    "failures",
    "device_seconds",
    "device_busy_seconds",
    "paths_per_device_hour",
    "workers",
    "layer_runs",
    "layer_rows",
)
"""What of the run's counters is reported, too."""


def _require_scan_folder(run: Path) -> None:
    if (run / MANIFEST_NAME).exists() or (run / "data").is_dir():
        raise ConfigError(f"{run} holds a search; a scan has a folder of its own: name another")


def _look(job: ScanJob, asking: ScanAsking, started: datetime) -> ScanLooks:
    """Search, confirm the finalists, and look at test and at the guards once."""
    started_s = time.monotonic()
    minutes = job.settings.minutes
    search = ScanSearch(
        job.train,
        job.tasks.facts(job.train),
        job.candidates,
        num_layers=job.num_layers,
        num_tasks=len(job.tasks.names),
        plan=job.plan,
        aim=job.settings.aim,
        max_edits=job.settings.grow,
        costs=job.costs,
        prior=job.prior,
        may_go_on=lambda: minutes is None or time.monotonic() - started_s < 60.0 * minutes,
    )
    searched = asking.search(search)
    identity = LayerPath.identity(job.num_layers)
    finalists = [item.path for item in searched.finalists]
    validation = asking.look(ScanStage.VALIDATION, VALIDATION, job.validation, finalists, identity)
    confirmed = confirm(searched, validation, job.settings.aim, num_test=len(job.test))
    reported = [item.path for item in confirmed.reported]
    # Without a finalist nothing is looked at. A look is noted before it is made, for one that is
    # killed was a look.
    asked = job.test if reported else []
    test_uses = count_test_use(job.config.run, TestUse.of(reported, asked, at=started.isoformat()))
    test = asking.look(ScanStage.TEST, TEST, asked, reported, identity)
    guards = {
        name: asking.look(
            ScanStage.GUARDS, GUARD, questions if reported else [], reported, identity
        )
        for name, questions in job.guarding.items()
    }
    asking.end()
    return ScanLooks(
        searched=searched,
        confirmed=confirmed,
        validation=validation,
        test=test,
        guards=guards,
        test_uses=test_uses,
    )
