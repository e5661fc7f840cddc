"""The files from which a task can be found again, whatever it was named by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search_cluster.errors import TaskError
from search_cluster.task_spec import HUB_PREFIX, read_spec
from search_cluster.tasks.sources.description import TaskDescription, toml_text
from search_cluster.tasks.sources.files import TABLES
from search_cluster.tasks.sources.harness.task import HarnessTask
from search_cluster.tasks.sources.harness.yaml_file import functions_of, task_file_text
from search_cluster.tasks.sources.rows_task import rows_description
from search_cluster.tasks.sources.toml_task import read_description
from search_cluster.tasks.task import Task

MAX_COPIED_BYTES = 64 * 2**20
"""Data files that are larger are not copied; what is kept names their place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFiles:
    """What stands for a task in another folder."""

    main: str
    """The file that describes the task."""
    texts: Mapping[str, str]
    """What each file says, by its name."""
    copies: Mapping[str, Path] = field(default_factory=dict)
    """Files that are copied, by the name of the copy."""
    originals: tuple[Path, ...] = ()
    """The files that the task was made of."""


def kept_files(spec: str, task: Task) -> KeptFiles | None:
    """What stands for the task of a spec; ``None`` for a task that its name finds everywhere.

    Raises:
        TaskError: a file can't be read.
    """
    read = read_spec(spec)
    if isinstance(task, HarnessTask):
        return _harness_files(task)
    if read.base.startswith(HUB_PREFIX) or read.suffix in TABLES:
        described = rows_description(read)
        return _described_files(described, Path.cwd(), (), f"{task.name}.toml")
    if read.suffix == ".toml":
        path = Path(read.base).absolute()
        return _described_files(read_description(path), path.parent, (path,), path.name)
    if read.suffix == ".py":
        path = Path(read.base).absolute()
        return KeptFiles(main=path.name, texts={path.name: _text(path)}, originals=(path,))
    return None


def _described_files(
    described: TaskDescription, folder: Path, originals: tuple[Path, ...], name: str
) -> KeptFiles:
    copies: dict[str, Path] = {}
    if not described.place.startswith(HUB_PREFIX):
        data = (folder / described.place).absolute()
        is_small = data.stat().st_size <= MAX_COPIED_BYTES
        place = data.name if is_small else str(data)
        described = described.model_copy(update={"data": None, "source": place})
        if is_small:
            copies[data.name] = data
            originals = (*originals, data)
    return KeptFiles(
        main=name, texts={name: toml_text(described)}, copies=copies, originals=originals
    )


def _harness_files(task: HarnessTask) -> KeptFiles:
    modules = {
        file.name: file
        for function in functions_of(dict(task.config))
        if (file := function.module_file) is not None
    }
    name = f"{task.file.stem}.yaml"
    config = {key: _absolute(key, value) for key, value in task.config.items()}
    return KeptFiles(
        main=name,
        texts={name: task_file_text(config)},
        copies=modules,
        originals=(task.file.absolute(), *modules.values()),
    )


def _absolute(key: str, value: Any) -> Any:
    """A key of a task file in which local data have absolute paths."""
    if key == "dataset_path" and Path(str(value)).is_dir():
        return str(Path(str(value)).absolute())
    if key == "dataset_kwargs" and isinstance(value, dict):
        return {name: _absolute_files(item) for name, item in value.items()}
    return value


def _absolute_files(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _absolute_files(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_absolute_files(item) for item in value]
    if isinstance(value, str) and Path(value).exists():
        return str(Path(value).absolute())
    return value


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path} can't be read ({error}); check its permissions") from error
