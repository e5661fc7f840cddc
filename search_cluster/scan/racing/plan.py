"""How many questions each part of a scan asks, by what there is and what may be paid."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from search_cluster.errors import ConfigError
from search_cluster.scan.constants import RACE
from search_cluster.scan.settings import ScanSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanPlan:
    """Numbers of questions per task, and of verdicts in all."""

    rungs: tuple[int, ...]
    """Questions on which a path has run after each round of the race."""
    grown: tuple[tuple[int, ...], ...]
    """The same for each step of growth, whose questions are fresh."""
    num_caught_up: int
    """Paths that are asked, after each step of growth, all questions that others were asked."""
    num_bases: int = RACE.num_bases
    """Paths that each step of growth adds to."""
    search_budget: int
    """Verdicts that the search may ask for at most."""
    num_validation: int
    """Questions that confirm, per task."""
    num_test: int
    """Questions that report, per task and guard."""

    @property
    def num_train(self) -> int:
        """Questions of train, per task."""
        return self.rungs[-1] + sum(rungs[-1] for rungs in self.grown)


def num_kept(num_paths: int, round_number: int) -> int:
    """Paths that are left after so many rounds of a race."""
    share = RACE.kept_share**round_number
    return min(num_paths, max(RACE.min_kept, math.ceil(share * num_paths)))


def most_grown(num_layers: int, num_bases: int = RACE.num_bases) -> int:
    """Paths that a step of growth makes at most."""
    return num_bases * (RACE.num_singles + num_layers)


def questions_to_catch_up(
    rungs: Sequence[int], grown: Sequence[Sequence[int]], first_step: int = 1
) -> int:
    """Questions per task that paths may be asked after steps of growth, at most, one path a step.

    Args:
        rungs: of the race.
        grown: of the steps.
        first_step: the first one that counts.
    """
    ends = accumulate((of_step[-1] for of_step in grown), initial=rungs[-1])
    return sum(list(ends)[max(1, first_step) :])


def race_cost(num_paths: int, rungs: Sequence[int], num_bases: int = 0) -> int:
    """Verdicts of a race without wrecks, per task, those of the plain model and bases included."""
    cost, before = rungs[-1] * (1 + num_bases), 0
    for round_number, num_questions in enumerate(rungs):
        cost += num_kept(num_paths, round_number) * (num_questions - before)
        before = num_questions
    return cost


def verdicts_left(
    plan: ScanPlan,
    num_layers: int,
    num_paths: Sequence[int],
    rungs: Sequence[int],
    before: int,
    step: int,
) -> int:
    """Verdicts per task from here on, if no further path is a wreck and all steps of growth pay.

    Args:
        plan: of the scan.
        num_layers: of the model.
        num_paths: of the next rungs; later ones keep their share.
        rungs: those to come.
        before: the one that came before, or 0.
        step: the step that they belong to.
    """
    num_left = sum(
        race_cost(most_grown(num_layers, plan.num_bases), later, plan.num_bases)
        for later in plan.grown[step:]
    )
    num_left += plan.num_caught_up * questions_to_catch_up(plan.rungs, plan.grown, step)
    for number, rung in enumerate(rungs):
        is_known = number < len(num_paths)
        num_now = (
            num_paths[number] if is_known else num_kept(num_paths[-1], number + 1 - len(num_paths))
        )
        num_left += (num_now + 1) * (rung - before)
        before = rung
    return num_left


def plan_scan(
    settings: ScanSettings,
    *,
    limit: int | None,
    num_layers: int,
    num_paths: int,
    num_tasks: int,
    num_guards: int,
    available: tuple[int, int, int],
) -> ScanPlan:
    """Divide questions and budget among the race, growth, validation and test.

    Args:
        settings: with the budget.
        limit: questions per task at most, in the race, in each step of growth, and in each later
            look.
        num_layers: of the model.
        num_paths: candidates of the race.
        num_tasks: those that are searched.
        num_guards: those that are guarded.
        available: questions of train, validation and test, of the task that has fewest.

    Raises:
        ConfigError: the budget does not pay for a first look at all candidates.
    """
    num_train, num_validation, num_test = available
    most = min(limit or max(RACE.rungs), num_train)
    num_steps, of_step = _grown_questions(settings.grow - 1, most, limit, num_train)
    if num_steps:
        most = min(most, num_train - num_steps * of_step)
    rungs = _rungs(RACE.rungs, most)
    grown = (_rungs(RACE.grown_rungs, of_step),) * num_steps
    num_validation = min(limit or RACE.validation_questions, num_validation)
    num_test = min(limit or RACE.test_questions, num_test)
    if settings.budget is None:
        budget = num_tasks * (
            race_cost(num_paths, rungs)
            + sum(race_cost(most_grown(num_layers), step, RACE.num_bases) for step in grown)
            + RACE.num_caught_up * questions_to_catch_up(rungs, grown)
        )
        return ScanPlan(
            rungs=rungs,
            grown=grown,
            num_caught_up=RACE.num_caught_up,
            search_budget=budget,
            num_validation=num_validation,
            num_test=num_test,
        )
    for_validation = int(RACE.validation_share * settings.budget)
    for_test = int(RACE.test_share * settings.budget)
    for_search = settings.budget - for_validation - for_test
    for_caught = int(RACE.caught_share * for_search) if num_steps else 0
    for_race = for_search // num_tasks
    if num_steps:
        # Single edits that were asked little are no ground to build on; once they stand, what is
        # yet to be found lies in growth, and not in ever more questions on them.
        enough = race_cost(num_paths, _rungs(RACE.rungs, min(most, RACE.base_questions)))
        least, largest = (
            int(share * for_race) for share in (RACE.least_race_share, RACE.race_share)
        )
        for_race = min(max(enough, least), largest)
    affordable = _affordable(RACE.rungs, most, num_paths, for_race)
    least_validation = for_validation // (num_tasks * (RACE.max_finalists + 1))
    least_test = for_test // ((num_tasks + num_guards) * (RACE.max_reported + 1))
    if affordable is None or min(least_validation, least_test) < RACE.look_questions:
        look = num_tasks * race_cost(num_paths, (min(most, RACE.look_questions),))
        confirming = num_tasks * (RACE.max_finalists + 1) * RACE.look_questions
        reporting = (num_tasks + num_guards) * (RACE.max_reported + 1) * RACE.look_questions
        searching = (1 - RACE.validation_share - RACE.test_share) * (
            RACE.race_share if num_steps else 1
        )
        needed = max(
            look / searching, confirming / RACE.validation_share, reporting / RACE.test_share
        )
        raise ConfigError(
            f"a budget of {settings.budget} verdicts does not pay for a first look at {num_paths} "
            f"paths; it takes about {math.ceil(1.01 * needed)}: raise --budget, or try fewer paths "
            "with --max-block or --families"
        )
    for_growth = (for_search - for_caught) // num_tasks - race_cost(num_paths, affordable)
    grown, num_bases = _affordable_growth(num_steps, of_step, num_layers, for_growth)
    questions = questions_to_catch_up(affordable, grown)
    return ScanPlan(
        rungs=affordable,
        grown=grown,
        num_caught_up=min(RACE.num_caught_up, for_caught // max(1, num_tasks * questions)),
        num_bases=num_bases,
        search_budget=for_search,
        num_validation=min(num_validation, least_validation),
        num_test=min(num_test, least_test),
    )


def _grown_questions(
    num_steps: int, most: int, limit: int | None, num_train: int
) -> tuple[int, int]:
    """How many steps of growth there are questions for, and how many each has.

    Where there are few questions, one step has its least, if as many are left to the race.
    """
    least = min(RACE.grown_rungs[0], limit or RACE.grown_rungs[0])
    left = max(num_train - most, int(RACE.grown_share * num_train))
    if num_train >= 2 * least:
        left = max(left, least)
    num_steps = min(num_steps, left // least)
    if not num_steps:
        return 0, 0
    return num_steps, min(max(RACE.grown_rungs), limit or left, left // num_steps)


def _affordable_growth(
    num_steps: int, most: int, num_layers: int, budget: int
) -> tuple[tuple[tuple[int, ...], ...], int]:
    """The steps of growth that a budget pays for, and the paths that each adds to.

    Fewer bases come before fewer steps, for a path of several edits takes as many steps; with fewer
    questions than those of the first rung a step would choose by luck.
    """
    least = min(most, RACE.grown_rungs[0])
    for steps in range(num_steps, 0, -1):
        for num_bases in range(RACE.num_bases, 1, -1):
            num_grown = most_grown(num_layers, num_bases)
            rungs = _affordable(RACE.grown_rungs, most, num_grown, budget // steps, num_bases)
            if rungs is not None and rungs[-1] >= least:
                return (rungs,) * steps, num_bases
    return (), RACE.num_bases


def _rungs(usual: Sequence[int], most: int) -> tuple[int, ...]:
    """The usual rungs up to a number of questions, which is the last one."""
    return (*(rung for rung in usual if rung < most), most)


def _affordable(
    usual: Sequence[int], most: int, num_paths: int, budget: int, num_bases: int = 0
) -> tuple[int, ...] | None:
    """The largest race that a budget pays for; ``None`` if it pays for no first look."""
    for last in range(most, min(most, RACE.look_questions) - 1, -1):
        rungs = _rungs(usual, last)
        if race_cost(num_paths, rungs, num_bases) <= budget:
            return rungs
    return None
