"""A study of other questions: which paths are as good as identity for many of them?

What a search finds on one question may be luck; what holds on many is not. The study asks identity some probe questions
and keeps those that it is least sure of, because good paths hardly change the others. It skips each layer alone on a
part of them and ranks the layers by how little identity's answers change. Then it grows: the best layers race to be the
next skip, ranked by what their answers are worth, in this race and in those before, for the last few on all probes. As
the winner of so many comparisons on so few probes is mostly a lucky one, what it seems to gain is shrunk.
Growth ends when that leads nowhere any more. What is left of the budget goes to other paths that may be good, blocks
that run twice among them, for different paths fix different questions. What is likely worth as much as identity is on
the menu; what is sure, for right answers, too.

Neither measure is accuracy, because accuracy takes far more questions to see: what changes little is harmless, and a
smooth function of the margin tells helpful paths from harmful ones. Accuracy only has a veto in the end. Both measures
count in coarse steps of margins, so arithmetic noise has no say. The study's evaluations are paid from the budget of
the questions that are searched afterwards.
"""

import math
from collections.abc import Generator, Sequence
from dataclasses import replace

from search_cluster.paths.block_moves import RepeatBlock
from search_cluster.paths.layer_path import LayerPath
from search_cluster.search.rounds import Outcome, SteppedRounds, Trial
from search_cluster.search.study.gain import Gain, mean_gain, shrunk_gain
from search_cluster.search.study.measures import change, distance, is_right, worth
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.evidence import StudyPlan
from search_cluster.tree.menu import MenuPath

MIN_PROBES = 8
"""With fewer probe questions nothing can be learnt, and no study is made."""
EVALUATIONS_PER_PROBE = 25
"""How far a budget goes: as many paths' worth of evaluations on all probes."""
CLOSE_SHARE = 2 / 3
"""Share of the probes on which paths run: those whose identity answers have the smallest margins. Paths that are as
good as identity change hardly any answer of the others, so as many evaluations tell more (log)."""
RANKING_SHARE = 0.25
"""Share of the budget that ranking the single layers may take."""
MAX_RANKING_PROBES = 32
"""More probes are not worth it for ranking single layers, nor for choosing the next skip."""
MAX_CHANGE = 0.5
"""Nothing is added to a path that changes answers more than that, on average."""
MIN_ERRORS = 1.0
"""A path must be as good as identity even if the probes flatter it by so many standard errors (84 % one-sided)."""
LIKELY_ERRORS = 1.0
"""The same of paths that are tried on wrong answers only: more of them fix more. Growth goes on from them, too."""
RACE_ROUNDS = 2
"""A race's rounds: all run on half of its probes, the better half on the others; never fewer than `NUM_FINALISTS`."""
SINGLES_KEPT = 0.6
"""The share of the single layers that goes on from round to round while they are ranked."""
MAX_FAILED = 3
"""So many races one after the other may be won by a path that is not even likely good, before growth ends."""
NUM_FINALISTS = 2
"""So many runners of a race run on all probes. They are the best known paths, so most of the menu comes from them. More
would choose better and leave room for fewer skips (log)."""
ENOUGH_SHARE, ENOUGH_PROBES = 0.5, 48
"""Share and number of the probes that are enough to judge a path by, where there are so many. Growth runs its paths on
all; for others, more of them are worth more than surer ones."""
NUM_TRIED = 12
"""So many of the best single layers are tried as the next skip."""
WORTH_SHARE, WORTH_ERRORS = 0.8, 1.5
"""So much of a difference of accuracy shows in worths; what `MIN_ERRORS` is for worths, which have half the error."""
OTHERS_SHARE = 0.18
"""Share of the budget that is kept for other paths than those of growth."""
BLOCKS, BLOCK_SHARE = RepeatBlock(max_size=2, max_more=1), 0.4
"""What may run twice, at its full size only, and the share of what growth left that a first look at them may take."""

Steps = Generator[list[Trial], Sequence[Outcome], None]


def num_probes_studied(num_probes: int, max_evaluations: int, plan: StudyPlan) -> int:
    """How many of so many probe questions a study looks at; 0: these are too few to learn from, and none is made.

    Args:
        num_probes: questions that there are.
        max_evaluations: the budget of the study.
        plan: its limits.
    """
    budget = min(max_evaluations, plan.max_evaluations)
    looked_at = min(num_probes, plan.max_probes, round(budget / (EVALUATIONS_PER_PROBE * CLOSE_SHARE)))
    return looked_at if round(CLOSE_SHARE * looked_at) >= MIN_PROBES else 0


class MenuStudy(SteppedRounds[None]):
    """Implements `Rounds`; read `menu` when nothing is left to ask.

    Args:
        probes: questions to try paths on, in a random order; the study takes as many as its budget is worth.
        num_layers: depth of the model.
        max_evaluations: the budget.
        plan: limits of the study.
        max_drop: how much rarer than identity, as a share of the probes, a sure path of the menu may be right, noise of
            `MIN_ERRORS` included (of `WORTH_ERRORS` where answers have margins).
    """

    def __init__(
        self, probes: Sequence[Example], *, num_layers: int, max_evaluations: int, plan: StudyPlan, max_drop: float
    ) -> None:
        self._budget = min(max_evaluations, plan.max_evaluations)
        self._probes = list(probes[: num_probes_studied(len(probes), max_evaluations, plan)])
        self._identity = LayerPath.identity(num_layers)
        self._max_menu, self._max_drop = plan.max_menu, max_drop
        self._answers: dict[LayerPath, list[Verdict | None]] = {}
        self._raced: dict[int, list[float]] = {}
        """Per layer, what skipping it added to the worth of each probe, in the race in which it ran on most."""
        self._start(self._study())

    @property
    def menu(self) -> tuple[MenuPath, ...]:
        """The paths that ran on enough probes and are likely good, shortest first; without identity."""
        if not self._probes:
            return ()
        found = [self._item(path) for path in self._answers if path != self._identity and self._is_likely(path)]
        credible = [item for item in found if item.keeps_accuracy(self._max_drop)]
        best = sorted(credible, key=lambda item: self._rank(item.path))[: self._max_menu]
        places = self._fixing_places([item.path for item in best])
        items = [replace(item, fixing_place=places[item.path]) for item in best]
        return tuple(sorted(items, key=lambda item: (len(item.path), -item.num_right, item.path.layers)))

    def _item(self, path: LayerPath) -> MenuPath:
        num_probes = len(self._answers[path])
        num_choices = [len(probe.choices) for probe in self._probes[:num_probes]]
        return MenuPath(
            path=path,
            num_right=len(self._right_probes(path)),
            num_identity_right=sum(map(is_right, self._answers[self._identity][:num_probes])),
            num_probes=num_probes,
            num_screened=round(num_probes / CLOSE_SHARE) if self._has_margins else num_probes,
            chance=sum(1 / num for num in num_choices) / num_probes if all(num_choices) else None,
            sure=self._is_sure(path),
        )

    def _fixing_places(self, paths: Sequence[LayerPath]) -> dict[LayerPath, int]:
        """The order in which paths add most to the probes that are answered; the shorter one among equals."""
        right = {path: self._right_probes(path) for path in (self._identity, *paths)}
        open_probes = set(range(len(self._probes))) - right[self._identity]
        left, places = sorted(paths, key=lambda path: (len(path), path.layers)), dict[LayerPath, int]()
        while left:
            path = max(left, key=lambda path: len(open_probes & right[path]))  # the first of equals
            open_probes -= right[path]
            places[path] = len(places)
            left.remove(path)
        return places

    def _right_probes(self, path: LayerPath) -> set[int]:
        return {place for place, answer in enumerate(self._answers[path]) if is_right(answer)}

    def _study(self) -> Steps:
        if not self._probes:
            return
        num_layers = self._identity.num_layers
        yield from self._run([self._identity], len(self._probes))
        self._keep_close_probes()
        if not self._probes:
            return
        singles = [path for layer in range(num_layers) if (path := _without(self._identity, [layer])) is not None]
        affordable = round(RANKING_SHARE * self._budget) // max(1, len(singles))
        num_few = min(len(self._probes), max(2, min(MAX_RANKING_PROBES, affordable)))
        for round_number in range(RACE_ROUNDS):
            num_left = max(NUM_TRIED, round(SINGLES_KEPT**round_number * len(singles)))
            singles = sorted(singles, key=self._rank)[:num_left]
            yield from self._run(singles, math.ceil(num_few * (round_number + 1) / RACE_ROUNDS))
        if not singles or not self._answers[singles[-1]]:
            return
        best = sorted(singles, key=self._rank)[:NUM_TRIED]
        yield from self._grow([layer for path in best for layer in _skipped(path)], num_few)
        edits = (BLOCKS.edit(self._identity, index) for index in range(BLOCKS.num_edits(self._identity)))
        blocks = [path for path in edits if path is not None and len(path) == num_layers + BLOCKS.max_size]
        num_first = min(num_few, round(BLOCK_SHARE * self._left) // max(1, len(blocks)))
        if num_first >= MIN_PROBES:
            yield from self._run(blocks, num_first)
        yield from self._complete()

    def _keep_close_probes(self) -> None:
        """Of all probes that identity answered, keep those whose answers a path can change most easily."""
        answers = self._answers[self._identity]
        distances = {place: distance(answer) for place, answer in enumerate(answers) if answer is not None}
        kept = sorted(sorted(distances, key=distances.__getitem__)[: round(CLOSE_SHARE * len(distances))])
        if len(kept) < MIN_PROBES:
            kept = []
        self._probes = [self._probes[place] for place in kept]
        self._answers[self._identity] = [answers[place] for place in kept]

    def _grow(self, layers: list[int], num_few: int) -> Steps:
        """Skip one more layer and one more, as long as answers do not change much and the paths are good enough."""
        base = self._identity
        num_failed = 0
        while self._change(base, self._identity) <= MAX_CHANGE:
            skipped = _skipped(base)
            runners = {
                layer: path
                for layer in layers
                if layer not in skipped and (path := _without(base, [layer])) is not None
            }
            if num_failed == MAX_FAILED or not runners or self._left < OTHERS_SHARE * self._budget:
                return
            winner = yield from self._race(base, runners, num_few)
            if len(self._answers[runners[winner]]) < len(self._probes):  # no room was left
                return
            if self._is_near(runners[winner], LIKELY_ERRORS):
                base, num_failed = runners[winner], 0
            else:
                layers = [layer for layer in layers if layer != winner]
                num_failed += 1

    def _complete(self) -> Steps:
        """Bring the most promising paths to enough probes, one after the other, until the budget is spent."""
        num_spent = -1
        while num_spent < self.num_spent:
            num_spent = self.num_spent
            waiting = [path for path, answers in self._answers.items() if 0 < len(answers) < self._num_enough]
            yield from self._run(sorted(waiting, key=self._promise)[-1:], self._num_enough)

    def _promise(self, path: LayerPath) -> tuple[float, tuple[int, ...]]:
        """What the path may be worth if its probes were one standard error unlucky; ordered by layers among equals."""
        gain = self._gain(path, self._identity)
        return gain.mean + gain.error, path.layers

    def _race(
        self, base: LayerPath, runners: dict[int, LayerPath], num_probes: int
    ) -> Generator[list[Trial], Sequence[Outcome], int]:
        """The layer that wins a race between paths that skip one more layer than the base: whose path is worth most."""
        layers = list(runners)

        def rank(layer: int) -> tuple[float, int]:
            return -self._gain(runners[layer], base, self._raced.get(layer, ())).mean, layer

        for round_number in range(1, RACE_ROUNDS + 1):
            yield from self._run(
                [runners[layer] for layer in layers], math.ceil(num_probes * round_number / RACE_ROUNDS)
            )
            layers = sorted(layers, key=rank)[: max(NUM_FINALISTS, math.ceil(len(layers) / 2))]
        finalists = layers[:NUM_FINALISTS]
        yield from self._run([runners[layer] for layer in finalists], len(self._probes))
        winner = min(finalists, key=rank)
        for layer, path in runners.items():
            gains = self._gains(path, base)
            if len(gains) >= len(self._raced.get(layer, ())):
                self._raced[layer] = gains
        return winner

    def _run(self, paths: Sequence[LayerPath], num_probes: int) -> Steps:
        """Bring paths to a number of probes; those that the budget has no room for stay behind."""
        trials: list[Trial] = []
        for path in paths:
            known = self._answers.setdefault(path, [])
            new = [(probe, path) for probe in self._probes[len(known) : num_probes]]
            if len(trials) + len(new) > self._left:
                break
            trials += new
        if not trials:
            return
        outcomes = yield trials
        for (_, path), outcome in zip(trials, outcomes, strict=True):
            self._answers[path].append(outcome if isinstance(outcome, Verdict) else None)

    @property
    def _left(self) -> int:
        return self._budget - self.num_spent

    def _rank(self, path: LayerPath) -> tuple[int, float, tuple[int, ...]]:
        """Best first: those that have run on more probes, then those that change least, then by layers."""
        return -len(self._answers.get(path, [])), self._change(path, self._identity), path.layers

    def _change(self, path: LayerPath, base: LayerPath) -> float:
        """How much the path changes the base's answers, in [0, 1] on average; it tells skill from luck."""
        pairs = zip(self._answers.get(path, []), self._answers[base], strict=False)
        changes = [change(answer, other) for answer, other in pairs]
        return sum(changes) / len(changes) if changes else 1.0

    def _gain(self, path: LayerPath, base: LayerPath, raced: Sequence[float] = ()) -> Gain:
        """How much more the path's answers are worth than the base's; gains of former races may count, too."""
        gains = [*self._gains(path, base), *raced]
        if not gains:
            return Gain(-1.0, 0.0)
        return shrunk_gain(gains, self._change(path, base)) if self._has_margins else mean_gain(gains)

    def _gains(self, path: LayerPath, base: LayerPath) -> list[float]:
        """How much more each answer of a path is worth than the base's, on the probes on which both ran."""
        pairs = zip(self._answers.get(path, []), self._answers[base], strict=False)
        return [worth(answer) - worth(other) for answer, other in pairs]

    @property
    def _num_enough(self) -> int:
        return min(len(self._probes), max(ENOUGH_PROBES, math.ceil(ENOUGH_SHARE * len(self._probes))))

    def _is_likely(self, path: LayerPath) -> bool:
        """Whether the path ran on enough probes and probably is as good as identity there."""
        return len(self._answers[path]) >= self._num_enough and self._is_near(path, LIKELY_ERRORS)

    def _is_sure(self, path: LayerPath) -> bool:
        return self._is_near(path, WORTH_ERRORS if self._has_margins else MIN_ERRORS)

    def _is_near(self, path: LayerPath, num_errors: float) -> bool:
        """Whether the path is as good as identity even if the probes flatter it by so many standard errors."""
        gain = self._gain(path, self._identity)
        return num_errors * gain.error - gain.mean <= self._max_drop * (WORTH_SHARE if self._has_margins else 1.0)

    @property
    def _has_margins(self) -> bool:
        return any(answer is not None and answer.margin is not None for answer in self._answers[self._identity])


def _skipped(path: LayerPath) -> list[int]:
    return [layer for layer, count in enumerate(path.counts()) if count == 0]


def _without(path: LayerPath, skipped: Sequence[int]) -> LayerPath | None:
    """The path without some layers; ``None`` if nothing would be left."""
    layers = tuple(layer for layer in path.layers if layer not in skipped)
    return LayerPath(layers, path.num_layers) if layers else None
