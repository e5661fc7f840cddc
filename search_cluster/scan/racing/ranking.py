"""The order in which candidates are better, by what their answers are worth and by their layers."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.answers import AnswerTable, gain_of
from search_cluster.scan.constants import ANSWERS, RACE
from search_cluster.scan.gain import Gain, Usual, mean_gain, usual_of_single_layers
from search_cluster.scan.racing.shared_luck import NO_LUCK, SharedLuck
from search_cluster.scan.settings import Aim
from search_cluster.scan.space import Candidate
from search_cluster.stats import TOLERATED_LOSS

OPTIMISTIC, NEUTRAL, CAUTIOUS = -1.0, 0.0, 1.5
"""Standard errors by which questions may flatter a path that must keep the plain model's worth:
while the race goes on, when finalists are chosen, and before test."""

TOLERATED_WORTH = TOLERATED_LOSS * ANSWERS.worth_share
"""What `stats.TOLERATED_LOSS` is in worth."""

UNKNOWN = Gain(0.0, 1.0)
"""In worth, of which nobody has more than 1 or less than 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What the questions of one or more tables say of a candidate beside the plain model."""

    candidate: Candidate
    seen: Gain
    """The plain mean gain in worth, less the luck that its questions are known to have."""
    gain: Gain
    """The same, shrunk."""
    mean_change: float
    """How much it changes answers, in [0, 1] on average."""
    num_questions: int
    """The questions that it is compared on."""
    by_task: Mapping[str, Gain] = field(default_factory=dict)
    """The shrunk gain on each task of several; empty for one task."""

    @property
    def path(self) -> LayerPath:
        """The candidate's path."""
        return self.candidate.path

    @property
    def layers(self) -> int | float:
        """What it costs, in layers."""
        return self.candidate.layers

    @property
    def is_shorter(self) -> bool:
        """Whether it costs less than the plain model."""
        return self.layers < self.path.num_layers

    @property
    def loses_a_task(self) -> bool:
        """Whether it is likely worse than the plain model on one task of several."""
        return any(gain.at(1.0) < 0.0 for gain in self.by_task.values())

    @property
    def is_wreck(self) -> bool:
        """Whether it surely ruins the model."""
        most = self.seen.at(RACE.wreck_errors)
        return most < -RACE.wreck_worth and self.num_questions >= RACE.wreck_questions

    def keeps(self, num_errors: float) -> bool:
        """Whether it is worth as much as the plain model, but for what is tolerated."""
        return self.gain.keeps(TOLERATED_WORTH, num_errors)


def estimate(
    candidate: Candidate,
    tables: Sequence[AnswerTable],
    usual: Usual = usual_of_single_layers,
    luck: SharedLuck = NO_LUCK,
) -> Estimate:
    """What the answers in the tables say of a candidate.

    Without a question that it is compared on nothing is known of it.

    Args:
        candidate: the path.
        tables: answers to distinct questions.
        usual: what paths usually gain.
        luck: how lucky the questions are.
    """
    gains: dict[str, list[float]] = {}
    changes: dict[str, list[float]] = {}
    has_margins = False
    for table, lucky in zip(tables, luck.on(candidate.path, tables), strict=True):
        if candidate.path not in table.by_path:
            continue
        has_margins = has_margins or table.has_margins
        values = zip(
            table.places(candidate.path),
            table.gains(candidate.path, table.identity),
            table.changes(candidate.path, table.identity),
            strict=True,
        )
        for place, gain, change in values:
            task = table.questions[place].task
            gains.setdefault(task, []).append(gain - lucky.get(task, 0.0))
            changes.setdefault(task, []).append(change)

    if not gains:
        return Estimate(
            candidate=candidate, seen=UNKNOWN, gain=UNKNOWN, mean_change=1.0, num_questions=0
        )

    def shrunk(tasks: Iterable[str]) -> Gain:
        all_gains = [gain for task in tasks for gain in gains[task]]
        all_changes = [change for task in tasks for change in changes[task]]
        return gain_of(
            all_gains,
            _mean(all_changes),
            has_margins=has_margins,
            usual=usual,
        )

    everything = [gain for of_task in gains.values() for gain in of_task]
    return Estimate(
        candidate=candidate,
        seen=mean_gain(everything),
        gain=shrunk(gains),
        mean_change=_mean([change for of_task in changes.values() for change in of_task]),
        num_questions=len(everything),
        by_task={task: shrunk([task]) for task in gains} if len(gains) > 1 else {},
    )


def _mean(changes: Sequence[float]) -> float:
    return sum(changes) / len(changes) if changes else 1.0


def ranked(estimates: Sequence[Estimate], aim: str, num_errors: float) -> list[Estimate]:
    """The estimates, the best first.

    Those that lose a task come last. By layers those stand first that no other one beats in layers
    and in gain: of many that are as short the best one is enough. For `Aim.FRONT` the best by
    accuracy and the best by layers take turns.

    Args:
        estimates: of distinct candidates.
        aim: what makes a path better.
        num_errors: how careful the choice by layers is (`Estimate.keeps`).
    """

    def by_accuracy(item: Estimate) -> tuple[bool, float, float, tuple[int, ...]]:
        return item.loses_a_task, -item.gain.mean, item.layers, item.path.layers

    def is_better(item: Estimate) -> bool:
        return item.is_shorter and not item.loses_a_task and item.keeps(num_errors)

    front = {item.path for item in _front(filter(is_better, estimates))}

    def by_layers(item: Estimate) -> tuple[bool, bool, bool, float, float, tuple[int, ...]]:
        return (
            item.loses_a_task,
            not is_better(item),
            item.path not in front,
            item.layers if is_better(item) else 0,
            -item.gain.mean,
            item.path.layers,
        )

    if aim == Aim.ACCURACY:
        return sorted(estimates, key=by_accuracy)
    if aim == Aim.LAYERS:
        return sorted(estimates, key=by_layers)
    return taking_turns(sorted(estimates, key=by_accuracy), sorted(estimates, key=by_layers))


def taking_turns(first: Sequence[Estimate], second: Sequence[Estimate]) -> list[Estimate]:
    """Two orders of the same estimates in one, in which their best ones take turns."""
    turns = {item.path: item for pair in zip(first, second, strict=True) for item in pair}
    return list(turns.values())


def _front(estimates: Iterable[Estimate]) -> Iterator[Estimate]:
    """Those that are beaten by no other one that is as short or shorter."""
    best = -math.inf
    for item in sorted(
        estimates, key=lambda item: (item.layers, -item.gain.mean, item.path.layers)
    ):
        if item.gain.mean > best:
            best = item.gain.mean
            yield item
