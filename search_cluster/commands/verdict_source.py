"""Verdicts of a finished search or scan, and what it takes to compute them again."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from search_cluster.commands.provenance import tie_threshold_of_run
from search_cluster.commands.scan.scanned import (
    require_known,
    require_scanned_model,
    task_of_scan,
)
from search_cluster.corpus.manifest import require_same_model
from search_cluster.corpus.reader import Corpus, read_corpus
from search_cluster.corpus.task import task_of_corpus
from search_cluster.driver.pools import verdict_context
from search_cluster.errors import ConfigError, CorpusError
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.kernels import kernels_of
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.progress import holds_scan
from search_cluster.scan.questions import questions_by_id
from search_cluster.scan.result import ScanResult
from search_cluster.scan.result_file import is_finished, read_result
from search_cluster.scan.table import SCAN_TABLE_NAME, ScanTable, read_scan_table
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.messages import WorkerInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownVerdict:
    """A path's verdict on a question, with the task that asks it."""

    task: Task
    example: Example
    path: LayerPath
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedModel:
    """The model that was asked, as the run names it."""

    spec: str
    dtype: str
    chat: str
    """``always``, ``never`` or ``auto``."""


class VerdictSource(Protocol):
    """A run folder with verdicts."""

    @property
    def digest(self) -> str:
        """That of its corpus, or of the scan."""
        ...

    @property
    def model(self) -> AskedModel:
        """The model that was asked."""
        ...

    @property
    def verdicts(self) -> tuple[KnownVerdict, ...]:
        """All of them, in an order of their own."""
        ...

    def require_model(self, loaded: LoadedModel) -> None:
        """Pass if that is the model.

        Raises:
            ConfigError: it is not.
        """
        ...

    def tie_threshold(self, loaded: LoadedModel) -> float | None:
        """The gap up to which an engine must recompute to say the same; ``None``: it must not.

        Raises:
            ConfigError: arithmetic here rounds otherwise than that of the run.
        """
        ...


def verdict_source(run: Path, task: str | None, data_dir: Path | None) -> VerdictSource:
    """The verdicts of a finished search or scan.

    Args:
        run: its folder.
        task: the task's file, if its name alone does not find it.
        data_dir: where the task's data is, which a scan's questions are read from.

    Raises:
        ConfigError: the task is not the one that was asked.
        CorpusError: it is unfinished, damaged, or neither of both.
        TaskError: the task is not known, or can't be read.
    """
    if not holds_scan(run):
        return _CorpusVerdicts(read_corpus(run), run, task)
    if not is_finished(run):
        raise CorpusError(
            f"the scan in {run} is unfinished; run the same scan again, which goes on with it"
        )
    return _ScanVerdicts(
        read_result(run), read_scan_table(run / SCAN_TABLE_NAME), run, task, data_dir
    )


class _CorpusVerdicts:
    def __init__(self, corpus: Corpus, run: Path, task: str | None) -> None:
        self._provenance = provenance = corpus.manifest.provenance
        grader = task_of_corpus(provenance, task, run)
        self.digest = corpus.manifest.corpus_digest
        self.model = AskedModel(
            spec=provenance.model_spec, dtype=provenance.dtype, chat=provenance.chat or "auto"
        )
        self.verdicts = tuple(
            KnownVerdict(task=grader, example=record.example, path=item.path, verdict=item.verdict)
            for record in corpus.records
            for item in record.evaluated
        )

    def require_model(self, loaded: LoadedModel) -> None:
        require_same_model(self._provenance, loaded.spec, loaded.identity)

    def tie_threshold(self, loaded: LoadedModel) -> float | None:
        here, there = kernels_of(loaded.device, loaded.dtype), self._provenance.arithmetic
        if here != there:
            raise _rounds_otherwise(f"with {there}, this machine has {here}")
        return tie_threshold_of_run(self._provenance)


@dataclass(slots=True)
class _ScanVerdicts:
    result: ScanResult
    table: ScanTable
    run: Path
    spec: str | None
    data_dir: Path | None
    tasks: dict[str, Task] = field(init=False)
    verdicts: tuple[KnownVerdict, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.tasks = {name: self._task(name) for name in self.table.context.contexts}
        examples = self._examples()
        known, lost = [], []
        for row in self.table.in_order():
            if not isinstance(row.outcome, Verdict):
                continue
            if (example := examples.get(row.example_id)) is None:
                lost.append(row.task)
                continue
            task = self.tasks[row.task]
            known.append(
                KnownVerdict(task=task, example=example, path=row.path, verdict=row.outcome)
            )
        require_known(lost, len(known) + len(lost))
        self.verdicts = tuple(known)

    def _examples(self) -> dict[str, Example]:
        """All questions of the tasks, by their ids."""
        data_dir = resolve_data_dir(self.data_dir)
        return questions_by_id(self.tasks.values(), data_dir, self.result.seed)

    @property
    def digest(self) -> str:
        return self.result.digest

    @property
    def model(self) -> AskedModel:
        return AskedModel(
            spec=self.result.model, dtype=self.result.dtype, chat=self.result.chat or "auto"
        )

    def require_model(self, loaded: LoadedModel) -> None:
        require_scanned_model(self.result, loaded.identity, loaded.spec)

    def tie_threshold(self, loaded: LoadedModel) -> float | None:
        contexts = self.table.context.contexts
        tie_threshold = 0.0
        for name, task in self.tasks.items():
            tie_threshold = PathExecutor(loaded, task, max_state_bytes=0).tie_threshold
            info = WorkerInfo(
                model=loaded.identity,
                chat=loaded.chat,
                num_layers=loaded.num_layers,
                dtype=loaded.dtype,
                device=str(loaded.device),
                tie_threshold=tie_threshold,
                node="",
                arithmetic=kernels_of(loaded.device, loaded.dtype),
            )
            if verdict_context(task, info).namespace != contexts[name]:
                raise _rounds_otherwise("where verdicts were made otherwise than they are here")
        return tie_threshold or None  # at 0 an engine would still decide ties otherwise

    def _task(self, name: str) -> Task:
        spec = (self.spec or None) if len(self.table.context.contexts) == 1 else None
        return task_of_scan(name, self.run) if spec is None else get_task(spec)


def _rounds_otherwise(how: str) -> ConfigError:
    return ConfigError(
        f"the run was searched {how}, which rounds differently: verify it on such a machine, or "
        "with --reference materialised"
    )
