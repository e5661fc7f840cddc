"""The settings of ``search-cluster lens``, from which its options are made."""

from dataclasses import dataclass, field
from pathlib import Path

from search_cluster.errors import ConfigError

SMALLEST = {"min": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class LensTextConfig:
    """The text that a lens is fitted to, or judged on.

    Raises:
        ConfigError: more than one source is named.
    """

    text: Path | None = None
    """A plain text file (UTF-8)."""
    task: str | None = None
    """A task by name or file: its training prompts with all their choices."""
    self_: bool = field(default=False, metadata={"flag": "--self"})
    """Text that the model writes by itself. It is what is used where no other is named."""
    tokens: int = field(default=100_000, metadata=SMALLEST)
    """The number of tokens at most. The BOS in front of each text comes on top, and a task's last
    question is taken whole."""

    def __post_init__(self) -> None:
        if sum((self.text is not None, self.task is not None, self.self_)) > 1:
            raise ConfigError("more than one of --text, --task and --self is given; give one")


@dataclass(frozen=True, slots=True, kw_only=True)
class LensFitConfig:
    """How a lens is fitted."""

    kind: str = "ridge"
    """``ridge``: in closed form; ``kl``: then by descent on the divergence from the final
    prediction; ``ce``: on the true next token; ``bias``: as kl, with a bias alone."""
    epochs: int = field(default=2, metadata=SMALLEST)
    """How often a descent sees each of its rows."""
    rate: float = 1e-3
    """Adam's rate in a descent."""
    descent_rows: int = field(default=16_384, metadata=SMALLEST)
    """The largest number of rows that a descent sees, at even distances in the text."""
    weigh_by: str = "top"
    """Which token of a row ``--down-weight`` goes by: ``top``, the likeliest by the model itself,
    or ``target``, the next in the text."""
    held_out: Path | None = None
    """Plain text on which the lens is judged; ``None``: every tenth of its texts, kept out of the
    fit."""
    held_out_tokens: int = field(default=1024, metadata=SMALLEST)
    """The number of its tokens at most, each BOS included. One takes as long as 240 layers of one
    token in the demo model."""
    format: str = "tuned-lens"
    """``tuned-lens``: params.pt, which tuned-lens reads, or ``safetensors``."""

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ConfigError(f"rate is {self.rate}; it is above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class LensShowConfig:
    """What of which text is shown, and along which path."""

    text: str | None = None
    """A text; a chat model is asked it as a message, unless ``--chat never``."""
    task: str | None = None
    """A task by name or file, whose question is shown with its right choice."""
    example: int = 0
    """The number of the question in its split, from 0."""
    split: str = "validation"
    """The split that it is from."""
    path: str | None = None
    """The layer path that runs, such as 0-17,21-29; ``None``: all layers once."""
    last: int | None = field(default=None, metadata=SMALLEST)
    """The number of positions at the end that are shown; ``None``: what the terminal has room for,
    all in HTML and JSON."""
    html: Path | None = None
    """A file to write the heat map to, too."""

    def __post_init__(self) -> None:
        if (self.text is None) == (self.task is None):
            raise ConfigError("give the text to show with --text, or a question's task with --task")
        if self.example < 0:
            raise ConfigError(f"example is {self.example}; questions are numbered from 0")
