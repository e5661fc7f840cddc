"""How much a depth study reads."""

from dataclasses import dataclass, field

from search_cluster.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthSettings:
    """Sizes of the experiments.

    Raises:
        ConfigError: a size is out of its range.
    """

    positions: int = field(default=5000, metadata={"min": 20})
    """Positions of text that are read."""
    questions: int = field(default=200, metadata={"flag": "--limit", "min": 10})
    """The largest number of the task's questions."""
    words: int = field(default=3000, metadata={"min": 20})
    """Words of the CoNLL-U file that are read."""
    known: int = field(default=600, metadata={"flag": "--num-facts", "min": 10})
    """Facts of the file that are read; of each built-in task a third of it."""
    fit_tokens: int = field(default=16000, metadata={"min": 100})
    """Tokens that a lens is fitted on where none is given."""
    skip_questions: int = field(default=32, metadata={"min": 0})
    """Questions on which each layer is skipped alone, to check the prior; 0: none."""
    letter_questions: int = field(default=40, metadata={"min": 0})
    """Questions that are asked for letters, after four worked ones; 0: none."""
    control_questions: int = field(default=40, metadata={"min": 0})
    """Questions at most that are asked again with their choices in another order, and with other
    letters; 0: none."""
    shuffled_positions: int = field(default=200, metadata={"min": 0})
    """Positions of text that are read through the lens with its translators shuffled; 0: none."""
    patch_questions: int = field(default=40, metadata={"min": 5})
    """Pairs of questions of which one gives its states to the other, with --patch."""
    path_positions: int = field(default=300, metadata={"min": 20})
    """Positions of text that are read along each path."""
    bias_positions: int = field(default=400, metadata={"min": 0})
    """Positions at which the lens' own bias is checked; 0: none."""

    def __post_init__(self) -> None:
        if self.positions < 20 or self.questions < 1:
            raise ConfigError(
                f"{self.positions} positions and {self.questions} questions; a study reads at "
                "least 20 positions and asks one question"
            )
