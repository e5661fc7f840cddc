"""What a command line says of the questions: whose they are, and how many."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionChoice:
    """Which questions are asked; command lines make their options from these fields."""

    task_spec: str | None = field(default=None, metadata={"flag": "--task"})
    """A task's name (``search-cluster tasks`` lists them), a file, ``lm-eval:NAME`` or
    ``hub:NAME``; ``None``: the router's own."""
    split: str = "test"
    """``train``, ``validation`` or ``test``."""
    limit: int | None = field(default=None, metadata={"min": 1})
    """The largest number of questions; ``None``: all of the split."""
    seed: int = 0
    """The seed that draws the questions."""
    data_dir: Path | None = None
    """Folder of local benchmark files; ``None``: LPS_DATA_DIR, else the hub."""
