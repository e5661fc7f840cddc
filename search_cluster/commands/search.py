"""One search from its configuration to its corpus: wires the rooms, knows no details of any."""

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from search_cluster.cache.open import num_waiting, require_usable_url
from search_cluster.commands.depth_prior import read_depth_prior, with_depth_prior
from search_cluster.commands.examples import load_examples, require_same_examples, write_malformed
from search_cluster.commands.from_hub import with_hub_folders
from search_cluster.commands.preset_choice import preset_of_run, preset_with_settings
from search_cluster.commands.provenance import (
    context_of_run,
    provenance_of,
    tie_threshold_of_run,
)
from search_cluster.commands.result import found_figures, search_result
from search_cluster.commands.study_of_scan import read_study
from search_cluster.config import SearchConfig
from search_cluster.corpus.encoded_shard import ShardSettings
from search_cluster.corpus.reader import provenance_so_far, read_shards
from search_cluster.corpus.summary import summarise
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.driver.driver import Driver
from search_cluster.driver.job import SearchJob
from search_cluster.driver.keeper import FoundKeeper
from search_cluster.driver.open import open_driver, open_exporter
from search_cluster.driver.pools import open_pool
from search_cluster.errors import ConfigError
from search_cluster.lock import locked_run_folder
from search_cluster.protocols.counters import EvaluatorStats
from search_cluster.report.notes import cut_notes, nothing_to_verify, search_notes
from search_cluster.scan.progress import holds_scan
from search_cluster.search.questions import Questions
from search_cluster.search.record_gate import RecordGate
from search_cluster.search.search_plan import preset_for_task
from search_cluster.task_spec import read_spec
from search_cluster.tasks.example import Example
from search_cluster.tasks.kept import keep_tasks, spec_if_gone
from search_cluster.tasks.registry import absolute_spec, get_task
from search_cluster.telemetry.metrics import EverySecond, RunMetrics
from search_cluster.telemetry.price import cost_figures, price_of, priced
from search_cluster.telemetry.progress import ProgressReporter
from search_cluster.telemetry.run_counters import RunCounters, used_figures
from search_cluster.telemetry.sessions import SessionLog
from search_cluster.trackers import open_trackers, tracker_names

logger = logging.getLogger(__name__)


def run_search(config: SearchConfig) -> dict[str, Any]:
    """Search every example and finish the corpus in ``config.run``; what ``search --json`` reports.

    Running it again on the same folder resumes: verdicts of finished shards and of the cache are
    not computed again.

    Raises:
        SearchClusterError: settings, data, model, server or cluster are not as they must be; the
            message says how.
        KeyboardInterrupt: what was found so far is on disk, and running it again resumes.
    """
    started = datetime.now(UTC)
    started_s = time.perf_counter()
    require_usable_url(config.redis_url)  # before the model is loaded, which takes a while
    reports_to = tracker_names(config.report_to)
    price = price_of(config.price_per_gpu_hour, config.currency)
    if config.preset is not None:
        preset_with_settings(config.preset, config)  # so is a preset that can't be
    config = with_hub_folders(config)
    prior = read_depth_prior(config.depth_prior)
    config = config.overridden({"task": spec_if_gone(config.task, config.run)})
    task = get_task(config.task)
    asked = load_examples(config, task)
    questions = Questions(task, asked.split, asked.examples, seed=config.seed)
    with ExitStack() as stack:
        # Before the model is loaded, which takes a while: a run folder has one writer.
        lock = stack.enter_context(locked_run_folder(config.run))
        if holds_scan(config.run):
            raise ConfigError(f"{config.run} holds a scan; a search has a folder of its own")
        begun = provenance_so_far(config.run)
        if begun is not None and begun.chat and config.chat == "auto":
            config = config.overridden({"chat": begun.chat})
        preset = preset_for_task(preset_of_run(config, len(asked.examples), len(asked.split)), task)
        preset = with_depth_prior(preset, prior, config.study)
        if preset.evidence is not None and not questions.can_verify(asked.examples):
            logger.warning("%s", nothing_to_verify(preset.name, task.name))
        scan = None if config.study is None else read_study(config.study, task, preset)
        tie_threshold = tie_threshold_of_run(begun)
        pool = stack.enter_context(open_pool(config, tie_threshold=tie_threshold))
        if prior is not None:
            prior.require_of(pool.info.model)
        context = context_of_run(task, pool.info, begun, asked.examples)
        provenance = provenance_of(
            config,
            task,
            preset,
            pool.info,
            context,
            started,
            study="" if scan is None else scan.result.digest,
            depth_prior="" if prior is None else prior.digest,
        )
        writer = stack.enter_context(
            CorpusWriter(
                config.run, provenance, examples_per_shard=config.examples_per_shard, lock=lock
            )
        )
        require_same_examples(config, asked, writer.written_ids)
        write_malformed(config.run, asked.malformed)
        keep_tasks([config.task], config.run)
        known = {record.example.example_id: record.evaluated for record in read_shards(config.run)}
        job = SearchJob(
            task=absolute_spec(config.task),
            pool=asked.split if preset.evidence is not None else (),
            num_layers=pool.info.num_layers,
            preset=preset,
            seed=config.seed,
            context=context,
            redis_url=config.redis_url,
            run_dir=config.run,
            shards=ShardSettings(
                provenance=provenance, examples_per_shard=config.examples_per_shard
            ),
            studied=None
            if scan is None
            else scan.studied(task, preset, pool.info.model, asked.examples, config.data_dir),
        )
        probes: tuple[Example, ...] = ()
        if preset.study is not None and scan is None:
            probes = questions.probes(preset.study.max_probes)
        driver = stack.enter_context(open_driver(config, job, pool, asked.examples, probes, known))
        trackers = stack.enter_context(open_trackers(reports_to, config.run, asdict(config)))
        sessions = SessionLog(
            config.run,
            started.strftime("%Y%m%dT%H%M%S.%f"),
            trackers=trackers,
            price=price,
        )
        metrics = RunMetrics(open_exporter(config), run=str(config.run), price=price)

        def counters(stats: EvaluatorStats) -> RunCounters:
            return RunCounters.of(
                driver.progress(),
                stats,
                elapsed_s=time.perf_counter() - started_s,
                started_at=started.isoformat(),
            )

        def report(force: bool = False) -> EvaluatorStats:
            stats = driver.stats()
            values = counters(stats)
            sessions.update(values, stats.workers, force=force)
            metrics.update(values, stats)
            return stats

        try:
            keeper = FoundKeeper(RecordGate(asked.examples), writer, metrics)
            _step_through(config, driver, keeper, report)
        finally:
            report(force=True)
        found = summarise(read_shards(config.run), provenance.costs)
        ended = counters(driver.stats()).to_json()
        paid = used_figures(ended) | cost_figures(priced([ended], price))
        for note in (*search_notes(found, provenance), *cut_notes(ended)):
            logger.warning("%s", note)
        summary = found_figures(found) | ended | paid | {"malformed_rows": len(asked.malformed)}
        trackers.log(summary)
        manifest = writer.close({key: value for key, value in summary.items() if value is not None})
    return search_result(
        config,
        task,
        manifest,
        summary
        | {
            "plain_is_guessing": found.plain_is_guessing,
            "verdicts_waiting": num_waiting(config.run, context),
        },
    )


def _step_through(
    config: SearchConfig,
    driver: Driver,
    keeper: FoundKeeper,
    report: Callable[[], EvaluatorStats],
) -> None:
    """Search to the end; an interrupt leaves every finished example on disk."""
    every_second = EverySecond()
    with ProgressReporter(
        driver.progress().num_examples, f"searching {read_spec(config.task).label}"
    ) as reporter:
        try:
            while driver.busy:
                for found in driver.step():
                    keeper.take(found)
                progress = driver.progress()
                reporter.study(progress.study_budget)
                reporter.update(
                    progress.num_examples_done,
                    progress.num_paths_searched,
                    progress.num_cache_hits,
                    progress.num_failures,
                )
                if every_second.due():
                    reporter.wait_for(report().num_elsewhere)
        finally:
            keeper.close(driver)
