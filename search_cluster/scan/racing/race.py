"""The search of a scan: all candidates race on the same questions, and the survivors grow.

All paths of a round run on the same questions, so that differences are paired and prefixes are
shared. A first look stops the wrecks; each later round keeps a quarter, ranked by the shrunk worth
of answers, which orders paths better than accuracy does. Then the survivors are combined, on fresh
questions for each step, as long as a combination comes out ahead of what it was made of.
"""

from collections.abc import Callable, Generator, Iterable, Sequence

from search_cluster.faults import FIRST
from search_cluster.paths.cost import BARE, PathCosts
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.rounds import Outcome, Trial
from search_cluster.scan.answers import AnswerTable
from search_cluster.scan.constants import RACE
from search_cluster.scan.filling import TableRounds
from search_cluster.scan.racing.behind import not_behind
from search_cluster.scan.racing.layer_prior import LayerPrior
from search_cluster.scan.racing.plan import ScanPlan, num_kept, verdicts_left
from search_cluster.scan.racing.ranking import NEUTRAL, OPTIMISTIC, Estimate, estimate, ranked
from search_cluster.scan.racing.searched import Searched
from search_cluster.scan.racing.shared_luck import SharedLuck
from search_cluster.scan.racing.usual import UsualGains
from search_cluster.scan.result import Rung
from search_cluster.scan.space import Candidate, grown_candidates
from search_cluster.tasks.example import Example

Steps = Generator[list[Trial], Sequence[Outcome], None]
Always = Callable[[], bool]


class ScanSearch(TableRounds):
    """Implements `Rounds`; pure, so equal outcomes give an equal search.

    Args:
        questions: in a random order, those of several tasks taking turns, at least
            `ScanPlan.num_train` of each.
        facts: the fact that each question asks for.
        candidates: what the race begins with, of one model.
        num_tasks: how many tasks the questions are of.
        plan: how much is asked.
        aim: what makes a path better.
        max_edits: in a path that grows.
        costs: what paths cost.
        prior: what is known of layers beforehand; ``None``: nothing.
        may_go_on: asked before each round; where it says no, the search ends.
    """

    def __init__(
        self,
        questions: Sequence[Example],
        facts: Sequence[int],
        candidates: Sequence[Candidate],
        *,
        num_layers: int,
        num_tasks: int,
        plan: ScanPlan,
        aim: str,
        max_edits: int,
        costs: PathCosts = BARE,
        prior: LayerPrior | None = None,
        may_go_on: Always = lambda: True,
    ) -> None:
        super().__init__(plan.search_budget)
        self._questions = list(questions)
        self._facts = list(facts)
        self._identity = LayerPath.identity(num_layers)
        self._num_tasks = num_tasks
        self._plan = plan
        self._aim = aim
        self._max_edits = max_edits
        self._costs = costs
        self._prior = prior
        self._may_go_on = may_go_on
        self._candidates = list(candidates)
        self._survivors: list[Candidate] = []
        """Those that ran to the end of a race."""
        self._tables: list[AnswerTable] = []
        self._rungs: list[Rung] = []
        self._num_exhaustive = 0
        self._stopped_by = ""
        self._usual = UsualGains()
        self._num_planned = plan.search_budget
        self.step = 0
        """The step of the round that is asked now."""
        self.num_asked = 0
        """Questions on which its paths have run when it ends."""
        self._start(self._search())

    def result(self) -> Searched:
        """What was found, when nothing is left to ask."""
        best = self._best()
        return Searched(
            candidates=tuple(self._candidates),
            finalists=tuple(item.candidate for item in best[: RACE.max_finalists]),
            tables=tuple(self._tables),
            rungs=tuple(self._rungs),
            num_verdicts=self.num_spent,
            num_exhaustive=self._num_exhaustive,
            usual=self._usual,
            stopped_by=self._stopped_by,
        )

    @property
    def num_planned(self) -> int:
        """Verdicts that the search asks for in all, as far as it is known."""
        return min(self._budget, self._num_planned)

    def _search(self) -> Steps:
        singles = list(self._candidates)
        table = self._next_table(self._plan.rungs[-1])
        yield from self._ask(table, [self._identity], FIRST)  # if all of these fail, so does all
        yield from self._race(table, singles, self._plan.rungs, step=0)
        self._usual.know_parts(
            self._estimates(item for item in singles if item.path in table.by_path)
        )
        for step, rungs in enumerate(self._plan.grown, start=1):
            if self._stopped_by:
                return
            table = self._next_table(rungs[-1])
            bases, grown = self._grow(singles, step)
            if not grown:
                self._tables.remove(table)
                return
            self._candidates += grown
            yield from self._race(table, [*bases, *grown], rungs, step=step, bases=bases)
            yield from self._catch_up()
            if not any(item.step == step for item in self._next_bases()[: RACE.num_ahead]):
                return

    def _next_table(self, num_questions: int) -> AnswerTable:
        """A table of questions that nobody was asked yet, so many of each task."""
        first = sum(len(table.questions) for table in self._tables)
        rows = slice(first, first + num_questions * self._num_tasks)
        table = AnswerTable(self._questions[rows], self._identity, self._facts[rows])
        self._tables.append(table)
        return self._tables[-1]

    def _grow(
        self, singles: Sequence[Candidate], step: int
    ) -> tuple[list[Candidate], list[Candidate]]:
        """What a step of growth begins with: the best so far, and what one more edit makes."""
        bases = self._next_bases()
        asked = self._tables[0].by_path
        ran = self._estimates(item for item in singles if item.path in asked)
        order = [item.candidate for item in ranked(ran, self._aim, NEUTRAL) if not item.is_wreck]
        enough = RACE.proven_share * max(map(len, asked.values()))
        proven = [item for item in order if item.is_single and len(asked[item.path]) >= enough]
        # A layer that costs something alone may cost nothing beside another that is left out, and
        # there are few of these.
        thin = [item for item in order if item.is_single and item.edits[0].num_layers_added == -1]
        grown = grown_candidates(
            bases,
            list(dict.fromkeys([*proven[: RACE.num_singles], *thin])),
            step=step,
            max_edits=self._max_edits,
            known={item.path for item in self._candidates},
            costs=self._costs,
        )
        return bases, list(grown)

    def _race(
        self,
        table: AnswerTable,
        runners: Sequence[Candidate],
        rungs: Sequence[int],
        *,
        step: int,
        bases: Sequence[Candidate] = (),
    ) -> Steps:
        """Run paths on more and more questions, fewer and fewer of them; bases stay to the end."""
        alive = list(runners)
        behind: list[Estimate] = []
        looks_first = rungs[0] > RACE.look_questions and not step
        numbers = (RACE.look_questions, *rungs) if looks_first else tuple(rungs)
        self._num_exhaustive += (len(runners) + 1) * len(table.questions)
        for place, num_questions in enumerate(numbers):
            if not self._stopped_by and not self._may_go_on():
                self._stopped_by = "minutes"
            if self._stopped_by:
                break
            num_asked = num_questions * self._num_tasks
            self.step, self.num_asked = step, num_asked
            before = numbers[place - 1] if place else 0
            num_paths = [len(alive)] if place or not looks_first else [len(alive)] * 2
            num_left = verdicts_left(
                self._plan, self._identity.num_layers, num_paths, numbers[place:], before, step
            )
            self._num_planned = self.num_spent + self._num_tasks * num_left
            yield from self._ask(table, [self._identity, *(item.path for item in alive)], num_asked)
            alive = [item for item in alive if len(table.by_path[item.path]) >= num_asked]
            estimates = self._estimates(alive, [table])
            round_number = place + 1 - looks_first
            if round_number == 1:
                everybody = [*estimates, *behind]
                self._usual.learn(step, [it for it in everybody if it.candidate.step == step])
                estimates = self._estimates(alive, [table])
            sound = [item for item in estimates if not item.is_wreck]
            if round_number and num_questions != numbers[-1]:
                order = ranked(sound, self._aim, OPTIMISTIC)
                kept = order[: num_kept(len(runners), round_number)]
                kept += [item for item in order[len(kept) :] if item.candidate in bases]
            else:
                kept = sound
                if not round_number and self._prior is not None:
                    num_needed = num_kept(len(runners), 1)
                    kept = not_behind(sound, self._prior, self._aim, num_needed)
                    behind = [item for item in sound if item not in kept]
            self._rungs.append(
                Rung(
                    step=step,
                    num_questions=num_asked,
                    num_paths=len(estimates),
                    num_wrecks=len(estimates) - len(sound),
                    num_kept=len(kept),
                )
            )
            alive = [item.candidate for item in kept]
        self._survivors += [
            item for item in alive if table.by_path.get(item.path) and item not in self._survivors
        ]

    def _catch_up(self) -> Steps:
        """Ask the best so far all questions that others were asked.

        Paths of a step have met few questions, and bases and finalists are chosen among them.
        """
        if not self._stopped_by and not self._may_go_on():
            self._stopped_by = "minutes"
        paths = [item.path for item in self._best()[: self._plan.num_caught_up]]
        spent_before = self.num_spent
        for table in self._tables:
            if not self._stopped_by:
                yield from self._ask(table, paths, len(table.by_path[self._identity]))
        self._num_exhaustive += self.num_spent - spent_before  # no race saves any of these

    def _best(self) -> list[Estimate]:
        """Those that ran to the end of a race, the best first."""
        return ranked(self._estimates(self._survivors), self._aim, NEUTRAL)

    def _next_bases(self) -> list[Candidate]:
        """The best so far that can grow."""
        best = (item.candidate for item in self._best())
        return [item for item in best if item.edits][: self._plan.num_bases]

    def _estimates(
        self, candidates: Iterable[Candidate], tables: Sequence[AnswerTable] | None = None
    ) -> list[Estimate]:
        """What some tables, or all, say of candidates."""
        of_tables = self._tables if tables is None else tables
        luck = SharedLuck(self._tables, self._candidates)
        return [estimate(item, of_tables, self._usual.of(item), luck) for item in candidates]

    def _ask(self, table: AnswerTable, paths: Sequence[LayerPath], num_questions: int) -> Steps:
        """Bring paths to a number of questions; a budget without room for all ends the search."""
        if not (yield from self._fill(table, paths, num_questions)):
            self._stopped_by = "budget"
