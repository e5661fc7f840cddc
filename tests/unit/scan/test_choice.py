"""Which finalists test looks at, and what it takes to be sure."""

import pytest

from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.answers import AnswerTable
from search_cluster.scan.edits import Edit, path_of_edits
from search_cluster.scan.racing.choice import confirm, is_guessing_on, is_sure
from search_cluster.scan.racing.searched import Searched
from search_cluster.scan.racing.usual import UsualGains
from search_cluster.scan.result import Standing
from search_cluster.scan.settings import Aim
from search_cluster.scan.space import Candidate
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

IDENTITY = LayerPath.identity(6)
SHORT = path_of_edits([Edit(2, 3, 0)], 6)
LONG = path_of_edits([Edit(2, 3, 2)], 6)


def standing(low: float, high: float) -> Standing:
    gain = (low + high) / 2
    return Standing(
        num_questions=500,
        num_compared=2,
        accuracy=0.5 + gain,
        plain_accuracy=0.5,
        gain=gain,
        low=low,
        high=high,
        p_adjusted=0.5,
    )


def table_of(margins: dict[LayerPath, list[float | None]]) -> AnswerTable:
    """A table of answers with these margins; ``None`` for a failure."""
    count = len(next(iter(margins.values())))
    questions = [
        Example(
            task="made up",
            question=str(number),
            choices=("a", "b"),
            gold="a",
            gold_index=0,
            split="validation",
            source="test",
        )
        for number in range(count)
    ]
    table = AnswerTable(questions, IDENTITY, range(len(questions)))
    for path, values in margins.items():
        table.by_path[path] = [
            None
            if value is None
            else Verdict(reward=float(value > 0), margin=value, output="", num_layer_tokens=1)
            for value in values
        ]
    return table


def found_by(finalists: list[Candidate], *tables: AnswerTable) -> Searched:
    return Searched(
        candidates=tuple(finalists),
        finalists=tuple(finalists),
        tables=tables,
        rungs=(),
        num_verdicts=0,
        num_exhaustive=0,
        usual=UsualGains(),
        stopped_by="",
    )


def of_path(path: LayerPath) -> Candidate:
    return Candidate(path=path, edits=(), step=0)


@pytest.mark.parametrize(
    ("path", "low", "high", "aim", "sure"),
    [
        (LONG, 0.001, 0.06, Aim.ACCURACY, True),
        (LONG, 0.0, 0.06, Aim.ACCURACY, False),
        (SHORT, -0.009, 0.03, Aim.ACCURACY, False),
        (SHORT, -0.009, 0.03, Aim.LAYERS, True),
        (SHORT, -0.011, 0.03, Aim.LAYERS, False),
        (LONG, -0.009, 0.03, Aim.LAYERS, False),
        (SHORT, -0.009, 0.03, Aim.FRONT, True),
        (LONG, 0.001, 0.06, Aim.FRONT, True),
        (LONG, -0.009, 0.06, Aim.FRONT, False),
    ],
)
def test_what_it_takes_to_be_sure(
    path: LayerPath, low: float, high: float, aim: str, sure: bool
) -> None:
    assert is_sure(of_path(path), standing(low, high), {}, aim, plain_is_guessing=False) is sure


def test_a_path_whose_bridges_cost_what_it_leaves_out_saves_nothing() -> None:
    kept = standing(-0.005, 0.03)
    layers = SHORT.num_layers - len(SHORT)
    for crossing, sure in ((layers - 0.1, True), (layers, False)):
        candidate = Candidate(path=SHORT, edits=(), step=0, crossing=crossing)
        assert is_sure(candidate, kept, {}, Aim.LAYERS, plain_is_guessing=False) is sure


def test_a_shorter_path_of_a_model_that_guesses_keeps_nothing() -> None:
    kept = standing(-0.005, 0.02)
    assert not is_sure(of_path(SHORT), kept, {}, Aim.LAYERS, plain_is_guessing=True)


def test_a_path_that_loses_one_task_of_several_is_not_sure() -> None:
    short, good = of_path(SHORT), standing(0.02, 0.08)
    assert is_sure(short, good, {"a": good, "b": good}, Aim.ACCURACY, plain_is_guessing=False)
    for loss in (standing(-0.2, -0.01), standing(-0.1, 0.05)):
        by_task = {"a": good, "b": loss}
        assert not is_sure(short, good, by_task, Aim.ACCURACY, plain_is_guessing=False)


def test_test_looks_at_the_best_and_at_those_that_may_be_as_good() -> None:
    plain = [0.3, -0.3] * 100
    better = [value + 0.5 for value in plain]
    worse = [value - 0.6 for value in plain]
    paths = [path_of_edits([Edit(layer, layer + 1, 0)], 6) for layer in range(1, 5)]
    finalists = [Candidate(path=path, edits=(), step=0) for path in paths]
    margins = dict(zip(paths, (worse, better, plain, better), strict=True))
    found = confirm(
        found_by(finalists), table_of({IDENTITY: plain, **margins}), Aim.ACCURACY, num_test=500
    )
    assert {item.path for item in found.order[:2]} == {paths[1], paths[3]}
    assert found.reported == found.order[:2]
    wreck = table_of({IDENTITY: plain, paths[0]: worse})
    nothing = confirm(found_by(finalists[:1]), wreck, Aim.ACCURACY, num_test=500)
    assert [item.path for item in nothing.reported] == [paths[0]]  # the best of a bad lot
    assert (
        confirm(found_by([]), table_of({IDENTITY: plain}), Aim.ACCURACY, num_test=500).reported
        == ()
    )


def test_what_train_said_counts_beside_validation() -> None:
    plain = [0.3, -0.3] * 50
    paths = [path_of_edits([Edit(layer, layer + 1, 0)], 6) for layer in (1, 2)]
    finalists = [Candidate(path=path, edits=(), step=0) for path in paths]
    better, best = ([value + more for value in plain] for more in (0.5, 0.6))
    validation = table_of({IDENTITY: plain, paths[0]: better, paths[1]: best})
    assert (
        confirm(found_by(finalists), validation, Aim.ACCURACY, num_test=500).order[0].path
        == paths[1]
    )
    train = table_of(
        {IDENTITY: plain * 5, paths[0]: better * 5, paths[1]: [value - 0.1 for value in plain] * 5}
    )
    searched = found_by(finalists, train)
    assert confirm(searched, validation, Aim.ACCURACY, num_test=500).order[0].path == paths[0]


def test_whether_the_plain_model_guesses() -> None:
    assert is_guessing_on(table_of({IDENTITY: [0.5, -0.5] * 50}))
    good = [0.5, 0.5, 0.5, -0.5] * 50
    assert not is_guessing_on(table_of({IDENTITY: good}))
    assert not is_guessing_on(table_of({IDENTITY: good + [None] * 100})), "not asked is not wrong"
    asked_often = table_of({IDENTITY: [0.5] * 150 + [-0.5] * 50})
    assert not is_guessing_on(asked_often)
    asked_often.facts = [place // 50 for place in range(200)]
    assert is_guessing_on(asked_often), "three facts of four say nothing"


def test_by_layers_the_best_saves_most_where_test_will_be_sure() -> None:
    """The shortest path loses nothing that is seen, and test could hardly be sure of it."""
    plain = [0.6, -0.6] * 200
    few, some, many = (path_of_edits([Edit(1, 1 + size, 0)], 6) for size in (1, 2, 3))
    noisy = [value * (-1 if place % 8 == 0 else 1) for place, value in enumerate(plain)]
    noisy = [value * (-1 if place % 8 == 1 else 1) for place, value in enumerate(noisy)]
    better = [value + (1.2 if place % 8 == 1 else 0.0) for place, value in enumerate(plain)]
    table = table_of({IDENTITY: plain, few: better, some: better, many: noisy})
    finalists = [Candidate(path=path, edits=(), step=0) for path in (few, some, many)]
    for aim in (Aim.LAYERS, Aim.FRONT):
        found = confirm(found_by(finalists), table, aim, num_test=400)
        assert found.order[0].path == some
        assert {item.path for item in found.order[:2]} == {few, some}


def test_by_layers_test_is_not_sure_of_what_few_facts_show() -> None:
    """The shorter path turns the answers of two facts, as many for the better as for the worse."""
    plain = [0.6, -0.6] * 400
    some, many = (path_of_edits([Edit(1, 1 + size, 0)], 6) for size in (2, 3))
    turned = [-value if place // 20 == 0 else value for place, value in enumerate(plain)]
    better = [abs(value) if place % 160 == 1 else value for place, value in enumerate(plain)]
    finalists = [Candidate(path=path, edits=(), step=0) for path in (some, many)]
    for facts, best in (
        (list(range(800)), many),
        ([place % 2 + 2 * (place // 20) for place in range(800)], some),
    ):
        table = table_of({IDENTITY: plain, some: better, many: turned})
        table.facts = facts
        found = confirm(found_by(finalists), table, Aim.LAYERS, num_test=3000)
        assert found.order[0].path == best
