"""How a folder on the hub is named: ``hub:org/name``, or ``hub:org/name@revision``.

Such a name stands wherever a folder of ours is read. What is written to lies on this machine.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from search_cluster.errors import ConfigError
from search_cluster.task_spec import HUB_PREFIX

_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


class FolderKind(StrEnum):
    """What a folder of ours holds, in words."""

    ROUTER = "router"
    BRIDGES = "set of bridges"
    LENS = "lens"
    SCAN = "scan"
    CORPUS = "corpus"
    STUDY = "depth study"


FOUND = (FolderKind.CORPUS, FolderKind.SCAN, FolderKind.STUDY)
"""What a report is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSpec:
    """A repository of the hub, and which state of it."""

    repository: str
    """``org/name``."""
    revision: str | None = None
    """A branch, tag or commit; ``None``: the main branch."""

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a commit, which never changes what it holds."""
        return self.revision is not None and bool(_COMMIT.fullmatch(self.revision))

    @property
    def name(self) -> str:
        """The repository's name without its owner."""
        return self.repository.partition("/")[2]

    def __str__(self) -> str:
        """The text that gives this spec again."""
        return f"{HUB_PREFIX}{self.repository}{f'@{self.revision}' if self.revision else ''}"


def is_hub_spec(named: str | Path | None) -> bool:
    """Whether a user's words name a folder on the hub."""
    return named is not None and str(named).startswith(HUB_PREFIX)


def read_hub_spec(text: str) -> HubSpec:
    """A spec taken apart.

    Raises:
        ConfigError: it names no repository.
    """
    name, mark, revision = text.removeprefix(HUB_PREFIX).partition("@")
    require_repository(name, text)
    if mark and not revision:
        raise ConfigError(f"{text!r} has no revision behind @; name one, or leave @ out")
    return HubSpec(repository=name, revision=revision or None)


def is_repository(name: str) -> bool:
    """Whether a text has the form of a repository's name."""
    return bool(_NAME.fullmatch(name))


def require_repository(name: str, said: str) -> None:
    """Pass if a name is that of a repository; ``said`` is what a user wrote.

    Raises:
        ConfigError: it is not.
    """
    if not is_repository(name):
        raise ConfigError(
            f"{said!r} names no repository; give ORG/NAME, as in {HUB_PREFIX}org/name@revision"
            if said.startswith(HUB_PREFIX)
            else f"{said!r} is no repository name; give ORG/NAME"
        )


def require_local(named: str | Path | None, what: str) -> None:
    """Pass if something that is written to, or is no folder of ours, is not named on the hub.

    Args:
        named: what a user wrote.
        what: the flag or the setting.

    Raises:
        ConfigError: it is; the message says how to copy it.
    """
    if is_hub_spec(named):
        spec = read_hub_spec(str(named))
        revision = f" --revision {spec.revision}" if spec.revision else ""
        raise ConfigError(
            f"{what} is {named}, and has to lie on this machine; copy it first: hf download "
            f"{spec.repository}{revision} --local-dir {spec.name} (of a data set with --repo-type "
            f"dataset), and name {spec.name}"
        )
