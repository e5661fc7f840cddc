"""Rounds that bring paths to questions: what the study and a scan have in common."""

from collections.abc import Generator, Sequence
from itertools import pairwise

from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import Failure
from search_cluster.protocols.rounds import Outcome, Rounds, Trial
from search_cluster.scan.answers import AnswerTable
from search_cluster.scan.edits import Edit, path_of_edits
from search_cluster.scan.filling import TableRounds
from search_cluster.search.study.study import MenuStudy
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.evidence import StudyPlan

NUM_LAYERS = 6
IDENTITY = LayerPath.identity(NUM_LAYERS)
SKIPS = [path_of_edits([Edit(layer, layer + 1, 0)], NUM_LAYERS) for layer in range(3)]
RIGHT = Verdict(reward=1.0, margin=1.0, output="g", num_layer_tokens=6)


def questions(count: int) -> list[Example]:
    return [
        Example(task="t", question=f"question {number}", gold="g", split="train", source="test")
        for number in range(count)
    ]


class Fills(TableRounds):
    """Brings paths to a number of questions of a table, once after the other."""

    def __init__(self, table: AnswerTable, *steps: tuple[Sequence[LayerPath], int], budget: int):
        super().__init__(budget)
        self.had_room: list[bool] = []
        self._start(self._steps_of(table, steps))

    def _steps_of(
        self, table: AnswerTable, steps: Sequence[tuple[Sequence[LayerPath], int]]
    ) -> Generator[list[Trial], Sequence[Outcome], None]:
        for paths, num_questions in steps:
            self.had_room.append((yield from self._fill(table, paths, num_questions)))

    def result(self) -> None:
        """Nothing but what is in the table."""


def answered(rounds: Rounds[object]) -> list[list[Trial]]:
    asked = []
    while trials := rounds.next_round():
        asked.append(trials)
        rounds.observe([RIGHT] * len(trials))
    return asked


def test_paths_of_a_question_stand_together_and_nothing_is_asked_twice() -> None:
    table = AnswerTable(questions(3), IDENTITY, range(3))
    fills = Fills(table, ([SKIPS[1], IDENTITY], 1), ([SKIPS[0], SKIPS[1]], 3), budget=99)
    first, second = answered(fills)
    # In the order of their layers, whatever the order in which they are named.
    assert [path for _, path in first] == [IDENTITY, SKIPS[1]]
    assert [(item.question[-1], path) for item, path in second] == [
        ("0", SKIPS[0]), ("1", SKIPS[1]), ("1", SKIPS[0]), ("2", SKIPS[1]), ("2", SKIPS[0]),
    ]  # fmt: skip
    assert {path: len(of_path) for path, of_path in table.by_path.items()} == {
        IDENTITY: 1, SKIPS[0]: 3, SKIPS[1]: 3,
    }  # fmt: skip
    assert (fills.num_spent, fills.had_room) == (7, [True, True])


def test_from_the_first_path_without_room_on_all_stay_behind() -> None:
    table = AnswerTable(questions(4), IDENTITY, range(4))
    fills = Fills(table, ([IDENTITY, SKIPS[0]], 2), ([*SKIPS, IDENTITY], 4), budget=8)
    answered(fills)
    assert (fills.num_spent, fills.had_room) == (6, [True, False])
    assert list(map(len, table.by_path.values())) == [2, 4, 0]


def test_a_failure_is_no_answer() -> None:
    table = AnswerTable(questions(2), IDENTITY, range(2))
    trials = table.missing([IDENTITY], 9)
    table.take(trials, [Failure(kind="PromptTooLongError", message="too long"), RIGHT])
    assert table.by_path == {IDENTITY: [None, RIGHT]}
    assert table.places(IDENTITY) == [1]


def test_all_paths_of_a_probe_of_a_study_stand_together() -> None:
    study = MenuStudy(
        questions(48),
        num_layers=NUM_LAYERS,
        max_evaluations=800,
        plan=StudyPlan(budget_share=0.5, max_evaluations=800, max_probes=48, max_menu=8),
        max_drop=0.05,
    )
    for trials in answered(study):
        asked = [question.example_id for question, _ in trials]
        changes = sum(one != other for one, other in pairwise(asked))
        assert changes == len(set(asked)) - 1
