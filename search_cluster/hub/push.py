"""Folders of ours that are put on the hub, in one commit.

The token is the one of ``hf auth login`` or ``HF_TOKEN``; it is never shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HFValidationError

from search_cluster.console import say
from search_cluster.errors import ConfigError, HubError
from search_cluster.hub.card import Card, render_hub_card
from search_cluster.hub.choice import PushChoice
from search_cluster.hub.contents import Contents, contents_of, places_in
from search_cluster.hub.kinds import CARD_NAME, FILES, ROWS, described, kind_of
from search_cluster.hub.troubles import UNANSWERED
from search_cluster.hub_spec import FolderKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What is on the hub now."""

    address: str
    """Of the repository."""
    commit: str
    """The commit that was made, or the one that had it all already."""


def require_token(choice: PushChoice) -> None:
    """Pass, before any work is done, if nothing is pushed or there is a token.

    Raises:
        ConfigError: there is none.
    """
    if choice.is_asked and not get_token():
        raise ConfigError(
            f"pushing to {choice.repository} needs a token and there is none; run hf auth login, "
            "or set HF_TOKEN"
        )


def push_folder(
    folder: Path,
    choice: PushChoice,
    *,
    kind: FolderKind,
    card: Card,
    made: Mapping[str, bytes] | None = None,
    replaced: Sequence[str] = (),
) -> dict[str, Any]:
    """Put a folder of a kind on the hub, and say what went and what stayed.

    Args:
        folder: of this machine.
        choice: where to, and what goes along.
        kind: what it holds.
        card: what the repository's card says.
        made: files that are made for the push, by name.
        replaced: files of the folder in whose place others were made.

    Returns:
        What ``--json`` reports.

    Raises:
        ConfigError: the repository holds something else of ours.
        HubError: the hub can't be reached, or refuses.
    """
    contents = contents_of(
        folder, kind, include_rows=choice.include_rows, made=made, replaced=replaced
    )
    places = places_in(contents.files)
    for line in _notes(contents, places):
        say(line)
    repo_type = FILES[kind].repo_type
    text = render_hub_card(card, repo_type=repo_type, licence=choice.licence)
    done = push_files(
        {**contents.files, CARD_NAME: text.encode()},
        choice,
        kind=kind,
        repo_type=repo_type,
        folder=folder,
    )
    return {
        "kind": kind.value,
        "repository": choice.repository,
        "address": done.address,
        "commit": done.commit,
        "files": sorted([*contents.files, CARD_NAME]),
        "left_out": list(contents.left_out),
        "places_named": places,
    }


def _notes(contents: Contents, places: Sequence[str]) -> Iterator[str]:
    """What a user has to know before it goes."""
    if contents.left_out:
        asked = "; --include-rows takes rows along" if contents.rows_left_out else ""
        yield f"left out: {', '.join(contents.left_out)}{asked}"
    if places:
        yield f"what is pushed names places of this machine: {', '.join(places)}"


def push_files(
    files: Mapping[str, Path | bytes],
    to: PushChoice,
    *,
    kind: FolderKind | None,
    repo_type: str,
    folder: Path,
) -> Pushed:
    """Put files into a repository in one commit; what a former push of the kind left goes.

    Args:
        files: what is uploaded, by the name in the repository.
        to: where to.
        kind: what they are; ``None``: an export, of which nothing is taken away.
        repo_type: the type of the repository.
        folder: where they come from, for messages.

    Raises:
        ConfigError: the repository's name is none, or it holds something else of ours.
        HubError: the hub can't be reached, or refuses.
    """
    api = HfApi()
    try:
        api.create_repo(to.repository, repo_type=repo_type, private=to.private, exist_ok=True)
        names = api.list_repo_files(to.repository, repo_type=repo_type)
        there = kind_of(names)
        if kind is not None and there not in (None, kind):
            raise ConfigError(
                f"{to.repository} {described(names)}, and {folder} a {kind}; a repository holds "
                "one thing: give another name"
            )
        adds = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
            for name, content in files.items()
        ]
        gone = [
            CommitOperationDelete(path_in_repo=name)
            for name in names
            if kind is not None and name not in files and _is_of(kind, name)
        ]
        done = api.create_commit(
            to.repository,
            [*gone, *adds],
            repo_type=repo_type,
            commit_message=f"Push {folder.name}",
        )
    except HFValidationError as error:
        raise ConfigError(f"{to.repository!r} is no repository name; give ORG/NAME") from error
    except (*UNANSWERED, OSError) as error:
        raise HubError(
            f"{to.repository} can't be written ({type(error).__name__}); {folder} is complete: "
            "check the connection and that the token may write, then push it again"
        ) from error
    of_type = "" if repo_type == "model" else f"{repo_type}s/"
    return Pushed(address=f"{api.endpoint}/{of_type}{to.repository}", commit=str(done.oid))


def _is_of(kind: FolderKind, name: str) -> bool:
    patterns = (*FILES[kind].all, *ROWS, CARD_NAME)
    return any(fnmatchcase(name, pattern) for pattern in patterns)
