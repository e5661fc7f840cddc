"""A study of other questions: which paths are as good as identity for many of them?

What a search finds on one question may be luck; what holds on many is not. The study asks identity
some probe questions and keeps those that it is least sure of, because good paths hardly change the
others. It skips each layer alone on a part of them and ranks the layers by how little identity's
answers change (and by what is known of layers, if anything is: `single_layers`). Then it grows: the
best layers race to be the next skip, ranked by what their answers are worth, in this race and in
those before, for the last few on all probes. As the winner of so many comparisons on so few probes
is mostly a lucky one, what it seems to gain is shrunk. Growth ends when that leads nowhere any
more. What is left of the budget goes to other paths that may be good, blocks that run twice among
them, for different paths fix different questions. What is likely worth as much as identity is on
the menu; what is sure, for right answers, too.

Neither measure is accuracy, because accuracy takes far more questions to see: what changes little
is harmless, and a smooth function of the margin tells helpful paths from harmful ones. Accuracy
only has a veto in the end. Both measures count in coarse steps of margins, so arithmetic noise has
no say. The study's evaluations are paid from the budget of the questions that are searched
afterwards.
"""

import math
from collections.abc import Generator, Sequence

from search_cluster.faults import FIRST
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.rounds import Outcome, Trial
from search_cluster.scan.edits import TWICE, Edit, path_of_edits
from search_cluster.scan.filling import TableRounds
from search_cluster.scan.racing.layer_prior import LayerPrior
from search_cluster.scan.settings import Family
from search_cluster.scan.space import single_edits
from search_cluster.search.study.answers import ProbeAnswers
from search_cluster.search.study.constants import STUDY
from search_cluster.search.study.single_layers import by_change
from search_cluster.tasks.example import Example
from search_cluster.tree.evidence import StudyPlan
from search_cluster.tree.menu import MenuPath

Steps = Generator[list[Trial], Sequence[Outcome], None]


def num_probes_studied(num_probes: int, max_evaluations: int, plan: StudyPlan) -> int:
    """How many of so many probe questions a study looks at.

    Args:
        num_probes: questions that there are.
        max_evaluations: the budget of the study.
        plan: its limits.

    Returns:
        0 if these are too few to learn from, so that no study is made.
    """
    budget = min(max_evaluations, plan.max_evaluations)
    affordable = round(budget / (STUDY.evaluations_per_probe * STUDY.close_share))
    num_asked = min(num_probes, plan.max_probes, affordable)
    return num_asked if round(STUDY.close_share * num_asked) >= STUDY.min_probes else 0


class MenuStudy(TableRounds):
    """Implements `Rounds`; its result is the `menu`.

    Args:
        probes: questions to try paths on, in a random order; the study takes as many as its budget
            is worth.
        num_layers: the model's depth.
        max_evaluations: the budget.
        plan: limits of the study.
        max_drop: how much rarer than identity, as a share of the probes, a sure path of the menu
            may be right, noise of `StudyConstants.min_errors` included (of
            `StudyConstants.worth_errors` where answers have margins).
    """

    def __init__(
        self,
        probes: Sequence[Example],
        *,
        num_layers: int,
        max_evaluations: int,
        plan: StudyPlan,
        max_drop: float,
    ) -> None:
        super().__init__(min(max_evaluations, plan.max_evaluations))
        self._max_menu = plan.max_menu
        self._influence = plan.influence
        num_asked = num_probes_studied(len(probes), max_evaluations, plan)
        self._identity = LayerPath.identity(num_layers)
        self._answers = ProbeAnswers(probes[:num_asked], self._identity, max_drop=max_drop)
        self._raced: dict[Edit, list[float]] = {}
        """Per skip of a layer, what it added to the worth of each probe.

        It comes from the race in which it ran on most probes.
        """
        self._start(self._study())

    @property
    def budget(self) -> int:
        """The largest number of evaluations; most studies end earlier."""
        return self._budget

    @property
    def menu(self) -> tuple[MenuPath, ...]:
        """The paths that ran on enough probes and are likely good, shortest first, not identity."""
        return self._answers.menu(self._max_menu)

    def result(self) -> tuple[MenuPath, ...]:
        """The `menu`, when nothing is left to ask."""
        return self.menu

    def _study(self) -> Steps:
        if not self._answers.questions:
            return
        yield from self._run([self._identity], FIRST)  # if all of these fail, so does the rest
        yield from self._run([self._identity], len(self._answers.questions))
        self._answers.keep_close_probes()
        if not self._answers.questions:
            return
        skips = {self._path([edit]): edit for edit in self._single_edits(Family.SKIP, 1)}
        singles = list(skips)
        influence = {}
        if self._influence:
            prior = LayerPrior(influence=self._influence)
            influence = {path: prior.of_edit(edit) for path, edit in skips.items()}
        affordable = round(STUDY.ranking_share * self._budget) // max(1, len(singles))
        most = max(2, min(STUDY.max_ranking_probes, affordable))
        num_few = min(len(self._answers.questions), most)
        for round_number in range(STUDY.race_rounds):
            num_left = max(STUDY.num_tried, round(STUDY.singles_kept**round_number * len(singles)))
            singles = by_change(self._answers, singles, influence)[:num_left]
            num_probes = math.ceil(num_few * (round_number + 1) / STUDY.race_rounds)
            yield from self._run(singles, num_probes)
        if not singles or not self._answers.by_path[singles[-1]]:
            return
        best = by_change(self._answers, singles, influence)[: STUDY.num_tried]
        yield from self._grow([skips[path] for path in best], num_few)
        yield from self._look_at_blocks(num_few)
        yield from self._complete()

    def _grow(self, skips: list[Edit], num_few: int) -> Steps:
        """Skip one more layer and one more, as long as the paths are good enough.

        Args:
            skips: of single layers, those that may be added.
            num_few: probes of a race; its finalists run on all.
        """
        answers = self._answers
        base: tuple[Edit, ...] = ()
        num_failed = 0
        while answers.change(self._path(base), self._identity) <= STUDY.max_change:
            is_last = len(base) + 1 == self._identity.num_layers
            new = [] if is_last else [skip for skip in skips if skip not in base]
            runners = {skip: self._path([*base, skip]) for skip in new}
            # The rest is for other paths: a menu of one family fixes the same questions again.
            is_spent = self._left < STUDY.others_share * self._budget
            if num_failed == STUDY.max_failed or not runners or is_spent:
                return
            winner = yield from self._race(self._path(base), runners, num_few)
            if len(answers.by_path[runners[winner]]) < len(answers.questions):  # no room was left
                return
            if answers.is_near(runners[winner], STUDY.likely_errors):
                base, num_failed = (*base, winner), 0
            else:
                skips = [skip for skip in skips if skip != winner]
                num_failed += 1

    def _race(
        self, base: LayerPath, runners: dict[Edit, LayerPath], num_probes: int
    ) -> Generator[list[Trial], Sequence[Outcome], Edit]:
        """Let paths race that skip one more layer than the base; the skip that wins.

        Args:
            base: where they come from.
            runners: the paths, by the skip that is added.
            num_probes: those on which all run; the finalists run on all there are.
        """
        answers = self._answers
        skips = list(runners)

        def rank(skip: Edit) -> tuple[float, Edit]:
            return -answers.gain(runners[skip], base, self._raced.get(skip, ())).mean, skip

        for round_number in range(1, STUDY.race_rounds + 1):
            num_so_far = math.ceil(num_probes * round_number / STUDY.race_rounds)
            yield from self._run([runners[skip] for skip in skips], num_so_far)
            num_left = max(STUDY.num_finalists, math.ceil(len(skips) / 2))
            skips = sorted(skips, key=rank)[:num_left]
        finalists = skips[: STUDY.num_finalists]
        yield from self._run([runners[skip] for skip in finalists], len(answers.questions))
        winner = min(finalists, key=rank)
        # After the choice: a gain that counted twice would flatter the skip that it belongs to.
        for skip, path in runners.items():
            gains = answers.gains(path, base)
            if len(gains) >= len(self._raced.get(skip, ())):
                self._raced[skip] = gains
        return winner

    def _look_at_blocks(self, num_few: int) -> Steps:
        """Run blocks twice on a few probes, if what is left of the budget allows enough of them."""
        blocks = [
            self._path([edit]) for edit in self._single_edits(Family.REPEAT, STUDY.block_layers)
        ]
        affordable = round(STUDY.block_share * self._left) // max(1, len(blocks))
        num_first = min(num_few, affordable)
        if num_first >= STUDY.min_probes:
            yield from self._run(blocks, num_first)

    def _complete(self) -> Steps:
        """Bring the most promising paths to enough probes, one by one, while the budget lasts."""
        num_enough = self._answers.num_enough
        num_spent = -1
        while num_spent < self.num_spent:
            num_spent = self.num_spent
            waiting = [
                path
                for path, answers in self._answers.by_path.items()
                if 0 < len(answers) < num_enough
            ]
            yield from self._run(sorted(waiting, key=self._promise)[-1:], num_enough)

    def _promise(self, path: LayerPath) -> tuple[float, tuple[int, ...]]:
        """What the path may be worth if its probes were one standard error unlucky.

        Equals are ordered by their layers.
        """
        return self._answers.gain(path, self._identity).at(1.0), path.layers

    def _run(self, paths: Sequence[LayerPath], num_probes: int) -> Steps:
        """Bring paths to a number of probes; those that the budget has no room for stay behind."""
        yield from self._fill(self._answers, paths, num_probes)

    def _single_edits(self, family: Family, num_layers: int) -> list[Edit]:
        """The skips or repeats of all blocks of so many layers."""
        edits = single_edits(
            self._identity.num_layers, (family,), max_block=num_layers, passes=TWICE
        )
        return [edit for edit in edits if edit.end - edit.first == num_layers]

    def _path(self, edits: Sequence[Edit]) -> LayerPath:
        return path_of_edits(edits, self._identity.num_layers)
