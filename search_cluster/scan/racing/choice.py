"""What is reported of the finalists, and whether test is sure of it.

Validation, together with what train said of them, puts the finalists in order and says which few of
them test looks at. The path that is chosen is the first of them, in that order, of which test is
sure; which of several sure ones is best on test has no say, because that would flatter it.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search_cluster.scan.answers import AnswerTable
from search_cluster.scan.constants import ANSWERS, RACE
from search_cluster.scan.racing.ranking import (
    CAUTIOUS,
    TOLERATED_WORTH,
    Estimate,
    ranked,
    taking_turns,
)
from search_cluster.scan.racing.searched import Searched
from search_cluster.scan.result import Standing
from search_cluster.scan.settings import Aim
from search_cluster.scan.space import Candidate
from search_cluster.scan.standings import differences, facts_asked
from search_cluster.scan.statistics.design import Facts, effective_counts
from search_cluster.scan.statistics.differences import differences_of
from search_cluster.stats import TOLERATED_LOSS, is_guessing, mean_chance, wilson_interval

NORMAL = statistics.NormalDist()
SMALLEST_ERROR = 1e-9
"""In worth, of a path that answers every question as the plain model does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The finalists as validation orders them."""

    order: tuple[Candidate, ...]
    """All of them, the best first."""
    reported: tuple[Candidate, ...]
    """Those that test looks at; at least one if there is a finalist."""


def confirm(searched: Searched, table: AnswerTable, aim: str, *, num_test: int) -> Confirmed:
    """What train and validation together say of the finalists.

    Train's answers flatter whoever was chosen for them; as their gains are shrunk towards what was
    usual before the choice, they count all the same, for validation alone has few questions.

    Test looks at the best one and at those that may be as good, because each further path makes it
    less sure of all. By layers the best is that from which most is expected: the layers that it
    saves, times the chance that test will be sure.

    Args:
        searched: what the search found; all finalists ran on the questions of the table.
        table: validation's answers.
        aim: what makes a path better.
        num_test: the number of questions that test has.
    """
    tables = [*searched.tables, table]
    order = ranked(searched.estimates(searched.finalists, [table]), Aim.ACCURACY, CAUTIOUS)
    if aim != Aim.ACCURACY:
        saved = {item.path: _saved_layers(item, tables, num_test) for item in order}
        by_layers = sorted(order, key=lambda item: (item.loses_a_task, -saved[item.path]))
        order = by_layers if aim == Aim.LAYERS else taking_turns(order, by_layers)
    close = [item for item in order if _may_be_as_good(item, order[0], aim)]
    return Confirmed(
        order=tuple(item.candidate for item in order),
        reported=tuple(item.candidate for item in close[: RACE.max_reported]),
    )


def _saved_layers(item: Estimate, tables: Sequence[AnswerTable], num_test: int) -> float:
    """How many layers a path is expected to save: those that it saves if test is sure of it."""
    seen = differences(tables, [item.path])
    compared = seen[~np.isnan(seen)].tolist()
    spread = statistics.pstdev(compared) if compared else 1.0
    (design,) = differences_of(seen, facts_asked(tables)).design_P.tolist()
    # What is seen is accuracy, what is expected is worth.
    error = ANSWERS.worth_share * spread * math.sqrt(design / max(1, num_test))
    needed = RACE.sure_errors * error - TOLERATED_WORTH
    distance = (item.gain.mean - needed) / max(math.hypot(error, item.gain.error), SMALLEST_ERROR)
    return (item.path.num_layers - item.layers) * NORMAL.cdf(distance)


def _may_be_as_good(item: Estimate, best: Estimate, aim: str) -> bool:
    if item is best:
        return True
    if item.loses_a_task:
        return False
    if aim in (Aim.LAYERS, Aim.FRONT) and item.is_shorter and item.keeps(CAUTIOUS):
        return True
    has_gain = item.gain.mean > item.gain.error
    return aim != Aim.LAYERS and has_gain and item.gain.at(1.0) >= best.gain.mean


def is_guessing_on(table: AnswerTable) -> bool:
    """Whether the plain model can't be told from guesses, so that there is nothing to keep."""
    answered, right = table.places(table.identity), table.right(table.identity)
    chance = mean_chance(len(table.questions[place].choices) for place in answered)
    right_N = np.array([float(right[place]) for place in answered])
    facts = Facts.of([table.facts[place] for place in answered], len(answered))
    num_right, num_asked = effective_counts(right_N, facts)
    low, _ = wilson_interval(num_right, num_asked)
    return bool(is_guessing(low, chance))


def is_sure(
    candidate: Candidate,
    standing: Standing,
    by_task: Mapping[str, Standing],
    aim: str,
    *,
    plain_is_guessing: bool,
) -> bool:
    """Whether test is sure that a path is better than the plain model.

    By accuracy: the simultaneous interval excludes 0. By layers: the path costs less, and a loss of
    more than `stats.TOLERATED_LOSS` is ruled out. On no task of several may it lose.

    Args:
        candidate: the path.
        standing: on test, all tasks together.
        by_task: on each task of several; empty for one.
        aim: what makes a path better.
        plain_is_guessing: then nobody is better by running fewer layers.
    """
    if lost_tasks(by_task):
        return False
    by_accuracy = standing.low > 0.0
    is_shorter = candidate.layers < candidate.path.num_layers
    by_layers = is_shorter and standing.low >= -TOLERATED_LOSS and not plain_is_guessing
    return {
        Aim.ACCURACY.value: by_accuracy,
        Aim.LAYERS.value: by_layers,
        Aim.FRONT.value: by_accuracy or by_layers,
    }[aim]


def lost_tasks(by_task: Mapping[str, Standing]) -> list[str]:
    """The tasks on which test says that a path loses, surely or more than is tolerated."""
    return [
        name for name, item in by_task.items() if item.high < 0.0 or item.gain < -TOLERATED_LOSS
    ]
