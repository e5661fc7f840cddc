"""The questions of a task, split by split, and which splits there are."""

from dataclasses import dataclass
from pathlib import Path

from search_cluster.errors import TaskError, UnreadableDataError
from search_cluster.tasks.task import SPLITS, LoadedExamples, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSplits:
    """What could be loaded of a task, and why the rest could not."""

    loaded: dict[str, LoadedExamples]
    """The splits that there are."""
    missing: dict[str, str]
    """Why there is no such split, for those that there are not."""


def load_splits(task: Task, data_dir: Path | None) -> TaskSplits:
    """All splits of a task.

    Raises:
        TaskError: there is none.
        UnreadableDataError: the data of one can't be read.
    """
    loaded: dict[str, LoadedExamples] = {}
    missing: dict[str, str] = {}
    for split in SPLITS:
        try:
            loaded[split] = task.load(split, data_dir)
        except UnreadableDataError:
            raise
        except TaskError as error:
            missing[split] = str(error)
    if not loaded:
        raise TaskError(next(iter(missing.values())))
    return TaskSplits(loaded=loaded, missing=missing)
