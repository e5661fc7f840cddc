"""The tuned constants of the study, with their units and where each was measured.

"Log" is ``tests/bench/LOG.md``. The entries that are named here, all of 2026-11-22 and 23:

- *races*: "the study races, and asks for confidence"
- *worth*: "a study that sees more with the same evaluations"
- *further*: "a study that gets further, tried out on made-up models"

Where no entry is named, the log tells of no measurement.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyConstants:
    """Numbers that the study was tuned with, none of them a setting of a run."""

    # What the budget buys.
    min_probes: int = 8
    """Questions. With fewer probes nothing can be learnt, and no study is made."""
    evaluations_per_probe: int = 25
    """Evaluations. A budget is worth as many probes as 25 paths could run on. Log, *further*: with
    20 paths fewer saved layers hold, with 35 about as many."""
    close_share: float = 2 / 3
    """Share of the probes on which paths run: those whose identity answers have the smallest
    margins. Paths that are as good as identity change hardly any answer of the others, so as many
    evaluations tell more. Log, *worth*: they order paths better than all probes and than a half or
    a third of them."""

    # Ranking the single layers.
    ranking_share: float = 0.25
    """Share of the budget that ranking the single layers may take."""
    max_ranking_probes: int = 32
    """Questions. More are not worth it for ranking single layers, nor for choosing the next
    skip."""
    singles_kept: float = 0.6
    """Share of the single layers that goes on from round to round while they are ranked. Log,
    *further*: better than running all of them on all of these probes."""
    num_tried: int = 12
    """Layers. So many of the best single ones are tried as the next skip. Log, *further*: with
    eight, fewer saved layers hold."""

    # Growth.
    max_change: float = 0.5
    """Mean change of the answers, in [0, 1]; nothing is added to a path that changes more."""
    race_rounds: int = 2
    """Rounds of a race: all run on half of its probes, then the better half on the others. Log,
    *further*: a third round changes nothing."""
    num_finalists: int = 2
    """Paths. So many of a race run on all probes. They are the best known paths, so most of the
    menu comes from them. Log, *further*: three leave room for fewer skips, one chooses worse."""
    max_failed: int = 3
    """Races. So many in a row may be won by a path that is not even likely good; then growth
    ends."""

    # Judging paths.
    min_errors: float = 1.0
    """Standard errors of accuracy by which the probes may flatter a path that must be as good as
    identity all the same (84 % one-sided). Log, *races*: set before the figures were seen."""
    likely_errors: float = 1.0
    """The same in worth, of paths that are tried on wrong answers only, and that growth goes on
    from. Log, *worth*: more paths fix more wrong answers, 26 % instead of 22 %."""
    worth_errors: float = 1.5
    """What `min_errors` is for worth, whose error is half as large. Log, *worth*: of 1.5, 2 and 2.5
    it keeps the most layers."""
    enough_share: float = 0.5
    """Share of the probes that is enough to judge a path by, unless it is less than
    `enough_probes`. Growth runs its paths on all; for others, more paths are worth more than surer
    ones."""
    enough_probes: int = 48
    """Questions, see `enough_share`."""

    # What growth leaves.
    others_share: float = 0.18
    """Share of the budget that is kept for other paths than those of growth."""
    block_layers: int = 2
    """Layers of the blocks that may run twice. Log, *worth*: late blocks fix wrong answers."""
    block_share: float = 0.4
    """Share of what growth left that a first look at the blocks may take."""


STUDY = StudyConstants()
"""The values that every study uses."""
