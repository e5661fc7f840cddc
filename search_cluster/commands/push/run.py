"""Pushing a folder: what it is, what of it goes, its card."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search_cluster.commands.push.corpus_card import corpus_card
from search_cluster.commands.push.fitted_cards import bridges_card, lens_card
from search_cluster.commands.push.scan_card import scan_card
from search_cluster.commands.push.study_card import study_card
from search_cluster.console import say
from search_cluster.corpus.reader import read_corpus
from search_cluster.depth.result import read_depth_result
from search_cluster.errors import ConfigError
from search_cluster.hub.card import Card
from search_cluster.hub.choice import PushChoice
from search_cluster.hub.contents import local_names
from search_cluster.hub.kinds import described, kind_of
from search_cluster.hub.push import push_folder, require_token
from search_cluster.hub_spec import FolderKind, require_local
from search_cluster.model.bridge.folder import read_bridges_record
from search_cluster.model.lens.folder import PARAMS_NAME, SAFE_PARAMS_NAME, safe_params
from search_cluster.model.lens.record import RECORD_NAME, read_record
from search_cluster.scan.result_file import read_result
from search_cluster.scan.table import SCAN_TABLE_NAME, read_scan_table


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    card: Card
    made: Mapping[str, bytes] = field(default_factory=dict)
    """Files that are made for the push."""
    replaced: tuple[str, ...] = ()
    """Files in whose place they are."""


def push(folder: Path, choice: PushChoice) -> dict[str, Any]:
    """Put a folder on the hub, and say what went and what stayed; what ``--json`` reports.

    Raises:
        ConfigError: there is no token, or the folder holds nothing that can be pushed.
        CorpusError: what it holds is unfinished or damaged.
        HubError: the hub can't be reached, or refuses.
    """
    require_token(choice)
    require_local(folder, "DIR")
    names = local_names(folder)
    kind = kind_of([*names, SAFE_PARAMS_NAME] if PARAMS_NAME in names else names)
    if kind is FolderKind.ROUTER:
        raise ConfigError(
            f"{folder} holds a router; push it with router-train push {folder} --to "
            f"{choice.repository}"
        )
    if kind is None:
        raise ConfigError(
            f"{folder} {described(names)}; name the folder of a finished search, scan or depth "
            "study, of a lens or of bridges"
        )
    prepared = _prepared(folder, kind, choice.location)
    return push_folder(
        folder,
        choice,
        kind=kind,
        card=prepared.card,
        made=prepared.made,
        replaced=prepared.replaced,
    )


def _prepared(folder: Path, kind: FolderKind, location: str) -> _Prepared:
    """The folder's card, after all that can be checked of the folder was."""
    if kind is FolderKind.CORPUS:
        say("a corpus holds its questions, choices and gold answers")
        return _Prepared(card=corpus_card(folder, read_corpus(folder), location))
    if kind is FolderKind.SCAN:
        read_scan_table(folder / SCAN_TABLE_NAME)
        return _Prepared(card=scan_card(read_result(folder), location))
    if kind is FolderKind.STUDY:
        return _Prepared(card=study_card(read_depth_result(folder), location))
    if kind is FolderKind.BRIDGES:
        return _Prepared(card=bridges_card(read_bridges_record(folder), location))
    record = read_record(folder)
    if record is None:
        raise ConfigError(
            f"{folder} has no {RECORD_NAME}, so nothing is known of how its lens was fitted; push "
            "a lens of search-cluster lens fit"
        )
    # The hub's readers take no pickle, so the translators go as plain tensors.
    return _Prepared(
        card=lens_card(record, location),
        made={SAFE_PARAMS_NAME: safe_params(folder)},
        replaced=(PARAMS_NAME,),
    )
