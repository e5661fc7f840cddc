"""The files that the repository keeps of the study, unless a command line names others.

A wheel has no kept corpora; what is installed is never written to.
"""

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
IS_CHECKOUT = (HERE.parent.parent / "pyproject.toml").is_file()
"""Whether this is the repository itself, which a study may write to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFiles:
    """Where the study's corpora are kept and where its outcome goes."""

    document: Path = HERE.parent / "STUDY.md" if IS_CHECKOUT else Path("STUDY.md")
    """Text with the comments between which tables go."""
    chosen: Path = HERE / "chosen.json" if IS_CHECKOUT else Path("chosen.json")
    """File that names the best router of each corpus."""
    kept: Path = HERE / "corpora" if IS_CHECKOUT else Path("corpora")
    """Folder of kept corpora."""
