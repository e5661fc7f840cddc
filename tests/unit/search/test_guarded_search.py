"""Credible labels: what a lucky path may become, and what the study of other questions finds."""

import dataclasses
import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_cluster.corpus.digest import corpus_digest
from search_cluster.corpus.record import ExampleRecord
from search_cluster.errors import InvalidValueError, OneFaultError
from search_cluster.faults import FIRST
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import EvaluationRequest, Failure
from search_cluster.protocols.scripted import RewardFunction, ScriptedEvaluator
from search_cluster.search.coordinator import Coordinator
from search_cluster.search.guarded_search import GuardedSearch
from search_cluster.search.questions import Questions
from search_cluster.search.study import study as menu_study
from search_cluster.search.study.study import MenuStudy
from search_cluster.tasks.example import Example
from search_cluster.tasks.perturbation.perturbations import EvidenceRole
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.evidence import EvidenceRule, StudyPlan
from search_cluster.tree.menu import MenuPath, MenuSearch
from search_cluster.tree.presets.credible import CREDIBLE
from search_cluster.tree.presets.drllm import DRLLM

NUM_LAYERS = 8
IDENTITY = LayerPath.identity(NUM_LAYERS)
HARMLESS = frozenset({2, 4, 5})
"""Layers of the toy model that no answer depends on."""


def question(text: str) -> Example:
    return Example(task="toy", question=text, gold="g", split="train", source="test")


def without(*layers: int) -> LayerPath:
    return LayerPath(tuple(layer for layer in range(NUM_LAYERS) if layer not in layers), NUM_LAYERS)


def perturb(example: Example, role: EvidenceRole, count: int) -> list[Example]:
    return [question(f"{example.question}|{role}|{number}") for number in range(count)]


def verdict(right: bool) -> Verdict:
    return Verdict(
        reward=float(right), margin=None, output="g" if right else "wrong", num_layer_tokens=1
    )


def with_margin(value: float) -> Verdict:
    return Verdict(
        reward=float(value > 0),
        margin=value,
        output="g" if value > 0 else "wrong",
        num_layer_tokens=1,
    )


def toy_reward(example: Example, path: LayerPath) -> float:
    """Identity is right on most questions, as are harmless skips; other paths are right by luck."""
    base = example.question.split("|")[0]
    identity_right = random.Random(f"plain {base}").random() < 0.7
    if (
        set(range(NUM_LAYERS)) - set(path.layers) <= HARMLESS
        and path.keeps_order
        and max(path.counts()) == 1
    ):
        return float(identity_right)
    return float(random.Random(f"luck {example.question} {path}").random() < 0.25)


def study(
    reward: RewardFunction,
    *,
    max_evaluations: int,
    num_probes: int = 60,
    answer: Callable[[float], Verdict] | None = None,
) -> MenuStudy:
    plan = StudyPlan(budget_share=0.5, max_evaluations=10_000, max_probes=48, max_menu=12)
    result = MenuStudy(
        [question(f"probe {number}") for number in range(num_probes)],
        num_layers=NUM_LAYERS,
        max_evaluations=max_evaluations,
        plan=plan,
        max_drop=0.02,
    )
    answer = answer or (lambda value: verdict(bool(value)))
    while trials := result.next_round():
        outcomes = [reward(example, path) for example, path in trials]
        result.observe([item if isinstance(item, Failure) else answer(item) for item in outcomes])
    return result


def test_the_study_finds_the_layers_that_no_answer_depends_on() -> None:
    found = study(toy_reward, max_evaluations=960)
    assert found.num_spent <= 960
    skipped = [set(range(NUM_LAYERS)) - set(item.path.layers) for item in found.menu]
    assert set(HARMLESS) in skipped
    assert all(layers <= HARMLESS for layers in skipped)
    assert [len(item.path) for item in found.menu] == sorted(len(item.path) for item in found.menu)
    assert all(item.num_right == item.num_identity_right for item in found.menu)


def test_a_path_that_may_be_lucky_on_the_probes_is_on_no_menu() -> None:
    def right(example: Example) -> bool:
        return int(example.question.split()[-1]) % 2 == 0

    def harmless(example: Example, path: LayerPath) -> float:
        return float(right(example) and path in (IDENTITY, without(4)))

    def trading(example: Example, path: LayerPath) -> float:
        """Without layer 4 as many answers turn right as wrong: no drop, but no certainty either."""
        return float(not right(example)) if path == without(4) else harmless(example, path)

    assert [item.path for item in study(harmless, max_evaluations=960).menu] == [without(4)]
    assert study(trading, max_evaluations=960).menu == ()


def test_the_path_that_answers_most_new_probes_is_the_first_to_fix() -> None:
    fixes = {IDENTITY: set[int](), without(2): {1}, without(4): {1, 3}, without(5): {5}}

    def reward(example: Example, path: LayerPath) -> float:
        number = int(example.question.split()[-1])
        return float(path in fixes and (number % 2 == 0 or number % 6 in fixes[path]))

    found = sorted(study(reward, max_evaluations=3_000).menu, key=lambda item: item.fixing_place)
    assert [item.path for item in found] == [without(4), without(5), without(2)]
    assert [item.fixing_place for item in found] == [0, 1, 2]


def test_growth_prefers_the_skip_that_helps_to_one_that_changes_nothing() -> None:
    def margin(example: Example, path: LayerPath) -> float:
        """Layers 2 and 4 do nothing; without 5 answers are a little better, but not without 2."""
        plain = random.Random(example.question).uniform(-1.0, 1.0)
        skipped = set(range(NUM_LAYERS)) - set(path.layers)
        if skipped - {2, 4, 5} or {2, 5} <= skipped or len(path) > NUM_LAYERS:
            return -3.0
        return plain + 0.4 * (5 in skipped)

    found = {
        item.path: item for item in study(margin, max_evaluations=1_400, answer=with_margin).menu
    }
    assert found[without(4, 5)].num_right > found[without(4, 5)].num_identity_right
    assert without(2, 4) not in found or len(found[without(4, 5)].path) <= len(
        found[without(2, 4)].path
    )


def test_a_skip_that_leads_nowhere_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        menu_study, "STUDY", dataclasses.replace(menu_study.STUDY, max_ranking_probes=8)
    )

    def margin(example: Example, path: LayerPath) -> float:
        """Without 5, skipping 2 or 3 helps the first probes, which choose, and ruins the others."""
        plain = random.Random(example.question).uniform(-1.0, 1.0)
        skipped = set(range(NUM_LAYERS)) - set(path.layers)
        if skipped - {2, 3, 4, 5} or len(path) > NUM_LAYERS:
            return -3.0
        if 5 in skipped and skipped & {2, 3}:
            return plain + (1.0 if int(example.question.split()[-1]) < 16 else -3.0)
        return plain + 0.1 * (4 in skipped) + 0.5 * (5 in skipped)

    found = study(margin, max_evaluations=1_400, answer=with_margin)
    tried = {path: len(answers) for path, answers in found._answers.by_path.items()}
    assert (
        tried[without(2, 5)]
        == tried[without(3, 5)]
        == tried[without(4, 5)]
        == len(found._answers.questions)
        == 32
    )
    assert without(4, 5) in {item.path for item in found.menu}
    assert not {without(2, 5), without(3, 5)} & {item.path for item in found.menu}


def test_a_study_of_few_probes_does_not_trust_what_changes_many_answers() -> None:
    """Each skip is as good as identity on average; only 2, 4 and 5 hardly change answers."""

    def margin(seed: int, example: Example, path: LayerPath) -> float:
        skipped = sorted(set(range(NUM_LAYERS)) - set(path.layers))
        shifts = [
            random.Random(f"{seed} {layer} {example.question}").gauss(
                0.0, 0.1 if layer in HARMLESS else 2.0
            )
            for layer in skipped
        ]
        return (
            random.Random(example.question).uniform(-1.0, 1.0)
            + sum(shifts)
            - 5.0 * (len(path) > NUM_LAYERS)
        )

    for seed in range(10):
        found = study(
            lambda example, path, seed=seed: margin(seed, example, path),
            max_evaluations=400,
            answer=with_margin,
        )
        assert found.menu
        assert all(
            set(range(NUM_LAYERS)) - set(item.path.layers) <= HARMLESS
            for item in found.menu
            if item.sure
        )


def test_accuracy_is_kept_among_all_probes_of_which_the_closest_were_asked() -> None:
    item = MenuPath(
        path=without(1), num_right=94, num_identity_right=100, num_probes=120, num_screened=120
    )
    assert not item.keeps_accuracy(0.04)
    assert dataclasses.replace(item, num_screened=150).keeps_accuracy(0.04)
    with pytest.raises(InvalidValueError, match="120 probes chosen from 119"):
        dataclasses.replace(item, num_screened=119)


def test_paths_run_on_the_probes_that_identity_is_least_sure_of() -> None:
    def margin(example: Example, path: LayerPath) -> float:
        return float(example.question.split()[-1]) / 4 + 0.1

    found = study(margin, max_evaluations=1_400, answer=with_margin)
    assert [int(example.question.split()[-1]) for example in found._answers.questions] == list(
        range(32)
    )  # of 48
    assert max((item.num_probes, item.num_screened) for item in found.menu) == (32, 48)


def test_growth_that_leads_nowhere_leaves_its_budget_to_other_paths() -> None:
    def reward(example: Example, path: LayerPath) -> float:
        single = len(path) == NUM_LAYERS - 1
        twice = path == LayerPath((0, 1, 2, 3, 4, 5, 4, 5, 6, 7), NUM_LAYERS)
        return float(
            (single or twice or path.is_identity) and random.Random(example.question).random() < 0.7
        )

    found = study(reward, max_evaluations=1_400)
    repeats = [item.path for item in found.menu if len(item.path) > NUM_LAYERS]
    assert repeats == [LayerPath((0, 1, 2, 3, 4, 5, 4, 5, 6, 7), NUM_LAYERS)]
    assert {item.path for item in found.menu} - set(repeats) == {
        without(layer) for layer in range(NUM_LAYERS)
    }


def test_paths_that_are_not_shorter_or_not_sure_are_only_for_wrong_answers() -> None:
    known = {"num_right": 5, "num_identity_right": 5, "num_probes": 9, "num_screened": 9}
    twice = LayerPath((0, 1, *range(NUM_LAYERS)), NUM_LAYERS)
    likely = MenuPath(path=without(1, 2), sure=False, fixing_place=2, **known)
    menu = (likely, MenuPath(path=without(1), **known), MenuPath(path=twice, **known))
    for root_reward, paths in ((1.0, [without(1)]), (0.0, [without(1), twice, without(1, 2)])):
        assert (
            MenuSearch(menu=menu).start(IDENTITY, root_reward, random.Random(0)).propose(4) == paths
        )


def test_where_identity_is_wrong_the_menu_is_tried_in_the_order_that_fixes_most() -> None:
    known = {"num_right": 5, "num_identity_right": 5, "num_probes": 9, "num_screened": 9}
    short, broad = without(1, 2, 3), without(6)
    menu = (
        MenuPath(path=short, fixing_place=1, **known),
        MenuPath(path=broad, fixing_place=0, **known),
    )
    for root_reward, order in ((1.0, [short, broad]), (0.0, [broad, short])):
        assert (
            MenuSearch(menu=menu).start(IDENTITY, root_reward, random.Random(0)).propose(2) == order
        )


def test_a_race_spends_less_on_runners_that_fall_behind() -> None:
    found = study(toy_reward, max_evaluations=960)
    tried = [
        len(answers)
        for path, answers in found._answers.by_path.items()
        if len(path) <= NUM_LAYERS - 2
    ]
    assert len(set(tried)) > 2


def test_a_budget_too_small_to_learn_from_is_not_spent() -> None:
    found = study(toy_reward, max_evaluations=100)
    assert found.num_spent == 0
    assert found.menu == ()


def test_paths_that_fail_on_probes_are_on_no_menu() -> None:
    def failing(example: Example, path: LayerPath) -> float | Failure:
        if 4 not in path.layers:
            return Failure(kind="NonFiniteLogitsError", message="scripted")
        return toy_reward(example, path)

    found = study(failing, max_evaluations=960)
    assert found.menu
    assert all(4 in item.path.layers for item in found.menu)


def test_probes_without_an_answer_of_identity_are_not_run_on() -> None:
    def margin(example: Example, path: LayerPath) -> float | Failure:
        if int(example.question.split()[-1]) % 5 < 2:
            return Failure(kind="PromptTooLongError", message="scripted")
        harmless = set(range(NUM_LAYERS)) - set(path.layers) <= HARMLESS and len(path) <= NUM_LAYERS
        return random.Random(example.question).uniform(-1.0, 1.0) if harmless else -3.0

    found = study(margin, max_evaluations=1_400, answer=with_margin)
    assert len(found._answers.questions) == 19  # two thirds of the 28 of 48 that have an answer
    assert all(int(probe.question.split()[-1]) % 5 >= 2 for probe in found._answers.questions)
    assert without(2, 4, 5) in {item.path for item in found.menu}

    kinds = ("PromptTooLongError", "NonFiniteLogitsError")
    unanswered = study(
        lambda example, path: Failure(
            kind=kinds[int(example.question.split()[-1]) % 2], message="scripted"
        ),
        max_evaluations=1_400,
    )
    assert (unanswered.num_spent, unanswered.menu) == (48, ())


def test_one_fault_ends_a_study_at_its_first_probes() -> None:
    asked: list[Example] = []

    def fails(example: Example, path: LayerPath) -> Failure:
        asked.append(example)
        return Failure(kind="TemplateError", message=f"{example.question!r} has no system turn")

    with pytest.raises(OneFaultError, match="TemplateError: 'probe 0' has no system turn"):
        study(fails, max_evaluations=1_400)
    assert len(asked) == FIRST


def test_a_menu_tells_what_a_guess_is_worth_where_all_probes_have_choices() -> None:
    def chances(*num_choices: int) -> set[float | None]:
        probes = [
            Example(
                task="toy", question=f"{number}", gold="a", split="train", source="test",
                gold_index=0 if choices else None, choices=tuple("abcd"[:choices]),
            )
            for number, choices in enumerate(num_choices)
        ]  # fmt: skip
        plan = StudyPlan(budget_share=0.5, max_evaluations=10_000, max_probes=24, max_menu=12)
        result = MenuStudy(probes, num_layers=4, max_evaluations=500, plan=plan, max_drop=0.02)
        while trials := result.next_round():
            result.observe([verdict(True) for _ in trials])
        return {item.chance for item in result.menu}

    assert chances(*[4, 2] * 12) == {0.375}
    assert chances(*[4, 0] * 12) == {None}


@given(
    seed=st.integers(0, 2**16), max_evaluations=st.integers(0, 1200), num_probes=st.integers(0, 60)
)
@settings(max_examples=40, deadline=None)
def test_the_study_keeps_its_budget_and_asks_nothing_twice(
    seed: int, max_evaluations: int, num_probes: int
) -> None:
    asked: Counter[tuple[str, LayerPath]] = Counter()

    def reward(example: Example, path: LayerPath) -> float:
        asked[example.question, path] += 1
        return float(random.Random(f"{seed} {example.question} {path}").random() < 0.5)

    found = study(reward, max_evaluations=max_evaluations, num_probes=num_probes)
    assert found.num_spent == asked.total() <= max_evaluations
    assert set(asked.values()) <= {1}
    for item in found.menu:
        assert item.num_probes <= 48
        assert item.num_right >= item.num_identity_right - 0.02 * item.num_probes


def guarded(
    rewards: RewardFunction, *menu: LayerPath, budget: int = 60, drop: int = 0, min_right: int = 1
) -> tuple[ExampleRecord, list[tuple[str, LayerPath]]]:
    """One guarded search over a menu, and what it asked."""
    example = question("q")
    preset = dataclasses.replace(
        CREDIBLE,
        strategy=MenuSearch(
            menu=tuple(
                MenuPath(
                    path=path,
                    num_right=50 - drop,
                    num_identity_right=50,
                    num_probes=90,
                    num_screened=100,
                )
                for path in menu
            )
        ),
        evidence=EvidenceRule(num_guide=2, num_verify=2, max_probe_drop=0.02, min_right=min_right),
        leaves_per_round=2,
    )
    assert isinstance(preset.strategy, MenuSearch)
    search = GuardedSearch(
        example,
        guide=perturb(example, EvidenceRole.GUIDE, 2),
        verify=perturb(example, EvidenceRole.VERIFY, 2),
        menu=preset.strategy.menu,
        num_layers=NUM_LAYERS,
        preset=preset,
        budget=budget,
        seed=0,
    )
    asked = []
    while trials := search.next_round():
        asked += [(example.question, path) for example, path in trials]
        outcomes = [rewards(example, path) for example, path in trials]
        search.observe(
            [item if isinstance(item, Failure) else verdict(bool(item)) for item in outcomes]
        )
    return search.result(), asked


def test_a_lucky_path_is_kept_apart_and_a_credible_one_is_best() -> None:
    lucky, honest = without(1, 3, 6), without(2, 4)
    record, _ = guarded(
        lambda example, path: path != lucky or example.question == "q", lucky, honest
    )
    assert [item.path for item in record.best] == [honest]
    assert record.unguarded[0].path == lucky
    assert [(item.path, item.credible) for item in record.evidence] == [
        (lucky, False),
        (honest, True),
    ]
    assert record.evidence[0].guide_right == 0
    assert record.evidence[0].guide_identity_right == 2


def test_verification_is_not_looked_at_before_the_guides_agree() -> None:
    path = without(2)
    record, asked = guarded(
        lambda example, path: "guide" not in example.question or path == IDENTITY, path
    )
    assert not [text for text, asked_path in asked if "verify" in text and asked_path == path]
    assert record.evidence[0].num_verify == 0
    assert [item.path for item in record.best] == [IDENTITY]


def test_a_path_that_fails_verification_is_not_credible() -> None:
    record, _ = guarded(
        lambda example, path: path == IDENTITY or "verify" not in example.question, without(2)
    )
    (evidence,) = record.evidence
    assert (evidence.credible, evidence.guide_right, evidence.verify_right) == (False, 2, 0)
    assert record.best[0].path == IDENTITY


def test_a_path_right_on_no_perturbation_is_not_credible_even_if_identity_is_not_either() -> None:
    nowhere, once = without(2, 4), without(2)

    def right(plain: bool, example: Example, path: LayerPath) -> bool:
        if example.question == "q":
            return plain or path != IDENTITY
        return path == once and "verify|0" in example.question

    for plain in (True, False):
        record, _ = guarded(
            lambda example, path, plain=plain: right(plain, example, path), nowhere, once
        )
        assert [(item.path, item.credible) for item in record.evidence] == [
            (nowhere, False),
            (once, True),
        ]
        assert record.best[0].path == once
        assert nowhere in {item.path for item in record.unguarded}


def test_more_perturbations_are_asked_before_it_is_said_that_nothing_speaks_for_a_fix() -> None:
    path = without(2)

    def reward(example: Example, tried: LayerPath) -> float:
        return float(tried == path and (example.question == "q" or "verify|1" in example.question))

    for budget, credible, num_asked in (
        (20, True, 10),
        (9, False, 6),
    ):  # 2 on the question, 4 or 8 on perturbations
        record, asked = guarded(reward, path, budget=budget)
        assert len(asked) == num_asked
        (evidence,) = record.evidence
        assert (evidence.credible, evidence.num_guide, evidence.num_verify) == (
            credible,
            *[1 + credible] * 2,
        )
        assert (evidence.verify_right, evidence.verify_identity_right) == (int(credible), 0)


def test_the_rule_says_on_how_many_perturbations_a_path_is_right() -> None:
    path = without(2)
    for min_right, best in ((3, path), (4, IDENTITY)):
        record, _ = guarded(
            lambda example, tried: (
                "verify|1" not in example.question and (tried == path or example.question == "q")
            ),
            path,
            min_right=min_right,
        )
        assert record.best[0].path == best


def test_failures_on_perturbations_speak_for_no_path_and_say_where_they_were() -> None:
    path = without(2)
    record, _ = guarded(
        lambda example, path: (
            example.question == "q" or Failure(kind="PromptTooLongError", message="5 tokens")
        ),
        path,
    )
    assert [item.credible for item in record.evidence] == [False]
    assert [item.path for item in record.best] == [IDENTITY]
    assert {(item.kind, item.message) for item in record.failures} == {
        ("PromptTooLongError", "on the question put differently: 5 tokens")
    }


@pytest.mark.parametrize("plain", [True, False])
def test_claims_of_a_question_that_cannot_be_put_differently_no_path_is_credible(
    plain: bool,
) -> None:
    menu = (
        MenuPath(
            path=without(2),
            num_right=9,
            num_identity_right=9,
            num_probes=20,
            num_screened=30,
            chance=0.25,
        ),
    )
    preset = dataclasses.replace(CREDIBLE, strategy=MenuSearch(menu=menu))
    search = GuardedSearch(
        question("q"),
        guide=(),
        verify=(),
        menu=menu,
        num_layers=NUM_LAYERS,
        preset=preset,
        budget=10,
        seed=0,
    )
    while trials := search.next_round():
        search.observe([verdict(plain or path != IDENTITY) for _, path in trials])
    record = search.result()
    (evidence,) = record.evidence
    assert (evidence.credible, evidence.num_guide, evidence.num_verify) == (False, 0, 0)
    assert [item.path for item in record.best] == ([IDENTITY] if plain else [])
    assert [item.path for item in record.unguarded] == [without(2)]
    assert (evidence.num_probes, evidence.num_screened, evidence.probe_chance) == (20, 30, 0.25)


@pytest.mark.parametrize(
    ("share", "num_right", "num_probes", "enough"),
    [
        (0.0, 0, 31, True),
        (0.05, 0, 31, False),
        (0.05, 1, 31, False),
        (0.05, 2, 31, True),
        (0.05, 1, 8, True),
        (0.05, 0, 0, False),
    ],
)
def test_claims_to_be_as_good_as_a_model_that_is_always_wrong_proves_nothing(
    share: float, num_right: int, num_probes: int, enough: bool
) -> None:
    rule = EvidenceRule(num_guide=1, num_verify=1, max_probe_drop=0.05, min_probe_share=share)
    assert rule.enough_probes_right(num_right, num_probes) is enough


def test_claims_a_path_right_on_no_other_question_is_not_examined_if_the_rule_asks_for_some() -> (
    None
):
    path = without(2)
    (item,) = menu = (
        MenuPath(path=path, num_right=0, num_identity_right=0, num_probes=31, num_screened=31),
    )
    assert item.keeps_accuracy(0.05)
    assert CREDIBLE.evidence is not None
    for share, best in ((0.0, path), (0.05, IDENTITY)):
        preset = dataclasses.replace(
            CREDIBLE,
            strategy=MenuSearch(menu=menu),
            evidence=dataclasses.replace(CREDIBLE.evidence, min_probe_share=share),
        )
        example = question("q")
        search = GuardedSearch(
            example,
            guide=perturb(example, EvidenceRole.GUIDE, 2),
            verify=perturb(example, EvidenceRole.VERIFY, 2),
            menu=menu,
            num_layers=NUM_LAYERS,
            preset=preset,
            budget=20,
            seed=0,
        )
        while trials := search.next_round():
            search.observe([verdict(True) for _ in trials])
        assert search.result().best[0].path == best


@pytest.mark.parametrize("name", ["num_guide", "num_verify", "min_right"])
def test_claims_a_rule_without_a_check_is_refused(name: str) -> None:
    rule = EvidenceRule(num_guide=2, num_verify=2, max_probe_drop=0.02)
    with pytest.raises(InvalidValueError, match=rf"{name} of an evidence rule is 0; a path that"):
        dataclasses.replace(rule, **{name: 0})


def test_a_path_that_is_bad_for_other_questions_is_not_even_examined() -> None:
    record, _ = guarded(lambda example, path: True, without(2), drop=3)
    assert record.evidence == ()
    assert record.best[0].path == IDENTITY
    assert record.unguarded[0].path == without(2)


def test_a_wrong_identity_is_fixed_by_a_credible_path_of_any_length() -> None:
    longer = LayerPath((0, 1, 2, 2, 3, 4, 5, 6, 7), NUM_LAYERS)
    record, _ = guarded(lambda example, path: path == longer, longer)
    assert [item.path for item in record.best] == [longer]


def test_no_path_is_tried_that_could_not_be_examined() -> None:
    menu = [without(layer) for layer in range(4)]
    record, asked = guarded(
        lambda example, path: path != menu[0], *menu, budget=7
    )  # identity, 2 paths, 4
    assert len(asked) == 7
    assert [item.path for item in record.best] == [menu[1]]
    assert len(guarded(lambda example, path: True, *menu, budget=5)[1]) == 1


def test_a_small_budget_examines_one_path_and_asks_no_more_than_it_has() -> None:
    menu = [without(layer) for layer in range(4)]
    record, asked = guarded(lambda example, path: True, *menu, budget=6)
    assert (len(asked), [item.path for item in record.best]) == (6, [menu[0]])
    record, asked = guarded(
        lambda example, path: path == IDENTITY or "guide|1" not in example.question, *menu, budget=6
    )
    assert (
        len(asked) == 4
    )  # identity, a path, its two guides; identity's answers to them would leave none to verify
    assert record.evidence[0].guide_identity_right is None
    assert [item.path for item in record.best] == [IDENTITY]


@pytest.mark.parametrize(
    ("budget", "own", "perturbations"),
    [(4, 4, 1), (10, 4, 1), (25, 9, 1), (50, 17, 3), (100, 34, 3)],
)
def test_a_study_leaves_a_question_enough_to_examine_a_path(
    budget: int, own: int, perturbations: int
) -> None:
    preset = dataclasses.replace(CREDIBLE, budget=budget)
    assert preset.own_budget == own
    assert preset.affordable_perturbations(own) == (perturbations, perturbations)


def test_identity_is_asked_only_where_a_path_was_wrong_and_only_once() -> None:
    menu = [without(layer) for layer in range(3)]
    record, asked = guarded(lambda example, path: True, *menu)
    assert [text for text, path in asked if path == IDENTITY] == ["q"]
    assert record.best[0].path in menu
    (evidence,) = record.evidence
    assert (evidence.guide_right, evidence.guide_identity_right, evidence.num_guide) == (2, None, 2)
    assert (evidence.verify_right, evidence.verify_identity_right, evidence.num_verify) == (
        2,
        None,
        2,
    )

    record, asked = guarded(
        lambda example, path: path == IDENTITY or "guide" not in example.question, *menu
    )
    assert len([text for text, path in asked if path == IDENTITY]) == 3
    assert [item.guide_identity_right for item in record.evidence] == [2, 2, 2]


def test_a_wrong_identity_leaves_more_of_the_budget_to_paths() -> None:
    menu = [without(layer) for layer in range(6)]
    record, asked = guarded(
        lambda example, path: path == menu[5], *menu, budget=9
    )  # identity, 6 paths, 2
    assert len(asked) == 9
    assert [item.path for item in record.best] == [menu[5]]
    assert [(item.num_guide, item.num_verify) for item in record.evidence] == [(1, 1)]


@given(seed=st.integers(0, 2**16), budget=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_the_budget_covers_everything_that_is_asked(seed: int, budget: int) -> None:
    menu = [without(a, b) for a in range(NUM_LAYERS) for b in range(a)]

    def reward(example: Example, path: LayerPath) -> bool:
        return random.Random(f"{seed} {example.question} {path}").random() < 0.6

    record, asked = guarded(reward, *menu, budget=budget)
    assert len(asked) <= budget
    assert len(set(asked)) == len(asked)
    for item in record.evidence:
        assert not item.credible or item.guide_right >= (item.guide_identity_right or 0)
        assert not item.credible or item.verify_right >= (item.verify_identity_right or 0)
        assert (
            item.guide_identity_right is not None
            or not item.credible
            or item.guide_right == item.num_guide
        )
        assert (
            item.verify_identity_right is not None
            or not item.credible
            or item.verify_right == item.num_verify
        )
    credible = {item.path for item in record.evidence if item.credible} | {IDENTITY}
    assert {item.path for item in record.best} <= credible


def test_evidence_and_study_come_together() -> None:
    with pytest.raises(InvalidValueError, match="preset credible has evidence and lacks a study"):
        dataclasses.replace(CREDIBLE, study=None)
    with pytest.raises(InvalidValueError, match="preset drllm has a study and lacks evidence"):
        dataclasses.replace(DRLLM, study=CREDIBLE.study)


def test_searched_questions_are_probes_only_where_others_are_too_few() -> None:
    pool = [question(str(number)) for number in range(30)]
    searched = pool[:12]
    questions = Questions(get_task("capitals"), pool, searched, seed=3)
    assert set(questions.probes(18)) == set(pool[12:])
    more = questions.probes(24)
    assert more[:18] == questions.probes(18)
    assert len(set(more)) == 24
    assert set(more[18:]) <= set(searched)
    assert set(questions.probes(99)) == set(pool)
    assert set(Questions(get_task("capitals"), pool, pool, seed=3).probes(9)) <= set(pool)


def test_a_preset_without_a_rule_is_not_guarded() -> None:
    with pytest.raises(InvalidValueError, match="drllm asks for no evidence"):
        GuardedSearch(
            question("q"),
            guide=(),
            verify=(),
            menu=(),
            num_layers=4,
            preset=DRLLM,
            budget=10,
            seed=0,
        )


def test_an_identity_that_fails_ends_the_search() -> None:
    example = question("q")
    search = GuardedSearch(
        example,
        guide=(),
        verify=(),
        menu=(),
        num_layers=NUM_LAYERS,
        preset=CREDIBLE,
        budget=10,
        seed=0,
    )
    search.observe([Failure(kind="PromptTooLongError", message="scripted")])
    record = search.result()
    assert (record.identity, record.stop_reason, record.best) == (None, "failed", ())


class Counting(ScriptedEvaluator):
    """A scripted evaluator that counts what it was asked."""

    num_requested = 0

    def submit(self, requests: Sequence[EvaluationRequest]) -> None:
        self.num_requested += len(requests)
        super().submit(requests)


@pytest.mark.parametrize("shuffle_seed", [None, 1, 2])
@pytest.mark.parametrize("in_flight", [4, 64])
def test_arrival_and_width_change_no_record_and_the_run_keeps_its_budget(
    shuffle_seed: int | None, in_flight: int
) -> None:
    examples = [question(f"searched {number}") for number in range(30)]
    probes = [question(f"probe {number}") for number in range(60)]

    def run(evaluator: ScriptedEvaluator) -> tuple[str, Coordinator]:
        coordinator = Coordinator(
            evaluator,
            examples,
            num_layers=NUM_LAYERS,
            preset=CREDIBLE,
            seed=3,
            probes=probes,
            perturb=perturb,
        )
        assert coordinator.progress().study_budget > 0, "the study comes first"
        records = [record for record in coordinator.run() if record is not None]
        assert len(records) == len(examples)
        assert coordinator.progress().study_budget == 0
        return corpus_digest(records), coordinator

    counting = Counting(
        toy_reward, max_in_flight=in_flight, answers_per_collect=3, shuffle_seed=shuffle_seed
    )
    digest, coordinator = run(counting)
    assert digest == run(ScriptedEvaluator(toy_reward))[0]
    assert 0 < counting.num_requested <= CREDIBLE.budget * len(examples)
    assert set(HARMLESS) in [
        set(range(NUM_LAYERS)) - set(item.path.layers) for item in coordinator.menu
    ]


def test_a_budget_of_ten_is_enough_for_a_study_and_for_what_it_finds() -> None:
    examples = [question(f"searched {number}") for number in range(60)]
    evaluator = Counting(toy_reward)
    coordinator = Coordinator(
        evaluator,
        examples,
        num_layers=NUM_LAYERS,
        preset=dataclasses.replace(CREDIBLE, budget=10),
        seed=3,
        probes=[question(f"probe {number}") for number in range(60)],
        perturb=perturb,
    )
    records = [record for record in coordinator.run() if record is not None]
    assert 0 < evaluator.num_requested <= 10 * len(examples)
    right = [
        record for record in records if record.identity is not None and record.identity.is_correct
    ]
    assert sum(len(record.best[0].path) < NUM_LAYERS for record in right) > 0.9 * len(right)
