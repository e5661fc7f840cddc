"""What EleutherAI's evaluation harness is asked for, without importing it."""

from dataclasses import dataclass, field
from pathlib import Path

from search_cluster.config import require_chat_mode
from search_cluster.errors import ConfigError


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
    chat: str = "auto"
    """Ask in the model's chat template: ``auto`` (as the router was trained), ``always`` or
    ``never``."""
    apply_chat_template: bool = False
    """The same as ``--chat always``, as the harness calls it."""
    batch_size: int = field(default=8, metadata={"min": 1})
    """The number of rows that run together."""
    threshold: float = 0.0
    """Decisions less sure than this fall back to identity; 0: only the router's own threshold
    holds."""
    plain: bool = True
    """Run the plain model, too."""

    def __post_init__(self) -> None:
        require_chat_mode(self.chat)
        if self.apply_chat_template and self.chat == "never":
            raise ConfigError("--apply-chat-template and --chat never exclude each other; give one")

    def asks_in_template(self, trained: str) -> bool:
        """Whether the harness asks in the chat template.

        Args:
            trained: `RouterMeta.chat`; routers of former versions, of which it is empty, are asked
                in plain text, as the harness does by default.
        """
        return self.apply_chat_template or "always" in (
            self.chat,
            trained if self.chat == "auto" else "",
        )
