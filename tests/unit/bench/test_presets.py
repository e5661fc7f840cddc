"""What `bench search` counts as verified: how much rarer than identity a path may be right."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from search_cluster.bench.fresh_judge import FreshJudge, fresh_questions
from search_cluster.bench.preset_figures import figures_of
from search_cluster.corpus.record import ExampleRecord, PathVerdict
from search_cluster.errors import InvalidValueError, TaskError, UnreadableDataError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.scripted import ScriptedEvaluator
from search_cluster.tasks.example import Example
from search_cluster.tasks.perturbation.perturbations import EvidenceRole
from search_cluster.tasks.task import LoadedExamples
from search_cluster.tasks.verdict import Verdict

IDENTITY = LayerPath.identity(6)
SHORT = LayerPath((0, 1, 2, 4, 5), 6)
NUM_FRESH, NUM_PROBES = 10, 200


def question(text: str) -> Example:
    return Example(task="toy", question=text, gold="g", split="train", source="test")


class TenOthers:
    """Instead of `Questions`: ten fresh perturbations of every question, and no search's."""

    def perturb(self, example: Example, role: EvidenceRole, count: int) -> tuple[Example, ...]:
        assert role is EvidenceRole.FRESH
        return tuple(question(f"{example.question} fresh {number}") for number in range(count))


class Script:
    """Identity is right on 8 fresh perturbations and 100 probes, the short path on what is told."""

    def __init__(self, *, fresh: int, probes: int, num_probes: int = NUM_PROBES) -> None:
        self._limits = {("fresh", SHORT): fresh, ("probe", SHORT): probes, ("fresh", IDENTITY): 8}
        self._limits["probe", IDENTITY] = 100
        self.asked = Counter[tuple[str, LayerPath]]()
        probe_questions = [question(f"a probe {number}") for number in range(num_probes)]
        self.judge = FreshJudge(
            ScriptedEvaluator(self._reward),
            TenOthers(),  # type: ignore[arg-type]
            probe_questions,
            num_layers=6,
            num_fresh=NUM_FRESH,
        )

    def _reward(self, example: Example, path: LayerPath) -> float:
        *_, kind, number = example.question.split()
        self.asked[kind, path] += 1
        return float(int(number) < self._limits[kind, path])


@pytest.mark.parametrize(
    ("fresh", "probes", "holds"),
    [
        (8, 100, True),
        (7, 90, True),
        (10, 200, True),
        (6, 100, False),
        (8, 89, False),
        (0, 0, False),
    ],
)
def test_a_path_holds_within_ten_points_on_perturbations_and_five_on_other_questions(
    fresh: int, probes: int, holds: bool
) -> None:
    script = Script(fresh=fresh, probes=probes)
    assert script.judge.holds([(question("q"), SHORT)]) == [holds]
    assert script.judge.probe_accuracy(IDENTITY) == 0.5


def test_other_questions_are_asked_only_of_paths_that_pass_the_perturbations_and_once() -> None:
    failing = Script(fresh=6, probes=200)
    failing.judge.holds([(question("q"), SHORT)])
    assert failing.asked == {
        ("fresh", SHORT): 10,
        ("fresh", IDENTITY): 10,
        ("probe", IDENTITY): 200,
    }
    passing = Script(fresh=8, probes=200)
    assert passing.judge.holds([(question("q"), SHORT), (question("r"), SHORT)]) == [True, True]
    passing.judge.holds([(question("q"), SHORT)])
    assert passing.asked == {
        ("fresh", SHORT): 20, ("fresh", IDENTITY): 20, ("probe", IDENTITY): 200,
        ("probe", SHORT): 200,
    }  # fmt: skip


@pytest.mark.parametrize(("right", "num_asked"), [(84, 100), (85, 400)])
def test_a_path_that_surely_loses_is_not_asked_all_other_questions(
    right: int, num_asked: int
) -> None:
    """The plain model is right on the first 100."""
    judge = Script(fresh=8, probes=right, num_probes=400)
    assert judge.judge.holds([(question("q"), SHORT)]) == [right >= 80 and num_asked == 400]
    assert judge.asked["probe", SHORT] == num_asked
    assert judge.asked["probe", IDENTITY] == 400


class FreshTask:
    """Questions of three splits; some stand in two, and some splits are missing."""

    def __init__(self, splits: Mapping[str, Sequence[str]], *, is_damaged: bool = False) -> None:
        self.splits, self.is_damaged = splits, is_damaged

    def load(self, split: str, data_dir: Path | None) -> LoadedExamples:
        if split not in self.splits:
            raise (UnreadableDataError if self.is_damaged else TaskError)(f"no {split}")
        return LoadedExamples(examples=tuple(map(question, self.splits[split])))


def asked_fresh(task: FreshTask, searched: Iterable[str] = (), count: int = 9) -> list[str]:
    found = fresh_questions(
        task,  # type: ignore[arg-type]
        None,
        without=map(question, searched),
        count=count,
        seed=1,
    )
    return [example.question for example in found]


def test_fresh_questions_are_those_of_test_and_validation_that_no_search_sees() -> None:
    both = FreshTask({"test": ["a", "b", "c"], "validation": ["c", "d"]})
    assert sorted(asked_fresh(both, ["b", "x"])) == ["a", "c", "d"]
    assert asked_fresh(both, count=2) == asked_fresh(both)[:2]
    assert sorted(asked_fresh(FreshTask({"test": ["a", "b"]}))) == ["a", "b"]
    for task in (FreshTask({"validation": ["a"]}), FreshTask({"test": ["a"]}, is_damaged=True)):
        with pytest.raises(TaskError, match="no "):
            asked_fresh(task)


def record(text: str, *, identity_right: bool, best: LayerPath | None) -> ExampleRecord:
    def verdict(right: bool) -> Verdict:
        return Verdict(
            reward=float(right), margin=None, output="g" if right else "x", num_layer_tokens=1
        )

    found = () if best is None else (PathVerdict(path=best, verdict=verdict(True)),)
    return ExampleRecord(
        example=question(text),
        identity=verdict(identity_right),
        evaluated=(),
        failures=(),
        best=found,
        pareto=(),
        stop_reason="budget",
    )


@pytest.mark.parametrize(("probes", "held"), [(100, True), (80, False)])
def test_layers_and_fixes_count_as_verified_only_if_their_path_holds(
    probes: int, held: bool
) -> None:
    records = [
        record("shortened", identity_right=True, best=SHORT),
        record("left alone", identity_right=True, best=IDENTITY),
        record("fixed", identity_right=False, best=SHORT),
        record("not fixed", identity_right=False, best=None),
    ]
    cell = figures_of(records, Script(fresh=8, probes=probes).judge, 6)
    assert (cell["saved_layers"], cell["fixed"], cell["num_changed"]) == (0.5, 0.5, 2)
    assert (cell["verified_saved_layers"], cell["verified_fixed"], cell["holds"]) == (
        0.5 * held,
        0.5 * held,
        held,
    )
    assert (cell["num_identity_right"], cell["num_identity_wrong"]) == (2, 2)


def test_claims_a_path_without_fresh_evidence_does_not_hold() -> None:
    script = Script(fresh=10, probes=200)
    script.judge._num_fresh = 0
    assert script.judge.holds([(question("q"), SHORT)]) == [False]
    assert not script.asked[("fresh", SHORT)]


def test_claims_there_is_no_judge_without_other_questions() -> None:
    with pytest.raises(InvalidValueError, match="no fresh other question to judge paths on"):
        FreshJudge(
            ScriptedEvaluator(lambda example, path: 1.0),
            TenOthers(),  # type: ignore[arg-type]
            [],
            num_layers=6,
            num_fresh=3,
        )


def test_claims_figures_of_no_question_are_none_and_few_have_a_wide_interval() -> None:
    judge = Script(fresh=8, probes=100).judge
    wrong = [record(f"fixed {number}", identity_right=False, best=SHORT) for number in range(3)]
    cell = figures_of(wrong, judge, 6)
    assert (cell["saved_layers"], cell["verified_saved_layers_high"]) == (None, None)
    assert cell["fixed"] == 1.0
    assert (cell["fixed_low"], cell["fixed_high"]) == (pytest.approx(0.4385, abs=1e-4), 1.0)
    right = [record("left alone", identity_right=True, best=IDENTITY)]
    cell = figures_of(right, judge, 6)
    assert (cell["fixed"], cell["verified_fixed_low"], cell["holds"]) == (None, None, None)
    assert cell["saved_layers"] == 0.0


def test_questions_of_one_fact_make_no_interval_narrower() -> None:
    judge = Script(fresh=8, probes=100).judge
    records = [
        record(f"{number}", identity_right=number < 60, best=SHORT if number % 12 < 6 else IDENTITY)
        for number in range(120)
    ]
    names = [item.example.example_id for item in records]
    alone = figures_of(records, judge, 6)
    assert figures_of(records, judge, 6, {name: n for n, name in enumerate(names)}) == alone
    by_fact = figures_of(records, judge, 6, {name: n // 6 for n, name in enumerate(names)})
    one_fact = figures_of(records, judge, 6, dict.fromkeys(names, 0))
    for what, factor in (("saved_layers", 6**0.5), ("fixed", 1.0)):
        assert by_fact[what] == alone[what] == one_fact[what]
        widths = [cell[f"{what}_high"] - cell[f"{what}_low"] for cell in (by_fact, alone)]
        assert widths[0] > 0.8 * factor * widths[1]
    assert (one_fact["saved_layers_low"], one_fact["saved_layers_high"]) == (None, None)
