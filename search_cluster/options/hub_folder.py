"""Folders on the command line that may lie on the hub (``hub:org/name@revision``).

`FromHub` stands in the ``Annotated`` of a parameter, or in a field's metadata under `HUB`. Every
other path of a command has to lie on this machine: it is written to, or it is no folder of ours.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from search_cluster.hub.folders import local_folder, pinned_folder
from search_cluster.hub_spec import FolderKind, is_hub_spec, require_local
from search_cluster.options.task_source import flags_of

HUB = "hub"
"""The key of a field's metadata whose value is a `FolderKind`: the name stays, with a commit."""


@dataclass(frozen=True, slots=True)
class FromHub:
    """Marks a parameter that may name a folder on the hub."""

    kinds: tuple[FolderKind, ...]
    """What the folder may hold."""
    stays: bool = False
    """Whether the command gets the name with the commit, and not the local copy."""


def take_hub_folders(values: dict[str, Any], parameters: Sequence[inspect.Parameter]) -> None:
    """Put local copies, or names with a commit, in the place of names of the hub.

    Args:
        values: what a command line set, by parameter.
        parameters: the command's.

    Raises:
        ConfigError: a path that has to lie on this machine is named on the hub.
        HubError: what is named is not there, or holds something else.
    """
    for parameter in parameters:
        value = values.get(parameter.name)
        marker = _marker(parameter)
        if isinstance(value, list) and marker is not None:
            values[parameter.name] = [_taken(item, marker) for item in value]
        elif marker is not None:
            values[parameter.name] = _taken(value, marker)
        elif isinstance(value, Path):
            require_local(value, next(iter(flags_of(parameter)), parameter.name))


def _marker(parameter: inspect.Parameter) -> FromHub | None:
    return next(
        (item for item in get_args(parameter.annotation) if isinstance(item, FromHub)), None
    )


def _taken(value: Any, marker: FromHub) -> Any:
    if not is_hub_spec(value):
        return value
    if not marker.stays:
        return type(value)(local_folder(value, *marker.kinds))
    return type(value)(pinned_folder(Path(value), *marker.kinds))
