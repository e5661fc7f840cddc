"""The task that a corpus was searched with, found again by its name or its file."""

from pathlib import Path

from search_cluster.corpus.manifest import Provenance, require_same_task
from search_cluster.errors import TaskError
from search_cluster.tasks.kept import spec_of_kept
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.task import Task


def task_of_corpus(provenance: Provenance, spec: str | None, run: Path) -> Task:
    """The task, in the version that the corpus was searched with.

    Args:
        provenance: the provenance of the corpus.
        spec: the task's name or file; ``None`` takes what the corpus keeps of it, else its name.
        run: the corpus' folder.

    Raises:
        TaskError: there is no such task.
        ConfigError: it asks or grades otherwise than when the corpus was searched.
    """
    try:
        task = get_task(spec or spec_of_kept(provenance.task, run))
    except TaskError as error:
        if spec is not None:
            raise
        raise task_file_needed("the corpus was searched", provenance.task) from error
    require_same_task(provenance, task.name, task.version)
    return task


def task_file_needed(done: str, name: str) -> TaskError:
    """The error for a user's task of which only the name is known.

    ``done`` says what was done with the task.
    """
    return TaskError(
        f"{done} with task {name!r}, which is not built in; pass the .py or .toml file that the "
        "search was given: --task FILE"
    )
