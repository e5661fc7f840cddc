"""Folders of ours that are read from the hub.

A revision is turned into a commit first, and the commit is said. What a folder of that kind is made
of is then downloaded into the cache of the hub's library, which serves it without a network, too.
"""

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.utils.tqdm import tqdm

from search_cluster.console import say
from search_cluster.errors import HubError
from search_cluster.hub.kinds import CARD_NAME, DATASET, FILES, MODEL, described, kind_of
from search_cluster.hub.troubles import UNANSWERED, hub_errors
from search_cluster.hub_spec import FolderKind, HubSpec


class _Bar(tqdm):
    """A progress bar that is quiet where nobody looks."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        quiet = not sys.stderr.isatty() or bool(settings.get("disable"))
        super().__init__(*args, **{**settings, "disable": quiet})  # type: ignore[no-untyped-call]


_said: set[str] = set()
"""What this process said of commits."""


def fetch(spec: HubSpec, kinds: Sequence[FolderKind], more: Sequence[str]) -> Path:
    """The local copy of a commit's files that make up a folder of one of the kinds.

    Raises:
        HubError: there is no such repository, it holds something else, or the hub can't be reached
            and there is no copy.
    """
    repo_type = FILES[kinds[0]].repo_type

    def fetched(*patterns: str) -> Path:
        return Path(
            snapshot_download(
                spec.repository,
                repo_type=repo_type,
                revision=spec.revision,
                allow_patterns=list(patterns),
                tqdm_class=_Bar,
            )
        )

    with _errors(spec):
        try:
            # The small files first: another data set of the same layout may be large.
            folder = fetched(*{FILES[kind].marks[0] for kind in kinds})
        except RepositoryNotFoundError:
            _refuse_other_type(spec, kinds, repo_type)
            raise
        marked = [kind for kind in kinds if (folder / FILES[kind].marks[0]).is_file()]
        for kind in marked:
            fetched(*FILES[kind].all, CARD_NAME, *more)
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    if not marked or kind_of(names) not in kinds:
        raise HubError(
            f"{spec} {_what_it_is(spec, repo_type, names)}; {_wanted(kinds)} is needed here"
        )
    return folder


def pin(spec: HubSpec, kinds: Sequence[FolderKind]) -> HubSpec:
    """A spec with the commit that its revision means now, which is said once.

    Raises:
        HubError: there is no such repository or revision, or the hub can't be reached and the
            revision was never looked up on this machine.
    """
    if spec.is_pinned:
        return spec
    repo_type = FILES[kinds[0]].repo_type
    with _errors(spec):
        try:
            found = HfApi().resolve_revision(
                spec.repository, repo_type=repo_type, revision=spec.revision
            )
        except RepositoryNotFoundError:
            _refuse_other_type(spec, kinds, repo_type)
            raise
    result = replace(spec, revision=str(found.resolved))
    line = f"{spec} is commit {result.revision}"
    if line not in _said:
        _said.add(line)
        say(line)
    return result


def _errors(spec: HubSpec) -> AbstractContextManager[None]:
    return hub_errors(str(spec), spec.revision, invalid="names no repository; give hub:ORG/NAME")


def _refuse_other_type(spec: HubSpec, kinds: Sequence[FolderKind], repo_type: str) -> None:
    """Say what is there, if it is a repository of the other type."""
    other = MODEL if repo_type == DATASET else DATASET
    try:
        names = HfApi().list_repo_files(spec.repository, repo_type=other, revision=spec.revision)
    except UNANSWERED:
        return
    called = "data set" if other == DATASET else other
    raise HubError(
        f"{spec} is a {called} on the hub that {described(names)}; {_wanted(kinds)} is needed here"
    )


def _what_it_is(spec: HubSpec, repo_type: str, names: Sequence[str]) -> str:
    """What a repository holds, by all of its files if the hub can be asked."""
    with suppress(*UNANSWERED):
        names = HfApi().list_repo_files(
            spec.repository, repo_type=repo_type, revision=spec.revision
        )
    return described(names)


def _wanted(kinds: Sequence[FolderKind]) -> str:
    return f"a {' or a '.join(kinds)}"
