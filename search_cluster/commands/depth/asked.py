"""What a depth study is asked for: its subject, its files, its sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search_cluster.config import SearchConfig
from search_cluster.depth.settings import DepthSettings
from search_cluster.errors import ConfigError
from search_cluster.files import content_digest

PARTS_VERSION = 2
"""Changes whenever the same plan would read other parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRequest:
    """A depth study as it is asked for."""

    config: SearchConfig
    """Model, data folder, split, seed."""
    settings: DepthSettings
    task: str
    """A task's name or file, or a run folder."""
    lens: str | None
    """A lens' folder, ``logit`` for none; ``None``: fit one."""
    text: Path | None
    """A text file; ``None``: the task's prompts."""
    pos: Path | None
    """A CoNLL-U file."""
    facts: Path | None
    """A file of facts."""
    paths: Sequence[str]
    """Paths to look at."""
    out: Path
    """The study's folder."""

    def plan(self, fingerprint: str, task: str, paths: Sequence[str]) -> Mapping[str, Any]:
        """All that the study's parts depend on, ready for JSON.

        Args:
            fingerprint: the model's.
            task: the task's name and version.
            paths: all paths of the study.
        """
        return {
            "parts": PARTS_VERSION,
            "model": fingerprint,
            "chat": self.config.chat,
            "task": task,
            "split": self.config.split,
            "seed": self.config.seed,
            "lens": self.lens,
            "text": _digest(self.text),
            "pos": _digest(self.pos),
            "facts": _digest(self.facts),
            "paths": list(paths),
            **asdict(self.settings),
        }


def _digest(path: Path | None) -> str | None:
    """What a file holds, in 16 hex digits."""
    if path is None:
        return None
    try:
        return content_digest(path)
    except OSError as error:
        raise ConfigError(
            f"{path} can't be read: {error.strerror or error}; name a file that is there"
        ) from error
