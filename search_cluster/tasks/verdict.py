"""The verdict: what one evaluation of (example, path) says.

It lives beside the tasks because it is a task's judgement of an answer; the evaluation seam, the
model room and the corpus, which may not import each other, all speak of it.
"""

import math
from dataclasses import dataclass, field

from search_cluster.errors import InvalidValueError

MARGIN_STEP = 0.25
"""The resolution at which margins may guide a search, in nats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A graded answer, immutable.

    Raises:
        InvalidValueError: a value is out of its range.
    """

    reward: float
    """The reward in [0, 1]; 1 is right."""
    margin: float | None
    """The log-probability gap of the gold answer to the best wrong answer, in nats; ``None`` where
    a task has none."""
    output: str
    """What the model answered: the chosen choice's text, or the generated text."""
    num_layer_tokens: int
    """The number of (layer, token) applications that a plain evaluation needs: path length x tokens
    of the prompt and the answers."""
    is_cut: bool | None = field(default=None, compare=False)
    """Whether the answer ended because no token was left, not by itself. It is for counting where
    answers are made, and stored nowhere: ``None`` in verdicts out of caches and corpora, and of
    choices."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.reward <= 1.0:
            raise InvalidValueError(f"reward is {self.reward}; a reward lies in [0, 1]")
        if self.margin is not None and not math.isfinite(self.margin):
            raise InvalidValueError(f"margin is {self.margin}; a margin is finite, or None")
        if self.num_layer_tokens < 0:
            raise InvalidValueError(
                f"num_layer_tokens is {self.num_layer_tokens}; it counts from 0"
            )

    @property
    def is_correct(self) -> bool:
        """Whether the answer counts as right (full reward)."""
        return self.reward >= 1.0

    @property
    def coarse_margin(self) -> int | None:
        """The margin in whole steps of `MARGIN_STEP`, rounded down.

        No finer margin guides a search.

        Arithmetic noise does not show: margins have the same bits in any batch, or are taken from
        the materialised model near a step.
        """
        return None if self.margin is None else math.floor(self.margin / MARGIN_STEP)


def distance_to_step(margin: float) -> float:
    """How far a margin is from the nearest multiple of `MARGIN_STEP`, in nats."""
    return abs(margin - round(margin / MARGIN_STEP) * MARGIN_STEP)
