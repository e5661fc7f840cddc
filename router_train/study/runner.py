"""Where the study works: a folder with corpora, routers, verdicts and finished rows.

Everything in it can be made again from the kept corpora; what is there already is not made again.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from router_train.data.path_table import read_table
from router_train.routers.checkpoint import RouterMeta, installed_versions
from router_train.study.experiments import Experiment, plan
from router_train.study.judging import judge
from router_train.study.reproduction import commands_of
from router_train.study.result import (
    ELSEWHERE_SUFFIX,
    Result,
    ResultInputs,
    read_result,
    write_result,
)
from router_train.study.textless import read_provenance, restore_corpus
from router_train.training.fit import fit
from search_cluster.corpus.manifest import Manifest
from search_cluster.corpus.reader import Corpus, read_corpus
from search_cluster.errors import ConfigError
from search_cluster.model.load.loading import load_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.tasks.benchmarks.source import BenchmarkSource
from search_cluster.tasks.data_dir import DATA_DIR_VARIABLE
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.task import SPLITS, Task

KEPT_FOLDER = Path(__file__).parent / "corpora"
"""The kept corpora that the repository carries."""
ELSEWHERE = {"truthfulqa_mc1": SPLITS, "mmlu": SPLITS, "sst2": ("test",)}
"""Tasks on which the chosen routers are judged without having learned or been chosen there, and the
splits that are asked. Small ones are asked whole."""
LABELS_SUFFIX = "-labels"
"""The end of the name of a corpus' second copy, which lacks the path table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredCorpus:
    """A kept corpus with its texts."""

    name: str
    folder: Path
    corpus: Corpus
    task: Task
    table_digest: str
    """The digest of the path table; empty without one."""

    @property
    def manifest(self) -> Manifest:
        """The manifest of the corpus."""
        return self.corpus.manifest

    def plan(self) -> tuple[Experiment, ...]:
        """The experiments of the corpus."""
        provenance = self.manifest.provenance
        return plan(
            self.name,
            num_examples=self.manifest.num_examples,
            table=bool(self.table_digest),
            evidence=bool(provenance.evidence),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The questions on which rows are judged."""

    splits: tuple[str, ...]
    limit: int | None = None
    """The largest number of questions per split, for trying things out; ``None`` takes all."""
    seed: int = 0
    """The seed that draws which questions a limit takes."""


class StudyRunner:
    """A runner that restores corpora, trains routers and judges them. Not for several threads.

    Args:
        folder: the folder, which is created if it is missing and may be deleted at any time.
        kept: the folder of kept corpora.
        data_dir: the folder of local benchmark files; ``None`` takes the hub.
    """

    def __init__(
        self, folder: Path, *, kept: Path = KEPT_FOLDER, data_dir: Path | None = None
    ) -> None:
        self._folder, self._kept, self._data_dir = folder, kept, data_dir
        self._models: dict[tuple[str, str, str], LoadedModel] = {}

    @property
    def kept(self) -> Path:
        """The folder of the kept corpora."""
        return self._kept

    @property
    def corpus_names(self) -> tuple[str, ...]:
        """The names of the kept corpora, sorted."""
        return (
            tuple(sorted(path.name for path in self._kept.iterdir() if path.is_dir()))
            if self._kept.is_dir()
            else ()
        )

    def kept_bytes(self, name: str) -> int:
        """The number of bytes that a kept corpus takes in the repository."""
        return sum(file.stat().st_size for file in (self._kept / name).iterdir())

    @property
    def has_data(self) -> bool:
        """Whether the benchmarks' questions can be read."""
        return self._data_dir is not None

    def why_not(self, name: str) -> str:
        """The reason why the texts of a kept corpus can't be had here; empty if they can."""
        provenance = read_provenance(self._kept / name)
        task = get_task(provenance.task)
        if self._data_dir is None and isinstance(getattr(task, "source", None), BenchmarkSource):
            return (
                f"{name} is left out: the questions of {task.name} are not part of this "
                f"repository; name a folder with them by --data-dir or {DATA_DIR_VARIABLE}"
            )
        return ""

    def restore(self, name: str) -> RestoredCorpus:
        """A kept corpus with its texts, and beside it the same without the table.

        Raises:
            CorpusError: the kept corpus is missing or damaged.
            TaskError: its texts are not found.
        """
        kept = self._kept / name
        task = get_task(read_provenance(kept).task)
        folder = restore_corpus(kept, self._corpus_folder(name, table=True), task, self._data_dir)
        restore_corpus(
            kept, self._corpus_folder(name, table=False), task, self._data_dir, table=False
        )
        corpus = read_corpus(folder)
        table = read_table(folder, corpus)
        return RestoredCorpus(
            name=name,
            folder=folder,
            corpus=corpus,
            task=task,
            table_digest="" if table is None else table.digest,
        )

    def result(self, restored: RestoredCorpus, experiment: Experiment, terms: Terms) -> Result:
        """The row of an experiment.

        It is computed only where no finished one of the same inputs lies there.

        Raises:
            SearchClusterError: the router can't be trained, or the task's questions can't be read.
        """
        inputs = self._inputs(restored, experiment, terms)
        questions = {split: (restored.task, (split,)) for split in terms.splits}
        return self._finished(inputs, experiment, questions, terms)

    def finished(
        self, restored: RestoredCorpus, experiment: Experiment, terms: Terms
    ) -> Result | None:
        """The row of an experiment if it lies here, with the same inputs.

        Raises:
            ConfigError: the row's file is damaged.
        """
        return self._found(self._inputs(restored, experiment, terms))

    def result_elsewhere(
        self, restored: RestoredCorpus, experiment: Experiment, terms: Terms
    ) -> Result:
        """The row of the same router on the tasks of `ELSEWHERE` that are not its own.

        Its figures are per task.

        Raises:
            SearchClusterError: the router can't be trained, or a task's questions can't be read.
        """
        questions = {
            name: (get_task(name), splits)
            for name, splits in ELSEWHERE.items()
            if name != restored.task.name
        }
        inputs = replace(
            self._inputs(restored, experiment, terms),
            name=f"{experiment.name}{ELSEWHERE_SUFFIX}",
            splits=tuple(questions),
        )
        return self._finished(inputs, experiment, questions, terms)

    def _finished(
        self,
        inputs: ResultInputs,
        experiment: Experiment,
        questions: Mapping[str, tuple[Task, Sequence[str]]],
        terms: Terms,
    ) -> Result:
        """The row on disk if it has these inputs, else a new one.

        ``questions`` gives the names by which figures are called.
        """
        if (found := self._found(inputs)) is not None:
            return found
        started_s = time.perf_counter()
        corpus_folder = self._corpus_folder(experiment.corpus, table=experiment.table)
        router_folder = self._folder / "routers" / experiment.corpus / experiment.name
        meta = self._train(corpus_folder, router_folder, experiment)
        figures = {
            name: judge(
                self._load(meta.model_spec, meta.model_dtype, meta.chat),
                task,
                self._examples(task, splits, terms),
                router_folder,
                meta,
                verdicts=self._folder / "verdicts.sqlite",
                oracle=experiment.oracle,
            )
            for name, (task, splits) in questions.items()
        }
        result = Result(
            inputs=inputs,
            num_train=meta.num_train,
            metrics=meta.metrics,
            figures=figures,
            commands=commands_of(
                experiment,
                questions.values(),
                limit=terms.limit,
                seed=terms.seed,
                corpus_folder=corpus_folder,
                router_folder=router_folder,
            ),
            seconds=time.perf_counter() - started_s,
            versions=installed_versions(),
        )
        write_result(self._file(inputs), result)
        return result

    def _found(self, inputs: ResultInputs) -> Result | None:
        found = read_result(self._file(inputs))
        return found if found is not None and found.inputs == inputs else None

    def _file(self, inputs: ResultInputs) -> Path:
        return self._folder / "results" / inputs.corpus / f"{inputs.name}.json"

    def _corpus_folder(self, name: str, *, table: bool) -> Path:
        return self._folder / "corpora" / (name if table else f"{name}{LABELS_SUFFIX}")

    def _inputs(
        self, restored: RestoredCorpus, experiment: Experiment, terms: Terms
    ) -> ResultInputs:
        provenance = restored.manifest.provenance
        return ResultInputs(
            corpus=experiment.corpus,
            name=experiment.name,
            config=experiment.config,
            table=experiment.table,
            oracle=experiment.oracle,
            task=provenance.task,
            task_version=provenance.task_version,
            model_fingerprint=provenance.model_fingerprint,
            corpus_digest=restored.manifest.corpus_digest,
            table_digest=restored.table_digest if experiment.table else "",
            limit=terms.limit,
            splits=terms.splits,
        )

    def _train(
        self, corpus_folder: Path, router_folder: Path, experiment: Experiment
    ) -> RouterMeta:
        def train(*, force: bool) -> RouterMeta:
            config = experiment.config
            return fit(
                corpus_folder, router_folder, config, self._load, task_spec=None, force=force
            ).meta

        try:
            return train(force=False)
        except ConfigError:  # of another corpus, or of other settings: an earlier study's
            return train(force=True)

    def _examples(self, task: Task, splits: Sequence[str], terms: Terms) -> tuple[Example, ...]:
        found = [
            example for split in splits for example in task.load(split, self._data_dir).examples
        ]
        return select_examples(found, terms.limit, terms.seed)

    def _load(self, spec: str, dtype: str, chat: str) -> LoadedModel:
        if (key := (spec, dtype, chat or "auto")) not in self._models:
            self._models[key] = load_model(spec, dtype=dtype, chat=key[2])
        return self._models[key]
