"""A study of other questions: which paths are as good as identity for many of them?

What a search finds on one question may be luck; what holds on many is not. The study grows skips one by one: candidates
race on few probe questions, the better ones go on to more, and the winner, which changes identity's answers least, is
the next to grow; what has grown must be right as often as identity to be on the menu. Change, not accuracy, decides the
races, because it takes far fewer questions to see. Margins count in coarse steps, so arithmetic noise has no say. Its
evaluations are paid from the budget of the questions that are searched afterwards.
"""

from collections.abc import Generator, Sequence

from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.search.rounds import Outcome, Trial
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.evidence import StudyPlan
from search_cluster.tree.menu import MenuPath

MIN_PROBES = 8
"""With fewer probe questions nothing can be learnt, and no study is made."""
EVALUATIONS_PER_PROBE = 15
"""How far a budget goes: as many paths' worth of evaluations on all probes."""
HEATS = ((8, 3), (24, 1))
"""Of each race: the probes that runners have run on, and how many of them go on."""
GROWTH_SHARE = 0.5
"""Share of the budget that growing may take; the rest tries what has grown on all probes."""
MAX_CHANGE = 0.5
"""Nothing is added to a path that changes answers more than that, on average."""
MAX_STEPS = 8
"""Margins that are so many steps apart are as far apart as they can be: a path that turns one answer upside down is not
worse than one that turns another into its opposite."""
NUM_LAYERS_TRIED = 8
"""How many single layers, the best ones, are tried as the next skip."""

Steps = Generator[list[Trial], Sequence[Outcome], None]


class MenuStudy:
    """Implements `Rounds`; read `menu` when nothing is left to ask.

    Args:
        probes: questions to try paths on, in a random order; the study takes as many as its budget is worth.
        num_layers: depth of the model.
        max_evaluations: the budget.
        plan: limits of the study.
        max_drop: how much rarer than identity, as a share of the probes, a path of the menu may be right.
    """

    def __init__(
        self, probes: Sequence[Example], *, num_layers: int, max_evaluations: int, plan: StudyPlan, max_drop: float
    ) -> None:
        self._budget = min(max_evaluations, plan.max_evaluations)
        num_probes = min(len(probes), plan.max_probes, self._budget // EVALUATIONS_PER_PROBE)
        self._probes = list(probes[:num_probes]) if num_probes >= MIN_PROBES else []
        self._identity = LayerPath.identity(num_layers)
        self._max_menu, self._max_drop = plan.max_menu, max_drop
        self._answers: dict[LayerPath, list[Verdict | None]] = {}
        self.num_spent = 0
        """Evaluations so far."""
        self._round: list[Trial] = []
        self._steps = self._study()
        self._advance(None)

    def next_round(self) -> list[Trial]:
        """The evaluations of the next round; empty exactly if the study is done."""
        return list(self._round)

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Take the outcomes of the last round, in the order of its trials.

        Raises:
            InvalidValueError: not one outcome for each trial.
        """
        if len(outcomes) != len(self._round):
            raise InvalidValueError(f"{len(outcomes)} outcomes for {len(self._round)} trials; give one for each")
        self.num_spent += len(outcomes)
        self._advance(outcomes)

    @property
    def menu(self) -> tuple[MenuPath, ...]:
        """The paths that ran on all probes and are right there often enough, shortest first; without identity."""
        if not self._probes:
            return ()
        found = [
            MenuPath(
                path=path,
                num_right=self._num_right(path),
                num_identity_right=self._num_right(self._identity),
                num_probes=len(self._probes),
            )
            for path in self._answers
            if path != self._identity and self._is_good(path)
        ]
        best = sorted(found, key=lambda item: self._rank(item.path))[: self._max_menu]
        return tuple(sorted(best, key=lambda item: (len(item.path), -item.num_right, item.path.layers)))

    def _advance(self, outcomes: Sequence[Outcome] | None) -> None:
        try:
            self._round = next(self._steps) if outcomes is None else self._steps.send(outcomes)
        except StopIteration:
            self._round = []

    def _study(self) -> Steps:
        if not self._probes:
            return
        yield from self._run([self._identity], len(self._probes), self._budget)
        grown = yield from self._grow(round(GROWTH_SHARE * self._budget))
        others = sorted((path for path in self._answers if path not in grown), key=self._rank)
        for path in [*grown, *others]:
            yield from self._run([path], len(self._probes), self._budget)

    def _grow(self, limit: int) -> Generator[list[Trial], Sequence[Outcome], list[LayerPath]]:
        """The winners of race after race, each with one more layer skipped."""
        grown: list[LayerPath] = []
        base = self._identity
        layers = list(range(base.num_layers))
        while self.num_spent < limit and self._change(base) <= MAX_CHANGE:
            runners = [longer for layer in layers if (longer := _without(base, layer)) is not None]
            if not runners:
                break
            yield from self._race(runners, limit)
            if not grown:
                ranked = sorted(runners, key=self._rank)
                layers = [path.counts().index(0) for path in ranked[:NUM_LAYERS_TRIED]]
            base = min(runners, key=self._rank)
            grown.append(base)
        return grown

    def _race(self, runners: Sequence[LayerPath], limit: int) -> Steps:
        """Run the heats; the winner has run the most."""
        left = list(runners)
        for num_probes, num_kept in HEATS:
            yield from self._run(left, min(num_probes, len(self._probes)), limit)
            left = sorted(left, key=self._rank)[:num_kept]

    def _run(self, paths: Sequence[LayerPath], num_probes: int, limit: int) -> Steps:
        """Bring paths to a number of probes; those that the limit of evaluations has no room for stay behind."""
        trials: list[Trial] = []
        for path in paths:
            known = self._answers.setdefault(path, [])
            new = [(probe, path) for probe in self._probes[len(known) : num_probes]]
            if self.num_spent + len(trials) + len(new) > limit:
                break
            trials += new
        if not trials:
            return
        outcomes = yield trials
        for (_, path), outcome in zip(trials, outcomes, strict=True):
            self._answers[path].append(outcome if isinstance(outcome, Verdict) else None)

    def _rank(self, path: LayerPath) -> tuple[int, float, tuple[int, ...]]:
        """Best first: those that have run on more probes, then those that change least, then by layers."""
        return -len(self._answers.get(path, [])), self._change(path), path.layers

    def _change(self, path: LayerPath) -> float:
        """How much the path changes identity's answers, in [0, 1] on average; it tells skill from luck."""
        answers = self._answers.get(path, [])
        changes = [
            _change(answer, plain) for answer, plain in zip(answers, self._answers[self._identity], strict=False)
        ]
        return sum(changes) / len(changes) if changes else 1.0

    def _complete(self, path: LayerPath) -> bool:
        return len(self._answers[path]) == len(self._probes)

    def _is_good(self, path: LayerPath) -> bool:
        lost = self._num_right(self._identity) - self._num_right(path)
        return self._complete(path) and lost <= self._max_drop * len(self._probes)

    def _num_right(self, path: LayerPath) -> int:
        return sum(answer is not None and answer.is_correct for answer in self._answers[path])


def _change(answer: Verdict | None, plain: Verdict | None) -> float:
    """0 for the same answer, 1 for another one; where answers have margins, how far these are apart."""
    if answer is None or plain is None:
        return 1.0
    margin, plain_margin = answer.coarse_margin, plain.coarse_margin
    if margin is None or plain_margin is None:
        return float(answer.output != plain.output)
    return min(1.0, abs(margin - plain_margin) / MAX_STEPS)


def _without(path: LayerPath, layer: int) -> LayerPath | None:
    """The path without a layer that it runs; ``None`` if nothing would change, or nothing be left."""
    layers = tuple(other for other in path.layers if other != layer)
    return LayerPath(layers, path.num_layers) if 0 < len(layers) < len(path) else None
