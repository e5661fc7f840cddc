"""One search from its configuration to its corpus: wires the rooms together, knows no details of any."""

import importlib.metadata
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from search_cluster.cache.keys import VerdictContext
from search_cluster.cache.open import num_waiting, require_usable_url
from search_cluster.cluster.coordinators.settings import CoordinatorSettings
from search_cluster.config import RAY_NONE, SearchConfig
from search_cluster.corpus.manifest import Manifest, Provenance
from search_cluster.corpus.reader import read_shards
from search_cluster.corpus.summary import CorpusSummary, summarise
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.driver.cluster import drive_on_cluster
from search_cluster.driver.driver import Driver
from search_cluster.driver.job import Known, SearchJob
from search_cluster.driver.local import drive_here
from search_cluster.driver.pools import open_pool, verdict_context
from search_cluster.errors import ConfigError, TaskError
from search_cluster.files import write_text_whole
from search_cluster.lock import lock_run_folder
from search_cluster.protocols.metrics import MetricsExporter, NoExporter
from search_cluster.report.notes import search_notes
from search_cluster.search.questions import Questions
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import absolute_spec, get_task
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.task import LoadedExamples, MalformedRow, Task
from search_cluster.telemetry.metrics import EverySecond, RunMetrics
from search_cluster.telemetry.progress import ProgressReporter
from search_cluster.telemetry.run_counters import RunCounters
from search_cluster.telemetry.sessions import SessionLog
from search_cluster.tree.presets.registry import get_preset
from search_cluster.tree.settings import SearchPreset, with_score

if TYPE_CHECKING:
    from search_cluster.cluster.ray_pool import RayPool
    from search_cluster.workers.local_pool import LocalPool
    from search_cluster.workers.messages import WorkerInfo

logger = logging.getLogger(__name__)

MALFORMED_NAME = "malformed.jsonl"
"""Rows of the data set that were skipped, one JSON object a line, in the run folder."""


def run_search(config: SearchConfig) -> dict[str, Any]:
    """Search every example and finish the corpus in ``config.run``; what ``search --json`` reports.

    Running it again on the same folder resumes: verdicts of finished shards and of the cache are not computed again.

    Raises:
        SearchClusterError: settings, data, model, server or cluster are not as they must be; the message says how.
        KeyboardInterrupt: what was found so far is on disk, and running it again resumes.
    """
    started = datetime.now(UTC)
    started_s = time.perf_counter()
    require_usable_url(config.redis_url)  # before the model is loaded, which takes a while
    preset = _preset_of(config)
    task = get_task(config.task)
    loaded = _load_examples(config, task)
    examples = select_examples(loaded.examples, config.limit, config.seed)
    questions = Questions(task, loaded.examples, examples, seed=config.seed)
    with ExitStack() as stack:
        lock = lock_run_folder(config.run)  # before the model is loaded: a run folder has one writer
        stack.callback(os.close, lock)
        pool = stack.enter_context(open_pool(config))
        context = verdict_context(task, pool.info)
        provenance = _provenance(config, task, preset, pool.info, context, started)
        writer = stack.enter_context(
            CorpusWriter(config.run, provenance, examples_per_shard=config.examples_per_shard, lock=lock)
        )
        _require_same_examples(config, examples, writer.written_ids)
        _write_malformed(config, loaded.malformed)
        known = {record.example.example_id: record.evaluated for record in read_shards(config.run)}
        job = SearchJob(
            task=absolute_spec(config.task),
            pool=loaded.examples if preset.evidence is not None else (),
            num_layers=pool.info.num_layers,
            preset=preset,
            seed=config.seed,
            context=context,
            redis_url=config.redis_url,
            run_dir=config.run,
        )
        probes = questions.probes(preset.study.max_probes) if preset.study is not None else ()
        driver = stack.enter_context(_open_driver(config, job, pool, examples, probes, known))
        sessions = SessionLog(config.run, started.strftime("%Y%m%dT%H%M%S.%f"))
        metrics = RunMetrics(_open_exporter(config), run=str(config.run))

        def counters() -> RunCounters:
            return RunCounters.of(
                driver.progress(),
                driver.stats(),
                elapsed_s=time.perf_counter() - started_s,
                started_at=started.isoformat(),
            )

        def report(force: bool = False) -> None:
            values = counters()
            sessions.update(values, force=force)
            metrics.update(values, driver.stats())

        try:
            _step_through(config, driver, writer, metrics, report)
        finally:
            report(force=True)
        found = summarise(read_shards(config.run))
        for note in search_notes(found, provenance):
            logger.warning("%s", note)
        summary = _found(found) | counters().to_json() | {"malformed_rows": len(loaded.malformed)}
        manifest = writer.close({key: value for key, value in summary.items() if value is not None})
    return _report(config, task, manifest, summary | {"verdicts_waiting": num_waiting(config.run, context)})


def _open_driver(
    config: SearchConfig,
    job: SearchJob,
    pool: "LocalPool | RayPool",
    examples: Sequence[Example],
    probes: Sequence[Example],
    known: Known,
) -> AbstractContextManager[Driver]:
    if config.ray == RAY_NONE:
        return drive_here(job, pool, examples, probes=probes, known=known)
    if TYPE_CHECKING:
        assert isinstance(pool, RayPool)
    return drive_on_cluster(
        job,
        pool,
        examples,
        probes=probes,
        known=known,
        settings=CoordinatorSettings(
            num_coordinators=config.coordinators,
            requests_per_batch=config.requests_per_batch,
            placement_timeout_s=config.placement_timeout_s,
            coordinator_timeout_s=config.coordinator_timeout_s,
        ),
    )


def _step_through(
    config: SearchConfig,
    driver: Driver,
    writer: CorpusWriter,
    metrics: RunMetrics,
    report: Callable[[], None],
) -> None:
    """Search to the end; an interrupt leaves every finished example on disk."""
    every_second = EverySecond()
    with ProgressReporter(driver.progress().num_examples, f"searching {config.task}") as reporter:
        try:
            while driver.busy:
                for record in driver.step():
                    writer.add(record)
                    metrics.add_record(record)
                progress = driver.progress()
                reporter.update(
                    progress.num_examples_done,
                    progress.num_paths_searched,
                    progress.num_cache_hits,
                    progress.num_failures,
                )
                if every_second.due():
                    report()
                    reporter.wait_for(driver.stats().num_elsewhere)
        finally:
            writer.flush()


def _preset_of(config: SearchConfig) -> SearchPreset:
    preset = with_score(get_preset(config.preset), visit_total=config.visit_total, exploration=config.exploration)
    return replace(
        preset,
        budget=preset.budget if config.budget is None else config.budget,
        leaves_per_round=preset.leaves_per_round if config.leaves_per_round is None else config.leaves_per_round,
    )


def _load_examples(config: SearchConfig, task: Task) -> LoadedExamples:
    loaded = task.load(config.split, resolve_data_dir(config.data_dir))
    if not loaded.examples:
        raise TaskError(f"task {task.name} has no example in split {config.split!r}; choose another split")
    if loaded.malformed:
        first = loaded.malformed[0]
        logger.warning(
            "%d malformed rows were skipped, the first is %s: %s; all are listed in %s",
            len(loaded.malformed),
            first.source,
            first.reason,
            config.run / MALFORMED_NAME,
        )
    return loaded


def _require_same_examples(config: SearchConfig, examples: Sequence[Example], written_ids: Collection[str]) -> None:
    """Pass if every example that the run folder holds is still asked for: the data of a task is no setting.

    Raises:
        ConfigError: some are not; a corpus that mixed both would be nobody's.
    """
    gone = set(written_ids) - {example.example_id for example in examples}
    if gone:
        raise ConfigError(
            f"{config.run} holds {len(gone)} searched examples that task {config.task} does not give any more, such as "
            f"{min(gone)}: its data changed; restore the data, or choose another run folder"
        )


def _write_malformed(config: SearchConfig, malformed: tuple[MalformedRow, ...]) -> None:
    if malformed:
        rows = [json.dumps({"source": row.source, "reason": row.reason}, ensure_ascii=False) for row in malformed]
        write_text_whole(config.run / MALFORMED_NAME, "\n".join(rows) + "\n")


def _open_exporter(config: SearchConfig) -> MetricsExporter:
    """Where metrics go: to Ray's agents, if there is a Ray."""
    if config.ray == RAY_NONE:
        return NoExporter()
    from search_cluster.cluster.metrics import RayMetricsExporter

    return RayMetricsExporter()


def _provenance(
    config: SearchConfig,
    task: Task,
    preset: SearchPreset,
    info: "WorkerInfo",
    context: VerdictContext,
    started: datetime,
) -> Provenance:
    packages = ("search-cluster", "torch", "transformers")
    return Provenance(
        model_spec=config.model,
        model_fingerprint=info.model_fingerprint,
        num_layers=info.num_layers,
        dtype=info.dtype,
        task=task.name,
        task_version=task.version,
        split=config.split,
        preset=preset.name,
        seed=config.seed,
        budget=preset.budget,
        leaves_per_round=preset.leaves_per_round,
        visit_total=config.visit_total,
        exploration=config.exploration,
        evidence="" if preset.evidence is None else preset.evidence.describe(),
        limit=config.limit,
        verdict_context=context.namespace,
        versions={name: importlib.metadata.version(name) for name in packages} | {"python": platform.python_version()},
        created_at=started.isoformat(),
    )


def _found(summary: CorpusSummary) -> dict[str, Any]:
    return {
        "examples": summary.examples,
        "identity_accuracy": summary.identity_accuracy,
        "found_accuracy": summary.found_accuracy,
        "mean_layers_saved": summary.mean_layers_saved,
        "mean_best_length": summary.mean_best_length,
        "improved_examples": summary.improved,
    }


def _report(config: SearchConfig, task: Task, manifest: Manifest, summary: dict[str, Any]) -> dict[str, Any]:
    return {
        "task": task.name,
        "split": config.split,
        "preset": manifest.provenance.preset,
        "budget": manifest.provenance.budget,
        "seed": config.seed,
        "model": config.model,
        "num_layers": manifest.provenance.num_layers,
        "run": str(config.run),
        **summary,
        "corpus_digest": manifest.corpus_digest,
    }
