"""The folder that a user names, on this machine or on the hub.

The hub's library is imported only if it is asked for something.
"""

from collections.abc import Sequence
from pathlib import Path

from search_cluster.hub_spec import FolderKind, HubSpec, is_hub_spec, read_hub_spec

_fetched: dict[Path, HubSpec] = {}
"""Folders that this process took from the hub."""


def local_folder(named: str | Path, *kinds: FolderKind, more: Sequence[str] = ()) -> Path:
    """The folder that a user names: itself, or the local copy of what ``hub:`` names.

    Nobody writes into such a copy.

    Args:
        named: a folder, or a spec of the hub.
        kinds: what it may hold, all in repositories of one type.
        more: patterns of files to download besides.

    Raises:
        ConfigError: the spec names no repository.
        HubError: there is no such repository or revision, it holds something else, or the hub can't
            be reached and there is no copy.
    """
    if not is_hub_spec(named):
        return Path(named)
    from search_cluster.hub.fetch import fetch, pin  # huggingface_hub: a quarter of a second

    spec = pin(read_hub_spec(str(named)), kinds)
    folder = fetch(spec, kinds, more)
    _fetched[folder] = spec
    return folder


def pinned_folder(named: Path | None, *kinds: FolderKind) -> Path | None:
    """A folder's name that means the same everywhere: of the hub's, that with the commit.

    Raises:
        ConfigError: the spec names no repository.
        HubError: there is no such repository or revision, or the hub can't be reached and the
            revision was never looked up on this machine.
    """
    if named is None or not is_hub_spec(named):
        return named
    from search_cluster.hub.fetch import pin  # huggingface_hub: a quarter of a second

    return Path(str(pin(read_hub_spec(str(named)), kinds)))


def fetched_from(folder: Path) -> HubSpec | None:
    """Where this process took a folder from; ``None``: it is a folder of this machine."""
    return _fetched.get(folder)


def shown_folder(folder: Path) -> Path:
    """A folder as commands name it: one that was taken from the hub by its name there."""
    spec = fetched_from(folder)
    return folder if spec is None else Path(str(spec))
