"""The tasks that a run folder keeps, so that no later command asks for their files again.

::

    RUN/tasks/NAME/kept.json      the task's name, its spec, digests of what it was made of
    RUN/tasks/NAME/rivers.toml    the file that describes it, and beside it
    RUN/tasks/NAME/rivers.jsonl   its rows, if they are no more than `MAX_COPIED_BYTES`

Built-in tasks need no keeping. A Python file is kept as text; as long as the original is unchanged
it is the one that runs, since it may read files beside it.
"""

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_cluster.files import file_sha256, replaced_whole, write_text_whole
from search_cluster.tasks.registry import absolute_spec, get_task
from search_cluster.tasks.sources.kept_files import KeptFiles, kept_files

TASKS_FOLDER = "tasks"
"""Name in a run folder, and in a router's."""
KEPT_NAME = "kept.json"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTask:
    """What a folder knows of a task that it keeps."""

    name: str
    """The task's name."""
    spec: str
    """How it was named, with absolute paths."""
    file: str
    """The kept file that describes it."""
    digest: str
    """The digest of all that is kept."""
    originals: Mapping[str, str]
    """Digests of the files that it was made of, by absolute path."""

    def changed(self) -> list[str]:
        """The files it was made of that are there and not as they were."""
        return [
            path
            for path, digest in self.originals.items()
            if Path(path).is_file() and file_sha256(Path(path)) != digest
        ]

    @property
    def is_there(self) -> bool:
        """Whether all files that it was made of are there, changed or not."""
        return all(Path(path).is_file() for path in self.originals)


def keep_tasks(specs: Sequence[str], folder: Path) -> None:
    """Keep the tasks of a run in its folder, as the run asks them.

    What was kept of a task whose files changed since is replaced, with a warning: the caller has
    made sure that they still give all that the folder asked.

    Args:
        specs: how the tasks are named.
        folder: the run folder.

    Raises:
        TaskError: a task can't be found.
        CorpusError: the folder can't be written.
    """
    for spec in specs:
        task = get_task(spec)
        files = kept_files(spec, task)
        if files is None:
            continue
        known = read_kept(task.name, folder)
        if known is not None and known.digest == _digest_of(files):
            continue
        if known is not None:
            _logger.warning(
                "task %s is not what it was when %s was begun (%s), though what was asked is in "
                "it; the folder keeps it as it is now",
                *(task.name, folder, ", ".join(known.changed()) or f"it was {known.spec}"),
            )
        _write(task.name, absolute_spec(spec), files, _place(task.name, folder))


def _write(name: str, spec: str, files: KeptFiles, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for file, content in files.texts.items():
        write_text_whole(place / file, content)
    for file, source in files.copies.items():
        with replaced_whole(place / file) as temporary:
            shutil.copyfile(source, temporary)
    kept = {
        "name": name,
        "spec": spec,
        "file": files.main,
        "digest": _digest_of(files),
        "originals": {str(path): file_sha256(path) for path in files.originals},
    }
    write_text_whole(place / KEPT_NAME, json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def read_kept(name: str, folder: Path) -> KeptTask | None:
    """What a folder keeps of the task of that name; ``None`` if it keeps none, or a broken one."""
    kept = _read(_place(name, folder) / KEPT_NAME)
    return kept if kept is not None and kept.name == name else None


def _read(file: Path) -> KeptTask | None:
    try:
        values: Any = json.loads(file.read_text(encoding="utf-8"))
        return KeptTask(**values)
    except (OSError, ValueError, TypeError):
        return None


def spec_of_kept(name: str, *folders: Path) -> str:
    """How to find the task of that name: as the first of the folders keeps it, else by its name.

    A warning names files that changed since they were kept.
    """
    for folder in folders:
        kept = read_kept(name, folder)
        if kept is None:
            continue
        changed = kept.changed()
        if kept.file.endswith(".py") and kept.is_there and not changed:
            return kept.spec
        place = _place(name, folder) / kept.file
        if changed:
            _logger.warning(
                "%s changed since; task %s is taken as it was, from %s",
                *(" and ".join(changed), name, place),
            )
        return str(place)
    return name


def spec_if_gone(spec: str, folder: Path) -> str:
    """A spec whose file is gone, as the folder keeps it; any other as it is."""
    for file in sorted((folder / TASKS_FOLDER).glob(f"*/{KEPT_NAME}")):
        kept = _read(file)
        if kept is None or kept.spec != absolute_spec(spec):
            continue
        if not kept.is_there:
            return str(file.parent / kept.file)
    return spec


def copy_kept(source: Path, target: Path) -> None:
    """Let a folder keep the tasks that another one keeps, such as a router those of its corpus."""
    for kept in sorted((source / TASKS_FOLDER).glob(f"*/{KEPT_NAME}")):
        place = target / TASKS_FOLDER / kept.parent.name
        place.mkdir(parents=True, exist_ok=True)
        others = sorted(path for path in kept.parent.iterdir() if path.is_file() and path != kept)
        for file in (*others, kept):
            with replaced_whole(place / file.name) as temporary:
                shutil.copyfile(file, temporary)


def _place(name: str, folder: Path) -> Path:
    return folder / TASKS_FOLDER / re.sub(r"[^\w.-]+", "_", name)


def _digest_of(files: KeptFiles) -> str:
    digests = {name: _digest(text) for name, text in files.texts.items()}
    digests |= {name: file_sha256(path) for name, path in files.copies.items()}
    return _digest(json.dumps(sorted(digests.items())))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
