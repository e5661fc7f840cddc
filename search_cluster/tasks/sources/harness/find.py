"""A task of the harness by its name: the file that describes it.

The harness parses all of its 14,000 files to know their names. Here their texts are searched, which
takes a small part of that time.
"""

import importlib.util
import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from search_cluster.errors import TaskError, did_you_mean
from search_cluster.extras import install_command
from search_cluster.task_spec import HARNESS_SUFFIXES

PACKAGE = "lm_eval"
EXTRA = "lm-eval"
_NAMED = re.compile(
    rb"^[\"']?(task|group|tag)[\"']?[ \t]*:[ \t]*[\"']?([^\s\"'#\[]+)", re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFiles:
    """What a folder's task files are called."""

    tasks: dict[str, Path]
    """The file of each task."""
    groups: frozenset[str]
    """Names of several tasks together."""


def harness_folder() -> Path:
    """The folder of the installed package.

    Raises:
        TaskError: it is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise TaskError(f"tasks of EleutherAI's harness need its package: {install_command(EXTRA)}")
    return Path(next(iter(found.submodule_search_locations)))


def find_task_file(name: str, include_path: Path | None) -> Path:
    """The file that describes the harness' task of that name.

    Args:
        name: the task's name; or the path of a task file.
        include_path: a folder of task files, which come before the harness' own.

    Raises:
        TaskError: there is no such task, it is a group of tasks, or the harness is not installed.
    """
    if name.endswith(HARNESS_SUFFIXES):
        return Path(name)
    folders = []
    if include_path is not None:
        if not include_path.is_dir():
            raise TaskError(
                f"--include-path {include_path} is no folder; name the one with the task files"
            )
        folders.append(named_files(include_path.absolute()))
        if name in folders[0].tasks:
            return folders[0].tasks[name]
    folders.append(_own_files(harness_folder() / "tasks"))
    if name in folders[-1].tasks:
        return folders[-1].tasks[name]
    every = sorted({task for found in folders for task in found.tasks})
    if any(name in found.groups for found in folders):
        members = sorted((task for task in every if task.startswith(name)), key=len)
        members = members or get_close_matches(name, every, n=3, cutoff=0.3)
        raise TaskError(
            f"{name!r} is a group of the harness' tasks, and a search has one: name one of them, "
            f"such as {', '.join(f'lm-eval:{task}' for task in members[:3])}"
        )
    raise TaskError(
        f"the harness knows no task {name!r}{did_you_mean(name, every, most=3)}; name one of its "
        "tasks, or a folder with task files by --include-path"
    )


@cache
def _own_files(folder: Path) -> NamedFiles:
    """The names of the installed harness, which do not change while we run."""
    return named_files(folder)


def named_files(folder: Path) -> NamedFiles:
    """The names in the task files of a folder and those below it."""
    tasks: dict[str, Path] = {}
    groups: set[str] = set()
    for file in sorted(path for path in folder.rglob("*") if path.suffix in HARNESS_SUFFIXES):
        for kind, name in _NAMED.findall(file.read_bytes()):
            if kind == b"task":
                tasks.setdefault(name.decode(errors="replace"), file)
            else:
                groups.add(name.decode(errors="replace"))
    return NamedFiles(tasks=tasks, groups=frozenset(groups - tasks.keys()))
