"""The files that the repository keeps of the study, unless a command line names others."""

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFiles:
    """Where the study's corpora are kept and where its outcome goes."""

    document: Path = HERE.parent / "STUDY.md"
    """Text with the comments between which tables go."""
    chosen: Path = HERE / "chosen.json"
    """File that names the best router of each corpus."""
    kept: Path = HERE / "corpora"
    """Folder of kept corpora."""
