"""The race finds a planted path, keeps its promises about questions and budget, and is pure."""

import dataclasses
import hashlib
import statistics
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from search_cluster.errors import ConfigError, OneFaultError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import Failure
from search_cluster.protocols.rounds import Outcome, Trial
from search_cluster.scan.constants import RACE
from search_cluster.scan.edits import Edit, path_of_edits
from search_cluster.scan.racing.layer_prior import LayerPrior
from search_cluster.scan.racing.plan import (
    ScanPlan,
    most_grown,
    plan_scan,
    questions_to_catch_up,
    race_cost,
)
from search_cluster.scan.racing.race import ScanSearch
from search_cluster.scan.racing.ranking import estimate
from search_cluster.scan.racing.searched import Searched
from search_cluster.scan.racing.summaries import summaries
from search_cluster.scan.result import CandidateSummary
from search_cluster.scan.settings import Aim, ScanSettings
from search_cluster.scan.space import first_candidates
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

NUM_LAYERS = 8
SINGLES = first_candidates(NUM_LAYERS, ("skip", "repeat"), max_block=NUM_LAYERS, passes=2)
IDENTITY = LayerPath.identity(NUM_LAYERS)
GOOD_SKIP, GOOD_REPEAT = Edit(3, 4, 0), Edit(5, 7, 2)
BEST = path_of_edits([GOOD_SKIP, GOOD_REPEAT], NUM_LAYERS)


def examples(count: int, tasks: Sequence[str] = ("made up",)) -> list[Example]:
    return [
        Example(task=task, question=f"{task} {number}", gold="g", split="train", source="test")
        for number in range(count)
        for task in tasks
    ]


def noise(*parts: object) -> float:
    """Uniform in [-1, 1], drawn from what it is of."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**63 - 1.0


def margin(example: Example, path: LayerPath) -> float:
    """Two edits help, alone and together; every other layer that is missing or twice hurts."""
    counts = list(path.counts())
    gain = 0.0
    if counts[3] == 0:
        gain, counts[3] = gain + 0.4, 1
    if (counts[5], counts[6]) == (2, 2):
        gain, counts[5], counts[6] = gain + 0.5, 1, 1
    harm = sum(abs(count - 1) for count in counts)
    changed = 0.0 if path == IDENTITY else 0.3 * noise(example.question, path.layers)
    return 2.0 * noise(example.question) + gain - 0.6 * harm + changed


def answer(trial: Trial) -> Outcome:
    value = margin(*trial)
    return Verdict(reward=float(value > 0), margin=value, output=str(value > 0), num_layer_tokens=8)


def plan(**settings: int | None) -> ScanPlan:
    return plan_scan(
        ScanSettings(budget=settings.get("budget"), grow=settings.get("grow") or 3),
        limit=settings.get("limit"),
        num_layers=NUM_LAYERS,
        num_paths=len(SINGLES),
        num_tasks=settings.get("num_tasks") or 1,
        num_guards=0,
        available=(settings.get("num_train") or 2_000, 500, 500),
    )


def run(
    planned: ScanPlan,
    *,
    aim: str = Aim.ACCURACY,
    tasks: Sequence[str] = ("made up",),
    respond: Callable[[Trial], Outcome] = answer,
    may_go_on: Callable[[], bool] = lambda: True,
    prior: LayerPrior | None = None,
) -> tuple[Searched, list[Trial]]:
    search = ScanSearch(
        examples(planned.num_train, tasks),
        range(planned.num_train * len(tasks)),
        SINGLES,
        num_layers=NUM_LAYERS,
        num_tasks=len(tasks),
        plan=planned,
        aim=aim,
        max_edits=3,
        prior=prior,
        may_go_on=may_go_on,
    )
    asked: list[Trial] = []
    while trials := search.next_round():
        asked += trials
        assert len(asked) <= search.num_planned <= planned.search_budget
        search.observe([respond(trial) for trial in trials])
    return search.result(), asked


def test_it_finds_the_best_combination_with_a_part_of_the_verdicts() -> None:
    found, asked = run(plan())
    assert found.finalists[0].path == BEST
    assert found.finalists[0].edits == (GOOD_SKIP, GOOD_REPEAT)
    assert found.num_verdicts == len(asked) < found.num_exhaustive / 2.5
    assert len(found.finalists) <= 8


def test_a_prior_of_layers_finds_the_same_with_fewer_verdicts() -> None:
    influence = tuple(0.02 if layer in (3, 5, 6) else 0.2 for layer in range(NUM_LAYERS))
    planned = plan()
    without, asked = run(planned)
    found, fewer = run(planned, prior=LayerPrior(influence=influence))
    assert found.finalists[0].path == without.finalists[0].path == BEST
    look, first = found.rungs[:2]
    assert look.num_kept == first.num_paths < without.rungs[1].num_paths
    assert first.num_kept == without.rungs[1].num_kept
    assert len(fewer) <= len(asked) - 24 * (without.rungs[1].num_paths - first.num_paths)
    misleading = LayerPrior(influence=tuple(0.22 - value for value in influence))
    assert run(planned, prior=misleading)[0].finalists[0].path == BEST


def test_no_pair_is_asked_twice_and_all_paths_of_a_step_run_on_the_same_first_questions() -> None:
    found, asked = run(plan())
    assert max(Counter(asked).values()) == 1
    seen: set[str] = set()
    for table in found.tables:
        ids = [question.example_id for question in table.questions]
        assert not seen & set(ids)  # each step has fresh questions
        seen.update(ids)
        for path, answers in table.by_path.items():
            of_path = [question for question, other in asked if other == path]
            assert [item for item in of_path if item.example_id in ids] == table.questions[
                : len(answers)
            ]


def test_wrecks_stop_after_the_first_look_and_rounds_keep_a_quarter() -> None:
    found, _ = run(plan())
    look, first, second, *_ = found.rungs
    assert (look.num_questions, look.num_paths) == (8, len(SINGLES))
    assert 0 < look.num_wrecks == look.num_paths - look.num_kept
    assert first.num_questions == 32
    assert first.num_kept == second.num_paths == round(len(SINGLES) / 4 + 0.49)
    wreck = path_of_edits([Edit(0, 7, 0)], NUM_LAYERS)
    assert len(found.tables[0].by_path[wreck]) == 8


def test_by_layers_it_finds_the_shortest_path_that_loses_nothing() -> None:
    found, _ = run(plan(), aim=Aim.LAYERS)
    assert found.finalists[0].path == path_of_edits([GOOD_SKIP], NUM_LAYERS)


def test_on_the_front_both_are_finalists() -> None:
    found, _ = run(plan(), aim=Aim.FRONT)
    finalists = {item.path for item in found.finalists}
    assert {BEST, path_of_edits([GOOD_SKIP], NUM_LAYERS)} <= finalists


@pytest.mark.parametrize("luck", [-0.8, 0.8])
def test_questions_that_suit_all_paths_of_a_step_do_not_make_these_better(luck: float) -> None:
    """The first rung of growth is lucky; paths that met nothing else are said to be as good."""
    planned = plan(grow=2)
    first = planned.rungs[-1]
    lucky = {item.question for item in examples(first + planned.grown[0][0])[first:]}

    def respond(trial: Trial) -> Outcome:
        question, path = trial
        value = margin(question, path)
        if path != IDENTITY and question.question in lucky:
            value += luck
        return Verdict(reward=float(value > 0), margin=value, output="", num_layer_tokens=8)

    def grown(found: Searched) -> dict[str, CandidateSummary]:
        return {item.path: item for item in summaries(found) if item.step and not item.is_wreck}

    usual, other = grown(run(planned)[0]), grown(run(planned, respond=respond)[0])
    both = [path for path in usual if path in other and usual[path].train.num_questions == 32]
    assert len(both) > 10
    moved = [other[path].train.gain - usual[path].train.gain for path in both]
    assert abs(statistics.mean(moved)) > 0.1
    said = [other[path].shrunk - usual[path].shrunk for path in both]
    assert abs(statistics.mean(said)) < 0.03


@pytest.mark.parametrize("budget", [1_300, 2_000, 5_000])
def test_a_budget_is_never_exceeded_and_pays_for_finalists(budget: int) -> None:
    planned = plan(budget=budget)
    found, asked = run(planned)
    later = 9 * planned.num_validation + 5 * planned.num_test
    assert len(asked) + later <= budget
    assert found.finalists


def test_a_budget_that_is_too_small_is_refused_with_a_sufficient_one() -> None:
    with pytest.raises(ConfigError, match=r"a budget of 500 .* takes about (\d+)") as error:
        plan(budget=500)
    assert plan(budget=int(str(error.value).split("takes about ")[1].split(":")[0])).rungs


def test_whatever_the_plan_the_budget_is_a_wall() -> None:
    found, asked = run(dataclasses.replace(plan(), search_budget=1_000))
    assert len(asked) <= 1_000
    assert found.stopped_by == "budget"
    assert found.finalists


def test_growth_ends_when_a_combination_is_no_better_than_what_it_is_made_of() -> None:
    def one_is_enough(trial: Trial) -> Outcome:
        example, path = trial
        value = margin(example, path)
        if path.counts()[3] == 0 and len(path) != NUM_LAYERS - 1:
            value -= 0.8
        return Verdict(reward=float(value > 0), margin=value, output="", num_layer_tokens=8)

    planned = plan(grow=4)
    assert len(planned.grown) == 3
    found, _ = run(planned, respond=one_is_enough)
    assert max(rung.step for rung in found.rungs) == 1


def test_when_the_time_is_up_no_further_round_opens_and_what_is_left_are_finalists() -> None:
    rounds = iter([True, True, False])
    found, _ = run(plan(), may_go_on=lambda: next(rounds))
    assert found.stopped_by == "minutes"
    assert [rung.num_questions for rung in found.rungs] == [8, 32]
    assert BEST not in {item.path for item in found.finalists}
    assert found.finalists


def test_equal_outcomes_give_an_equal_search() -> None:
    first, second = run(plan(limit=64)), run(plan(limit=64))
    assert first[1] == second[1]
    assert first[0].finalists == second[0].finalists


def test_with_several_tasks_a_path_that_loses_on_one_comes_last() -> None:
    def two_minds(trial: Trial) -> Outcome:
        example, path = trial
        value = margin(example, path)
        if path.counts()[3] == 0:  # what helps the first task most hurts the other one
            value += 5.0 if example.task == "made up" else -1.6
        return Verdict(reward=float(value > 0), margin=value, output="", num_layer_tokens=8)

    found, asked = run(plan(num_tasks=2, limit=96), tasks=("made up", "other"), respond=two_minds)
    counts = Counter(example.task for example, _ in asked)
    assert counts["made up"] == counts["other"]
    assert found.finalists[0].path == path_of_edits([GOOD_REPEAT], NUM_LAYERS)


def test_without_margins_accuracy_decides() -> None:
    def by_reward(trial: Trial) -> Outcome:
        return dataclasses.replace(answer(trial), margin=None)

    found, _ = run(plan(), respond=by_reward)
    assert BEST in {item.path for item in found.finalists[:2]}


def test_paths_that_fail_lose_and_a_fault_of_all_ends_the_search() -> None:
    failure = Failure(kind="NonFiniteLogitsError", message="NaN")

    def no_repeats(trial: Trial) -> Outcome:
        return failure if max(trial[1].counts()) > 1 else answer(trial)

    found, _ = run(plan(limit=64), respond=no_repeats)
    assert found.finalists[0].path == path_of_edits([GOOD_SKIP], NUM_LAYERS)
    with pytest.raises(OneFaultError, match="16 examples failed for one reason"):
        run(plan(limit=64), respond=lambda trial: failure)


def test_questions_that_can_not_be_asked_change_nothing_of_what_is_found() -> None:
    """A third of the prompts is too long: that is no change of answers, and no loss."""
    failure = Failure(kind="PromptTooLongError", message="too long")

    def is_too_long(example: Example) -> bool:
        return noise("length", example.question) < -1 / 3

    def some_too_long(trial: Trial) -> Outcome:
        return failure if is_too_long(trial[0]) else answer(trial)

    found, _ = run(plan(), respond=some_too_long)
    assert found.finalists[0].path == BEST
    for item in found.finalists:
        said = estimate(item, found.tables)
        asked = [
            question
            for table in found.tables
            for question, _ in zip(table.questions, table.by_path[item.path], strict=False)
        ]
        answered = [question for question in asked if not is_too_long(question)]
        assert said.num_questions == len(answered) < len(asked)
        changed = [answer((one, item.path)) != answer((one, IDENTITY)) for one in answered]
        assert said.mean_change <= sum(changed) / len(answered)


def test_a_first_look_of_which_nothing_can_be_asked_makes_no_wrecks() -> None:
    failure = Failure(kind="PromptTooLongError", message="too long")
    late = {question.question for question in examples(12)}

    def first_too_long(trial: Trial) -> Outcome:
        return failure if trial[0].question in late else answer(trial)

    found, _ = run(plan(grow=1), respond=first_too_long)
    assert found.rungs[0].num_wrecks == 0
    assert found.finalists[0].path == path_of_edits([GOOD_REPEAT], NUM_LAYERS)


def test_a_race_costs_at_most_what_the_plan_says() -> None:
    planned = plan(grow=1)
    found, asked = run(planned)
    assert planned.search_budget == race_cost(len(SINGLES), planned.rungs)
    assert len(asked) <= planned.search_budget
    assert found.num_exhaustive == (len(SINGLES) + 1) * planned.rungs[-1]


@pytest.mark.parametrize(
    ("limit", "num_train", "rungs", "grown"),
    [
        (None, 2_000, (32, 96, 224, 524), ((32, 96, 224), (32, 96, 224))),
        (64, 2_000, (32, 64), ((32, 64), (32, 64))),
        (1_000, 4_000, (32, 96, 224, 524, 1_000), ((32, 96, 224), (32, 96, 224))),
        (None, 282, (32, 96, 212), ((32, 35), (32, 35))),
        (8, 100, (8,), ((8,), (8,))),
    ],
)
def test_questions_are_divided_so_that_growth_has_fresh_ones(
    limit: int | None,
    num_train: int,
    rungs: tuple[int, ...],
    grown: tuple[tuple[int, ...], ...],
) -> None:
    found = plan(limit=limit, num_train=num_train)
    assert (found.rungs, found.grown) == (rungs, grown)
    assert found.num_train <= num_train


def test_a_layer_that_costs_something_alone_is_tried_beside_others() -> None:
    """Skipping layer 5 loses alone, and gains beside the skip that is best alone."""

    def respond(trial: Trial) -> Outcome:
        question, path = trial
        counts = path.counts()
        steps = 0.0
        if len(path) == NUM_LAYERS - 1 and counts[GOOD_SKIP.first] == 0:
            steps = 0.6
        elif counts[5] == 0:
            alone = counts[GOOD_SKIP.first] != 0 or len(path) != NUM_LAYERS - 2
            steps = -0.5 if alone else 1.2
        elif len(path) != NUM_LAYERS:
            steps = -0.2
        value = margin(question, IDENTITY) + steps
        return Verdict(
            reward=float(value > 0), margin=value, output=str(value > 0), num_layer_tokens=8
        )

    found, _ = run(plan(), respond=respond)
    both = path_of_edits(sorted([GOOD_SKIP, Edit(5, 6, 0)]), NUM_LAYERS)
    assert found.finalists[0].path == both


@pytest.mark.parametrize(
    ("num_paths", "budget", "least_steps"),
    [(114, 16_000, 1), (114, 20_000, 2), (929, 40_000, 2), (929, 80_000, 3)],
)
def test_a_small_budget_pays_for_growth_too(num_paths: int, budget: int, least_steps: int) -> None:
    """Fewer bases come before fewer steps; no step asks fewer questions than its first rung."""
    planned = plan_scan(
        ScanSettings(budget=budget), limit=None, num_layers=30, num_paths=num_paths, num_tasks=1,
        num_guards=0, available=(1_500, 370, 474),
    )  # fmt: skip
    assert len(planned.grown) >= least_steps
    assert all(rungs[-1] >= RACE.grown_rungs[0] for rungs in planned.grown)
    assert 2 <= planned.num_bases <= RACE.num_bases
    cost = race_cost(num_paths, planned.rungs) + sum(
        race_cost(most_grown(30, planned.num_bases), rungs, planned.num_bases)
        for rungs in planned.grown
    )
    cost += planned.num_caught_up * questions_to_catch_up(planned.rungs, planned.grown)
    assert cost <= planned.search_budget <= 0.7 * budget


@pytest.mark.parametrize(
    ("num_train", "rungs", "grown"),
    [
        (63, (32, 63), ()),
        (64, (32,), ((32,),)),
        (124, (32, 92), ((32,),)),
        (160, (32, 96, 120), ((32, 40),)),
    ],
)
def test_few_questions_are_shared_by_the_race_and_growth(
    num_train: int, rungs: tuple[int, ...], grown: tuple[tuple[int, ...], ...]
) -> None:
    planned = plan(num_train=num_train)
    assert (planned.rungs, planned.grown) == (rungs, grown)


def test_a_step_adds_to_as_many_paths_as_the_plan_says() -> None:
    planned = dataclasses.replace(plan(), num_bases=2)
    found, _ = run(planned)
    steps = [rung for rung in found.rungs if rung.step == 1]
    assert steps
    assert steps[0].num_paths <= most_grown(NUM_LAYERS, 2) + 2
