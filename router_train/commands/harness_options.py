"""What EleutherAI's evaluation harness is asked for, without importing it."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessOptions:
    """What ``router-train lm-eval`` asks the harness for, and of which models."""

    tasks: tuple[str, ...]
    """Names of the harness' tasks or groups, separated by commas."""
    include_path: Path | None = None
    """Folder of task files (YAML) beside the harness' own."""
    limit: int | None = field(default=None, metadata={"min": 1})
    """The largest number of questions per task; ``None``: all."""
    num_fewshot: int | None = field(default=None, metadata={"min": 0})
    """The number of examples in front of a question; ``None``: the task's."""
    apply_chat_template: bool = False
    """Ask in the model's chat template."""
    batch_size: int = field(default=8, metadata={"min": 1})
    """The number of rows that run together."""
    threshold: float = 0.0
    """Decisions less sure than this fall back to identity; 0: only the router's own threshold
    holds."""
    plain: bool = True
    """Run the plain model, too."""
