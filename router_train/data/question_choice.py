"""What a command line says of the questions: whose they are, and how many."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionChoice:
    """Which questions are asked."""

    task_spec: str
    split: str
    limit: int | None
    seed: int
    data_dir: Path | None
