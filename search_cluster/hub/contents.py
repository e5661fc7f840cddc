"""What of a folder goes to the hub, what stays, and what it says of this machine."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from search_cluster.errors import ConfigError
from search_cluster.hub.kinds import CARD_NAME, FILES, ROWS
from search_cluster.hub_spec import FolderKind

_PLACE = re.compile(r"(?:/|~/|[A-Za-z]:\\)[^\s/]*[^\s]*[/\\][^\s].*|file://.*")
"""A text that is a path from the root of a machine, or from somebody's home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Files of a folder, apart."""

    files: Mapping[str, Path | bytes]
    """What is pushed, by its name in the repository."""
    left_out: tuple[str, ...]
    """What stays, by its name at the top of the folder."""
    rows_left_out: bool
    """Whether rows that could be asked for are among it."""


def contents_of(
    folder: Path,
    kind: FolderKind,
    *,
    include_rows: bool,
    made: Mapping[str, bytes] | None = None,
    replaced: Collection[str] = (),
) -> Contents:
    """The files of a folder that make up its kind.

    Args:
        folder: of this machine.
        kind: what it holds.
        include_rows: whether rows of a user's task go along.
        made: files that are made for the push, by name.
        replaced: files of the folder in whose place others were made.
    """
    patterns = (*FILES[kind].all, *(ROWS if include_rows else ()))
    found = {name: path for path in _files(folder) if _is_of(name := _name(folder, path), patterns)}
    top = {Path(name).parts[0] for name in (*found, *(made or {}), *replaced)} | {CARD_NAME}
    stays = sorted(
        path.name
        for path in folder.iterdir()
        if path.name not in top and not path.name.startswith(".")
    )
    return Contents(
        files={**found, **(made or {})},
        left_out=tuple(stays),
        rows_left_out=not include_rows
        and any(_is_of(_name(folder, path), ROWS) for path in _files(folder)),
    )


def local_names(folder: Path) -> list[str]:
    """The names of a folder's files, relative to it.

    Raises:
        ConfigError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; name one that a command wrote")
    return [_name(folder, path) for path in _files(folder)]


def places_in(files: Mapping[str, Path | bytes]) -> list[str]:
    """Places of this machine that JSON files among these name, each once, with the file's name."""
    found: dict[str, None] = {}
    for name, content in files.items():
        if name.endswith(".json"):
            text = content if isinstance(content, bytes) else content.read_bytes()
            for place in _places(json.loads(text)):
                found.setdefault(f"{name}: {place}")
    return list(found)


def _places(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        # A model with bridges and a text file have a path behind other words.
        for part in re.split(r"\+bridges=|^text ", value):
            if _PLACE.fullmatch(part):
                yield part
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _places(key)
            yield from _places(item)
    elif isinstance(value, list):
        for item in value:
            yield from _places(item)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _is_of(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
