"""What a finished scan was made with, found again: its tasks, their questions, its model."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from search_cluster.corpus.task import task_file_needed
from search_cluster.errors import ConfigError, TaskError
from search_cluster.identity import ModelIdentity
from search_cluster.scan.questions import TaskQuestions
from search_cluster.scan.result import ScanResult
from search_cluster.scan.table import ScanTable
from search_cluster.tasks.kept import spec_of_kept
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.task import Task


def task_of_scan(name: str, run: Path) -> Task:
    """A task of a scan, as its folder keeps it, or by its name.

    Raises:
        TaskError: it can't be found.
    """
    try:
        return get_task(spec_of_kept(name, run))
    except TaskError as error:
        raise task_file_needed("the scan was made", name) from error


def require_scanned_model(result: ScanResult, model: ModelIdentity, spec: str) -> None:
    """Pass if a model is the one that was scanned.

    Raises:
        ConfigError: it is not; ``spec`` is how it was named.
    """
    if not model.is_known_as(result.model_fingerprint):
        raise ConfigError(
            f"the scan asked model {result.model} with the fingerprint "
            f"{result.model_fingerprint}, and {spec!r} has {model.fingerprint}; name the scanned "
            "one with --model"
        )


def require_same_questions(
    table: ScanTable, questions: Mapping[str, TaskQuestions], folder: Path, remedy: str
) -> None:
    """Pass if tasks still give every question of theirs that a scan has asked.

    The data of a task is no setting, so no other check notices that it is not the same.

    Args:
        table: what was asked.
        questions: all questions of each task, by its name.
        folder: the scan's.
        remedy: what to do about it, for the message.

    Raises:
        ConfigError: a task lacks some.
    """
    for name, of_task in questions.items():
        ids = {item.example_id for item in of_task.everything}
        asks_as = of_task.everything[0].task
        asked = {row.example_id for row in table.rows.values() if row.task == asks_as}
        if gone := asked - ids:
            raise ConfigError(
                f"{folder} scanned {len(asked)} questions of task {name}, and {len(gone)} of them, "
                f"such as {min(gone)}, are not in its data: it is not what was scanned; {remedy}"
            )


def require_known(lost: Iterable[str], num_asked: int) -> None:
    """Pass if the tasks still have all questions that were asked.

    Args:
        lost: the task of each verdict whose question they lack.
        num_asked: all verdicts.

    Raises:
        ConfigError: they do not.
    """
    tasks = list(lost)
    if tasks:
        raise ConfigError(
            f"{len(tasks)} of {num_asked} verdicts are of questions that task {tasks[0]} no longer "
            "has; name the data that was scanned with --data-dir or LPS_DATA_DIR"
        )
