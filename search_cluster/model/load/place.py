"""Where a model lies that a user names: a folder, a GGUF file, or a commit on the hub."""

import os
from collections.abc import Callable
from pathlib import Path

from search_cluster.bridged_spec import DEMO_SPEC, split_spec
from search_cluster.errors import ModelError, UnreachableHubError
from search_cluster.model.load.demo import demo_model_dir
from search_cluster.model.load.hub import commit_of, download


def place_of(
    spec: str, revision: str | None, *, check: Callable[[Path], None] | None = None
) -> Path:
    """The folder or GGUF file that a spec names, downloaded or converted if that is needed.

    Args:
        spec: what `load_model` takes, without bridges.
        revision: the branch, tag or commit of a hub id.
        check: as `search_cluster.model.load.hub.download` takes it.

    Raises:
        ModelError: there is no such place; the message says what to do.
    """
    if spec == DEMO_SPEC:
        return demo_model_dir()
    return _local_place(spec) or download(spec, revision, check=check)


def pinned_revision(named: str, revision: str | None) -> str | None:
    """The commit that a branch or a tag means now, if a model comes from the hub.

    Whoever starts processes that load the model asks once and hands the commit on: a branch may
    move between two of them, and a thousand of them would ask the hub a thousand times.

    Args:
        named: what `load_model` takes; it need not be on this machine.
        revision: the branch, tag or commit of a hub id; that of another model stays as it is, and
            so does one that can't be looked up from here.

    Raises:
        ModelError: the hub has no such model or revision; the message says what to do.
    """
    spec, _ = split_spec(named)
    path = Path(spec)
    if spec == DEMO_SPEC or path.suffix == ".gguf" or _can_be_no_hub_id(spec) or path.exists():
        return revision
    try:
        return commit_of(spec, revision)
    except UnreachableHubError:  # those who load it may reach it, or have it
        return revision


def _can_be_no_hub_id(spec: str) -> bool:
    return not spec or spec.startswith(("/", ".", "~")) or spec.count("/") > 1


def _local_place(spec: str) -> Path | None:
    """The place of a model that is no hub id."""
    if not spec:
        raise ModelError("model is ''; give a folder, a .gguf file, a hub id or 'demo'")
    path = Path(os.path.expanduser(spec))  # noqa: PTH111 - the other one raises for no such user
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelError(f"model {spec!r}: there is no such GGUF file; check the path")
        return path
    if path.is_dir():
        return path
    if path.is_file():
        raise ModelError(
            f"model {spec!r} is a file; give the folder around it, a .gguf file, a hub id or 'demo'"
        )
    if _can_be_no_hub_id(spec):
        raise ModelError(
            f"model {spec!r}: there is no such folder; give a folder, a .gguf file, a hub id or "
            "'demo'"
        )
    return None
