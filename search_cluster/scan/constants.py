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
    worth_share: float = 0.8
    """Worth per accuracy: so much of a difference of accuracy shows. Log, *worth* (1 / 1.2); with
    0.5 fewer layers that a study saves hold (log, "a study that gets further, tried out on made-up
    models")."""

    # Shrunk gains.
    prior_spread: float = 0.02
    """Standard deviation, in worth, of the true gains of paths that change answers equally much,
    the smallest one where a scan learns it. Log, *shrunk*: fitted with the next two to skips of
    single layers of the demo model. For blocks 0.02, 0.03 and 0.05 rank alike (log, "what blocks
    usually gain")."""
    prior_slope: float = 0.15
    """Worth that a path loses per unit of mean change beyond `harmless_change`. Log, *shrunk*."""
    harmless_change: float = 0.15
    """Mean change of the answers, in [0, 1], at which a path loses nothing. Log, *shrunk*."""
    parts_share: float = 0.5
    """Share of the summed gains of its parts that a combination is expected to gain, before what
    its change costs. Log, "what combinations gain"."""


ANSWERS = AnswerConstants()
"""The values that every comparison uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceConstants:
    """Numbers of the race, none of them a setting of a run. Questions are counted per task."""

    look_questions: int = 8
    """Questions of the first look, after which only wrecks are stopped."""
    rungs: tuple[int, ...] = (32, 96, 224, 524)
    """Questions on which a path has run when a round of the race ends."""
    grown_rungs: tuple[int, ...] = (32, 96, 224)
    """The same in a step of growth."""
    kept_share: float = 0.25
    """Share of the paths that goes on from round to round."""
    min_kept: int = 8
    """Paths that go on in any case, if there are so many."""
    wreck_worth: float = 0.1
    """Worth. A path that surely loses more than this is a wreck and is stopped."""
    wreck_errors: float = 3.0
    """Standard errors that make it sure."""
    wreck_questions: int = 4
    """Questions, all tasks together, that it takes at least: where the plain model answers few of a
    first look, their errors may be small by chance."""
    prior_errors: float = 2.0
    """Standard errors by which a path must be behind those that the first round would keep to be
    left out of it, by a first look and a prior of its layers. Log, "what block influence saves": at
    1 the best are lost now and then, at 2 none was."""
    num_bases: int = 6
    """Paths that a step of growth adds to."""
    num_ahead: int = 2
    """Growth goes on as long as one of the best so many paths is new."""
    num_caught_up: int = 12
    """Paths that are asked, after a step of growth, all questions that others were asked."""
    num_singles: int = 16
    """Single edits that it adds to each, beside skips of one layer, of which it adds all."""
    proven_share: float = 0.18
    """Single edits are added that were asked at least this share of the race's questions."""
    min_questions: int = 16
    """Questions. With fewer in a split nothing can be said."""

    usual_paths: int = 48
    """Paths from which what is usual can be learnt."""

    # What a budget and the questions that there are pay for.
    grown_share: float = 0.25
    """Share of the search's questions that growth may take where these are too few."""
    race_share: float = 0.65
    """Share of the search's budget that the race may take before growth."""
    least_race_share: float = 0.4
    """Share that it may take even if its single edits have been asked `base_questions`."""
    base_questions: int = 96
    """Questions after which single edits are ground enough to build on."""
    caught_share: float = 0.1
    """Share of the search's budget that may be spent on questions which others were asked."""
    validation_share: float = 0.15
    """Share of the budget that validation may take."""
    test_share: float = 0.15
    """Share of the budget that test and guards may take together."""
    validation_questions: int = 1000
    """Questions of validation at most."""
    test_questions: int = 2000
    """Questions of test, and of each guard, at most."""

    # What is looked at again.
    sure_errors: float = 2.4
    """Standard errors by which test's interval is wide if it looks at `max_reported` paths."""
    max_finalists: int = 8
    """Paths that validation looks at."""
    max_reported: int = 4
    """Paths that test looks at."""


RACE = RaceConstants()
"""The values that every scan uses."""
