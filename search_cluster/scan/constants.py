"""The tuned constants of scans, and of all that compares paths by their answers, with their units.

"Log" is ``tests/bench/LOG.md``, "shrunk" and "worth" are its entries "few probes are a lottery;
shrunk gains; all budgets" and "a study that sees more with the same evaluations" of 2026-11-22
and 23. Where no entry is named, the log tells of no measurement.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerConstants:
    """Numbers that say what answers are worth, none of them a setting of a run."""

    # Measures of answers.
    max_steps: int = 8
    """Steps of the margin. Margins that are so many apart are as far apart as they can be: a path
    that turns one answer upside down is not worse than one that turns another into its opposite."""
    worth_steps: float = 4.0
    """Steps of the margin (1 nat) in which an answer goes from 0.5 to 0.73 of its worth. Log,
    *worth*: it puts paths of known accuracy in order better than 0.25 and 0.5 nats do."""

    # Shrunk gains.
    prior_spread: float = 0.02
    """Standard deviation, in worth, of the true gains of paths that change answers equally much.
    Log, *shrunk*: fitted with the next two to skips of single layers of the demo model."""
    prior_slope: float = 0.15
    """Worth that a path loses per unit of mean change beyond `harmless_change`. Log, *shrunk*."""
    harmless_change: float = 0.15
    """Mean change of the answers, in [0, 1], at which a path loses nothing. Log, *shrunk*."""


ANSWERS = AnswerConstants()
"""The values that every comparison uses."""
