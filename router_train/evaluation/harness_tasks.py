"""Tasks of EleutherAI's harness, looked at before a model is loaded for them.

The harness raises whatever Python raises where a task's file is wrong; here that becomes one line.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from lm_eval.tasks import TaskManager

from search_cluster.errors import ConfigError, SearchClusterError, TaskError, in_one_line
from search_cluster.model.loaded import LoadedModel
from search_cluster.tasks.sources.harness.find import find_task_file


@contextmanager
def harness_errors(what: str) -> Iterator[None]:
    """Turn what the harness raises into one line.

    Args:
        what: what the harness can't do then.

    Raises:
        ConfigError: whatever it raises that is no error of ours.
    """
    try:
        yield
    except SearchClusterError:
        raise
    except Exception as error:  # it has no errors of its own
        cause = f"{type(error).__name__}: {in_one_line(error)}"
        raise ConfigError(f"the harness can't {what}: {cause}; correct the task's file") from error


def require_tasks(
    names: Sequence[str], include_path: Path | None, *, num_fewshot: int | None
) -> TaskManager:
    """The harness' tasks, among which these can be loaded and have examples enough.

    Args:
        names: of tasks or groups.
        include_path: the folder of further task files.
        num_fewshot: examples in front of a question; ``None``: each task's own number.

    Raises:
        ConfigError: a task is unknown, its file is wrong, or it has too few examples.
    """
    if include_path is not None and not include_path.is_dir():
        raise ConfigError(
            f"--include-path {include_path} is no folder; name the one with the task files"
        )
    with harness_errors(f"read the task files in {include_path}"):
        manager = _manager(names, include_path)
        unknown = [name for name in names if not manager.match_tasks([name])]
    if unknown:
        raise ConfigError(
            f"the harness knows no task {', '.join(unknown)}; name its tasks, or a folder with "
            "task files by --include-path"
        )
    for name in names:
        with harness_errors(f"load the task {name}"):
            tasks = list(manager.load([name])["tasks"].values())
        for task in tasks:
            _require_examples(task, num_fewshot)
    return manager


def _manager(names: Sequence[str], include_path: Path | None) -> TaskManager:
    """The harness' tasks, if need be all of them.

    It reads each of its 14,000 files before it knows one name, so it is shown no more folders than
    those of the tasks, where a name is a task's.
    """
    try:
        folders = {str(find_task_file(name, include_path).absolute().parent) for name in names}
    except TaskError:  # a group of tasks, or nothing: the harness has the last word
        return TaskManager(include_path=None if include_path is None else str(include_path))
    return TaskManager(include_path=sorted(folders), include_defaults=False)


def _require_examples(task: Any, num_fewshot: int | None) -> None:
    own = task.config.num_fewshot
    num = own if num_fewshot is None or own == 0 else num_fewshot  # 0 of a task's own stays
    if not num:
        return
    with harness_errors(f"find examples for the task {task.config.task}"):
        most = len(list(islice(task.fewshot_docs(), num + 2)))
        # Where questions are examples, too, one of them is not shown: the one that is asked.
        asked_too = task.fewshot_cfg.split == task.config.test_split
    if num > (most := most - asked_too):
        raise ConfigError(
            f"num_fewshot is {num}; the task {task.config.task} has {most} examples to show: ask "
            "for no more"
        )


def require_chat_template(loaded: LoadedModel) -> None:
    """Pass if the harness can ask in the model's chat template.

    Raises:
        ConfigError: there is none, or none among several that is the one to use.
    """
    try:
        loaded.tokenizer.get_chat_template()
    except ValueError as error:
        raise ConfigError(
            f"--apply-chat-template asks in the chat template of model {loaded.spec!r}, which has "
            "none for that; leave the flag out"
        ) from error
