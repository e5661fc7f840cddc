"""What a depth study is asked for: its subject, its files, its sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search_cluster.config import SearchConfig
from search_cluster.depth.settings import DepthSettings
from search_cluster.errors import ConfigError
from search_cluster.files import content_digest

PARTS_VERSION = 4
"""Changes whenever the same plan would read other parts. (2: it names neither the questions nor the
lens by what they hold, and draws each choice of a question by itself. 3: it has no controls.)"""
FACT_TASKS = ("capitals", "elements")
"""Built-in tasks whose right answers are facts; they are read where a file of facts is."""


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
    patch: str | None = None
    """A task whose states are put into runs of the studied one; ``None``: none are."""

    def plan(
        self,
        *,
        model: str,
        task: str,
        examples: str,
        lens: str | None,
        paths: Sequence[str],
        patch: str | None = None,
    ) -> Mapping[str, Any]:
        """All that the study's parts depend on, ready for JSON.

        Args:
            model: its fingerprint.
            task: the task's name and version.
            examples: the digest of its questions.
            lens: the digest of the lens that is named; ``None``: none is.
            paths: all paths of the study.
            patch: what the pairs of patched runs depend on; ``None``: there are none.
        """
        return {
            "parts": PARTS_VERSION,
            "model": model,
            "chat": self.config.chat,
            "task": task,
            "examples": examples,
            "split": self.config.split,
            "seed": self.config.seed,
            "lens": lens,
            "text": _digest(self.text),
            "pos": _digest(self.pos),
            "facts": _digest(self.facts),
            "paths": list(paths),
            "patch": patch,
            **asdict(self.settings),
        }

    def read_texts(
        self, task: str, questions: Mapping[str, str]
    ) -> dict[str, dict[str, str | None]]:
        """What lenses read in the study, of the texts that a lens may have been fitted to.

        Lenses are fitted to files, and to training questions of tasks.

        Args:
            task: the task's name.
            questions: what its questions hold, as `taught_questions` says it.

        Returns:
            For each source, as `TokenTexts.source` names it, the file's digest or the task.
        """
        found: dict[str, dict[str, str | None]] = {}
        if self.text is not None:
            found[f"text {self.text}"] = {"text": _digest(self.text)}
        if self.config.split == "train":
            found[f"task {task}"] = {"task": self.task, **questions}
        if self.facts is not None:
            found |= {f"task {name}": {"task": name} for name in FACT_TASKS}
        return found


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
