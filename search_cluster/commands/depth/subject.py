"""What a study is about: a task by name, or the task and paths of a finished search or scan."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from search_cluster.console import say
from search_cluster.corpus.coverage import pick_menu
from search_cluster.corpus.manifest import MANIFEST_NAME
from search_cluster.corpus.reader import read_corpus
from search_cluster.corpus.task import task_of_corpus
from search_cluster.errors import ConfigError
from search_cluster.identity import ModelIdentity
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.result_file import is_finished, read_result
from search_cluster.scan.specs.layers import LAYERS_PREFIX
from search_cluster.scan.specs.reading import read_named
from search_cluster.tasks.kept import spec_of_kept
from search_cluster.tasks.registry import get_task, list_tasks
from search_cluster.tasks.task import Task

MAX_FOUND = 3
"""Paths of a folder that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finder:
    """The run whose paths are studied."""

    folder: Path
    spec: str
    """The model as the run names it, with its bridges if it has any."""
    dtype: str
    chat: str
    """As in `ScanResult`: empty for ``auto``."""
    model: ModelIdentity

    def require(self, model: ModelIdentity) -> None:
        """Pass if the paths were found for this model.

        Raises:
            ConfigError: they were found for another one.
        """
        if not model.is_known_as(self.model.fingerprint):
            raise ConfigError(
                f"--task {self.folder} is a run of model {self.spec} with the fingerprint "
                f"{self.model.fingerprint}, and this model has {model.fingerprint}"
                f"{model.differences(self.model.parts)}; pass --model {self.spec} --dtype "
                f"{self.dtype} --chat {self.chat or 'auto'}, or name a task with --task"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySubject:
    """A task, and paths as they were found."""

    task: Task
    found: tuple[str, ...] = ()
    """Paths of the folder, as `LayerPath` writes them, marked as such (``layers:0,5``)."""
    finder: Finder | None = None
    """Where they are from; ``None``: no folder is named."""


def subject_of(spec: str) -> StudySubject:
    """The task of that name or file, or the task and the best paths of a run folder.

    A task's name wins over a folder's.

    Raises:
        TaskError: there is no such task.
        CorpusError: the folder is unfinished or damaged.
    """
    folder = Path(spec)
    is_known = spec in {task.name for task in list_tasks()}
    if is_known or not folder.is_dir():  # a folder of a task's name stands for itself as ./NAME
        return StudySubject(task=get_task(spec))
    if is_finished(folder):
        result = read_result(folder)
        finalists = [item.summary.path for item in result.finalists]
        found = list(dict.fromkeys([result.chosen, *finalists]))
        task = get_task(spec_of_kept(result.tasks[0], folder))
        if len(result.tasks) > 1:
            say(
                f"depth: {folder} scanned the tasks {', '.join(result.tasks)}; {task.name}, the "
                "first, is studied: for another one name it with --task and the paths with --path"
            )
        return StudySubject(
            task=task,
            found=_marked(found[:MAX_FOUND]),
            finder=Finder(
                folder=folder,
                spec=result.model,
                dtype=result.dtype,
                chat=result.chat,
                model=ModelIdentity(fingerprint=result.model_fingerprint),
            ),
        )
    if (folder / MANIFEST_NAME).is_file():
        corpus = read_corpus(folder)
        provenance = corpus.manifest.provenance
        menu = pick_menu(corpus.records, num_layers=provenance.num_layers, size=MAX_FOUND + 1)
        return StudySubject(
            task=task_of_corpus(provenance, None, folder),
            found=_marked(str(choice.path) for choice in menu if not choice.path.is_identity),
            finder=Finder(
                folder=folder,
                spec=provenance.model_spec,
                dtype=provenance.dtype,
                chat=provenance.chat,
                model=ModelIdentity(
                    fingerprint=provenance.model_fingerprint, parts=provenance.model_parts
                ),
            ),
        )
    raise ConfigError(
        f"--task is {spec}, a folder without a finished search or scan; name a task, or a run "
        "folder whose search has ended"
    )


def paths_of(texts: Sequence[str], num_layers: int) -> tuple[LayerPath, ...]:
    """Paths of a model that are named or found, each once, the plain one left out.

    Raises:
        InvalidValueError: a text is no path of it.
    """
    paths = dict.fromkeys(read_named(text, num_layers) for text in texts)
    return tuple(path for path in paths if not path.is_identity)


def _marked(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{LAYERS_PREFIX}{path}" for path in paths)
