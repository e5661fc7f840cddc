"""The luck of a step's questions is taken off what its paths gain there, and nowhere else."""

from collections.abc import Mapping, Sequence

import pytest

from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.answers import AnswerTable
from search_cluster.scan.edits import Edit, path_of_edits
from search_cluster.scan.racing.ranking import estimate
from search_cluster.scan.racing.shared_luck import NO_LUCK, SharedLuck
from search_cluster.scan.space import Candidate
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

NUM_LAYERS = 6
IDENTITY = LayerPath.identity(NUM_LAYERS)


def candidate(*skipped: int) -> Candidate:
    edits = tuple(Edit(layer, layer + 1, 0) for layer in skipped)
    return Candidate(path=path_of_edits(edits, NUM_LAYERS), edits=edits, step=len(edits) - 1)


OLD, OTHER, LOST, NEW = candidate(1), candidate(2), candidate(3), candidate(1, 2)
EVERYBODY = (OLD, OTHER, LOST, NEW)


def table(
    name: str, rewards: Mapping[LayerPath, Sequence[float]], tasks: Sequence[str] = ("made up",)
) -> AnswerTable:
    """Answers without margins, whose worth is whether they are right: 1 or 0."""
    num_questions = len(rewards[IDENTITY])
    questions = [
        Example(
            task=tasks[place % len(tasks)], question=f"{name} {place}", gold="g", split="train",
            source="test",
        )
        for place in range(num_questions)
    ]  # fmt: skip
    found = AnswerTable(questions, IDENTITY, range(num_questions))
    for path, of_path in rewards.items():
        trials = [(question, path) for question in questions[: len(of_path)]]
        found.take(trials, [verdict(reward) for reward in of_path])
    return found


def verdict(reward: float) -> Verdict:
    return Verdict(reward=reward, margin=None, output="", num_layer_tokens=1)


FIRST = table(
    "first",
    {
        IDENTITY: [0, 1, 0, 1],
        OLD.path: [1, 1, 0, 0],  # gains 0
        OTHER.path: [1, 1, 0, 1],  # gains a quarter
        LOST.path: [0, 1],
    },
)
SECOND = table(
    "second",
    {
        IDENTITY: [0, 0, 1, 1],
        OLD.path: [1, 1, 1, 1],  # gains a half
        OTHER.path: [1, 0, 1, 1],  # gains a quarter
        NEW.path: [1, 1],
    },
)
OVERALL = (0 + 1 / 4 + 1 / 2 + 1 / 4) / 4
ON_TWO = (1 + 1 / 2) / 2
"""What the two old paths gain on all questions, and on the first two of the second step."""


def test_new_paths_lose_what_the_old_ones_gain_more_on_the_same_questions() -> None:
    luck = SharedLuck([FIRST, SECOND], EVERYBODY)
    assert luck.on(NEW.path, [FIRST, SECOND]) == ({}, {"made up": pytest.approx(ON_TWO - OVERALL)})
    seen = estimate(NEW, [FIRST, SECOND], luck=luck)
    assert estimate(NEW, [FIRST, SECOND]).seen.mean == 1.0
    assert seen.seen.mean == seen.gain.mean == pytest.approx(1.0 - (ON_TWO - OVERALL))
    assert seen.num_questions == 2


def test_who_has_met_all_questions_owes_nothing_but_on_a_part_of_them() -> None:
    luck = SharedLuck([FIRST, SECOND], EVERYBODY)
    assert luck.on(OLD.path, [FIRST, SECOND]) == ({}, {})
    assert luck.on(OLD.path, [SECOND]) == ({"made up": pytest.approx(3 / 8 - OVERALL)},)


def test_nothing_is_known_of_the_first_step_and_of_questions_of_others() -> None:
    luck = SharedLuck([FIRST, SECOND], EVERYBODY)
    validation = table("validation", {IDENTITY: [0, 0], NEW.path: [1, 1], OLD.path: [1, 1]})
    assert luck.on(LOST.path, [FIRST, SECOND]) == ({}, {})
    assert luck.on(LOST.path, [FIRST]) == ({},)
    assert luck.on(NEW.path, [FIRST, SECOND, validation])[2] == {}
    assert luck.on(OLD.path, [FIRST, SECOND, validation]) == ({}, {}, {})
    assert NO_LUCK.on(NEW.path, [FIRST, SECOND]) == ({}, {})


def test_the_first_step_counts_with_the_others_that_a_path_has_met() -> None:
    """All paths gain alike on each step, so that one which has met two of three is no better."""
    late = candidate(1, 3)
    tables = [
        table(name, {path: gains for path in (OLD.path, *more)} | {IDENTITY: [0] * 4})
        for name, gains, more in (
            ("first", [1, 1, 1, 0], (NEW.path,)),
            ("second", [1, 0, 0, 0], (NEW.path,)),
            ("third", [1, 1, 0, 0], (late.path,)),
        )
    ]
    luck = SharedLuck(tables, [OLD, NEW, late])
    assert estimate(NEW, tables).seen.mean == estimate(OLD, tables).seen.mean == 1 / 2
    said = [estimate(item, tables, luck=luck).seen.mean for item in (OLD, NEW, late)]
    assert said == pytest.approx([1 / 2] * 3)
    first = luck.on(NEW.path, tables[:1])
    assert first == ({},)  # alone the first step counts as it is


def test_paths_of_the_same_step_and_those_that_left_are_no_witnesses() -> None:
    assert SharedLuck([FIRST, SECOND], [LOST, NEW]).on(NEW.path, [SECOND]) == ({},)


def test_each_task_has_its_own_luck() -> None:
    tasks = ("one", "other")
    first = table("first", {IDENTITY: [0, 0], OLD.path: [0, 0]}, tasks)
    second = table(
        "second", {IDENTITY: [0, 1, 0, 1], OLD.path: [1, 1, 1, 1], NEW.path: [1, 0]}, tasks
    )
    luck = SharedLuck([first, second], EVERYBODY)
    assert luck.on(NEW.path, [second]) == ({"one": pytest.approx(1 - 2 / 3), "other": 0.0},)
    by_task = estimate(NEW, [second], luck=luck).by_task
    assert by_task["one"].mean == pytest.approx(2 / 3)
    assert by_task["other"].mean == -1.0


def test_a_question_that_the_plain_model_can_not_answer_tells_nothing() -> None:
    first = table("first", {IDENTITY: [0, 0], OLD.path: [0, 0]})
    second = table("second", {IDENTITY: [0, 0], OLD.path: [1, 0], NEW.path: [1, 0]})
    second.by_path[IDENTITY][0] = None
    (lucky,) = SharedLuck([first, second], EVERYBODY).on(NEW.path, [second])
    assert lucky == {"made up": 0.0}
