"""How a scan asks: its rows, its unfinished file, its counters, and what it says of itself."""

import time
from collections.abc import Sequence
from datetime import datetime

from search_cluster.commands.scan.job import ScanJob
from search_cluster.driver.open import open_exporter
from search_cluster.driver.trials import AnswerWatch, TrialRunner
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.counters import SearchProgress
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.protocols.messages import EvaluationResult, Failure
from search_cluster.protocols.rounds import Outcome, Trial
from search_cluster.scan.answers import AnswerTable
from search_cluster.scan.progress import ProgressLog, ScanProgress, ScanStage
from search_cluster.scan.questions import TRAIN
from search_cluster.scan.racing.race import ScanSearch
from search_cluster.scan.racing.searched import Searched
from search_cluster.scan.racing.summaries import summaries
from search_cluster.scan.result import CandidateSummary, Rung
from search_cluster.scan.table import ScanRow, ScanTable, keep_unfinished_scan
from search_cluster.tasks.example import Example
from search_cluster.telemetry.metrics import EverySecond, RunMetrics
from search_cluster.telemetry.price import price_of
from search_cluster.telemetry.progress import ProgressReporter
from search_cluster.telemetry.run_counters import RunCounters
from search_cluster.telemetry.sessions import SessionLog
from search_cluster.trackers import NO_TRACKERS, Trackers


class ScanAsking:
    """Evaluates what a scan asks for and keeps it; a context manager, used from one thread.

    However the block ends, what was answered is in the unfinished file.

    Args:
        job: what is scanned.
        evaluator: answers requests; stays the caller's to close.
        table: takes the rows.
        known: rows of earlier runs, which stay in the unfinished file.
        started: when the run began.
        trackers: who is told how it goes.
    """

    def __init__(
        self,
        job: ScanJob,
        evaluator: PathEvaluator,
        table: ScanTable,
        known: ScanTable,
        *,
        started: datetime,
        trackers: Trackers = NO_TRACKERS,
    ) -> None:
        self._job = job
        self._evaluator = evaluator
        self._table = table
        self._known = known
        self._num_later = job.num_later
        self._started = started
        self._started_s = time.perf_counter()
        self._runner = TrialRunner(evaluator, self._take)
        self._watch = AnswerWatch(len(job.everything))
        self._reporter = ProgressReporter(
            0, f"scanning {', '.join(job.tasks.names)}", unit="verdicts"
        )
        run = job.config.run
        price = price_of(job.config.price_per_gpu_hour, job.config.currency)
        self._sessions = SessionLog(
            run,
            started.strftime("%Y%m%dT%H%M%S.%f"),
            trackers=trackers,
            price=price,
        )
        self._metrics = RunMetrics(open_exporter(job.config), run=str(run), price=price)
        self._every_second = EverySecond()
        self._progress = ProgressLog(run)
        self._stage = ScanStage.RACE
        self._split = TRAIN
        self._step = 0
        self._num_questions = self._num_paths = 0
        self._round_done = self._round_wanted = 0
        self._num_done = self._num_wanted = 0
        self._num_cached = self._num_failures = 0
        self._num_candidates = 0
        self._rungs: tuple[Rung, ...] = ()
        self._best: CandidateSummary | None = None

    def __enter__(self) -> "ScanAsking":
        self._reporter.__enter__()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._reporter.__exit__(None, None, None)
        self.keep()
        self._report(force=True)

    def search(self, search: ScanSearch) -> Searched:
        """Run the search to its end.

        Raises:
            EvaluatorError: nobody is left to evaluate.
            OneFaultError: the questions fail for one reason.
        """
        while trials := search.next_round():
            self._num_wanted = max(search.num_planned, search.num_spent + len(trials))
            self._step, self._num_questions = search.step, search.num_asked
            search.observe(self._ask(trials))
            self._end_round(search.result())
        self._num_wanted = search.num_spent
        return search.result()

    def look(
        self,
        stage: ScanStage,
        split: str,
        questions: Sequence[Example],
        paths: Sequence[LayerPath],
        identity: LayerPath,
    ) -> AnswerTable:
        """The answers of the plain model and some paths to questions.

        Raises:
            EvaluatorError: nobody is left to evaluate.
            OneFaultError: the questions fail for one reason.
        """
        self._stage, self._split, self._num_questions = stage, split, len(questions)
        table = AnswerTable(questions, identity, self._job.tasks.facts(questions))
        trials = table.missing([identity, *paths], len(questions))
        self._num_wanted = max(self._num_wanted, self._num_done + len(trials))
        table.take(trials, self._ask(trials))
        self.keep()
        return table

    def announce(self, stage: ScanStage) -> None:
        """Say that the scan does something that asks for nothing."""
        self._stage, self._round_done, self._round_wanted = stage, 0, 0
        self._progress.update(self._now(), force=True)

    def end(self) -> None:
        """Note that nothing more is asked.

        Raises:
            OneFaultError: all questions failed for one reason.
        """
        self._watch.end()

    def keep(self) -> None:
        """Write all that is known into the unfinished file."""
        keep_unfinished_scan(self._job.config.run, self._table.with_rows_of(self._known))

    def _ask(self, trials: Sequence[Trial]) -> list[Outcome]:
        self._num_paths = len({path for _, path in trials})
        self._round_done, self._round_wanted = 0, len(trials)
        self._report(force=True)
        return self._runner.outcomes(trials)

    def _take(self, trial: Trial, result: EvaluationResult) -> None:
        example, path = trial
        self._watch.take(example, result)
        self._table.add(
            ScanRow(
                split=self._split,
                task=example.task,
                example_id=example.example_id,
                path=path,
                outcome=result.outcome,
            )
        )
        self._num_done += 1
        self._round_done += 1
        self._num_cached += result.from_cache
        self._num_failures += isinstance(result.outcome, Failure)
        self._reporter.expect(self._num_wanted + self._num_later)
        self._reporter.update(self._num_done, self._num_done, self._num_cached, self._num_failures)
        if self._every_second.due():
            self._reporter.wait_for(self._evaluator.stats().num_elsewhere)
            self._report()

    def _end_round(self, searched: Searched) -> None:
        """Say where all paths stand, and keep what was answered."""
        self._rungs = searched.rungs
        self._num_candidates = len(searched.candidates)
        found = summaries(searched)
        by_path = {item.path: item for item in found}
        self._best = (
            by_path.get(str(searched.finalists[0].path))
            if searched.finalists
            else max(found, key=lambda item: item.shrunk, default=None)
        )
        self._progress.end_round(self._now(), found)
        self.keep()

    def _now(self) -> ScanProgress:
        return ScanProgress(
            model=self._job.config.model_spec,
            tasks=self._job.tasks.names,
            num_layers=self._job.num_layers,
            seed=self._job.config.seed,
            stage=self._stage,
            step=self._step,
            num_questions=self._num_questions,
            num_paths=self._num_paths,
            verdicts_done=self._round_done,
            verdicts_wanted=self._round_wanted,
            verdicts=self._num_done,
            num_candidates=self._num_candidates,
            rungs=self._rungs,
            best=self._best,
        )

    def counters(self) -> RunCounters:
        """What this invocation delivered so far; a verdict counts as an example."""
        progress = SearchProgress(
            num_examples=self._num_wanted + self._num_later,
            num_examples_done=self._num_done,
            num_paths_searched=self._num_done,
            num_cache_hits=self._num_cached,
            num_failures=self._num_failures,
        )
        return RunCounters.of(
            progress,
            self._evaluator.stats(),
            elapsed_s=time.perf_counter() - self._started_s,
            started_at=self._started.isoformat(),
        )

    def _report(self, force: bool = False) -> None:
        values = self.counters()
        stats = self._evaluator.stats()
        self._sessions.update(values, stats.workers, force=force)
        self._metrics.update(values, stats)
        self._progress.update(self._now(), force=force)
