"""Routers and exports on the hub."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from router_train.export.evaluations import evaluations_of, read_evaluations
from router_train.export.hub_card import router_card
from router_train.routers.checkpoint import META_NAME, read_meta, require_weights
from search_cluster.console import say, show
from search_cluster.errors import ConfigError
from search_cluster.hub.choice import PushChoice
from search_cluster.hub.contents import local_names
from search_cluster.hub.folders import fetched_from
from search_cluster.hub.kinds import MODEL, described
from search_cluster.hub.push import push_files, push_folder, require_token
from search_cluster.hub_spec import FolderKind, require_local

_EXPORTED = "config.json"
"""An export has a description for transformers; a checkpoint has none."""


def push_router(
    folder: Path,
    choice: PushChoice,
    *,
    evaluations: Sequence[Path] = (),
    source: Path | None = None,
) -> dict[str, Any]:
    """Put a trained router on the hub, and say what went and what stayed.

    Args:
        folder: a finished checkpoint.
        choice: where to.
        evaluations: files for the card; empty: the one that its run keeps.
        source: the folder of the corpus or the scan that taught it, if it is known.

    Returns:
        What ``--json`` reports.

    Raises:
        ConfigError: there is no token, no finished router, or its evaluation is another's.
        HubError: the hub can't be reached, or refuses.
    """
    require_token(choice)
    require_local(folder, "DIR")
    names = local_names(folder)
    if META_NAME not in names:
        raise ConfigError(
            f"{folder} {described(names)}; router-train push takes a folder of router-train fit, "
            "search-cluster push takes corpora, scans, studies, lenses and bridges"
        )
    if _EXPORTED in names:
        raise ConfigError(
            f"{folder} is an export; put exports on the hub with router-train export --push-to-hub"
        )
    meta = read_meta(folder)
    require_weights(folder, meta)
    found = read_evaluations(
        evaluations or evaluations_of(folder), kind=meta.kind, digest=meta.digest, threshold=0.0
    )
    if not found:
        say("no evaluation of this router is known, so its card has no table of held-out questions")
    origin = None if source is None else fetched_from(source)
    card = router_card(
        meta,
        found,
        location=choice.location,
        dataset=None if origin is None else origin.repository,
    )
    return push_folder(folder, choice, kind=FolderKind.ROUTER, card=card)


def push_at_end(
    folder: Path, choice: PushChoice, *, source: Path, json_output: bool
) -> dict[str, Any]:
    """What a command that made a router adds to its result: ``hub``, if a push was asked for.

    Raises:
        SearchClusterError: it can't be pushed; the folder is complete.
    """
    if not choice.is_asked:
        return {}
    done = push_router(folder, choice, source=source)
    show(f"on the hub: {done['address']} at {done['commit']}", json_output=json_output)
    return {"hub": done}


def push_export(folder: Path, choice: PushChoice) -> str:
    """Upload an export, which was written whole for that, and return its address.

    Raises:
        ConfigError: the repository's name is none.
        HubError: the hub can't be reached, or refuses.
    """
    files = {name: folder / name for name in local_names(folder)}
    return push_files(files, choice, kind=None, repo_type=MODEL, folder=folder).address
