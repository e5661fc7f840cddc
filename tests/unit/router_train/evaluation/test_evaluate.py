import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from scipy.stats import binomtest
from support.bridges import random_bridges
from support.router_corpus import FRUIT, fruit_task, tiny_loaded

from router_train.evaluation import evaluate as evaluate_module
from router_train.evaluation.evaluate import EvaluationReport, evaluate
from router_train.evaluation.paired import compare
from router_train.evaluation.predictions import PredictionLog
from router_train.inference.routed_model import RoutedModel
from router_train.routers.base import RoutedPath
from router_train.routers.fixed import FixedRouter
from search_cluster.errors import TaskError
from search_cluster.model.bridge.bridged import with_bridges
from search_cluster.model.bridge.bridges import path_costs
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.stats import bootstrap_difference, wilson_interval
from search_cluster.tasks.builtin.elements import ELEMENTS_TASK
from search_cluster.tasks.example import Example
from search_cluster.tasks.facts import facts_of

TASK = fruit_task(20)
EXAMPLES = TASK.load("test", None).examples
KEY = {"router": "r", "model": "m"}
SHORT = LayerPath.from_decisions((1, 0, 1, 2, 0, 1))


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_loaded()


@dataclass(frozen=True)
class EveryOther:
    """Even prompts take the short path and odd ones the plain one.

    It fails from a given prompt on.
    """

    calls: list[int]
    fails_at: int = 10**9

    def route(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> RoutedPath:
        if len(self.calls) == self.fails_at:
            raise KeyboardInterrupt
        self.calls.append(len(context_ids))
        path = SHORT if sum(context_ids) % 2 else LayerPath.identity(loaded.num_layers)
        return RoutedPath(path=path, confidence=0.5, num_fallbacks=0, num_layer_tokens=10)

    def settings(self) -> dict[str, int | str]:
        return {}

    def tensors(self) -> dict[str, object]:
        return {}


def run(
    loaded: LoadedModel,
    folder: Path,
    router: EveryOther,
    examples: Sequence[Example] = EXAMPLES,
    **options: object,
) -> EvaluationReport:
    log = PredictionLog(folder, KEY)
    return evaluate(loaded, RoutedModel(loaded, router), TASK, examples, log, **options)  # type: ignore[arg-type]


def test_the_report_counts_what_the_models_said(loaded: LoadedModel, tmp_path: Path) -> None:
    report = run(loaded, tmp_path, EveryOther([]))
    model = RoutedModel(loaded, EveryOther([]))  # type: ignore[arg-type]
    paths = [model.route_example(TASK, example).path for example in EXAMPLES]
    plain = [evaluate_path(loaded, TASK, example, LayerPath.identity(6)) for example in EXAMPLES]
    routed = [
        evaluate_path(loaded, TASK, example, path)
        for example, path in zip(EXAMPLES, paths, strict=True)
    ]
    assert report.comparison == compare(
        [v.is_correct for v in plain], [v.is_correct for v in routed]
    )
    assert report.layers_per_question == tuple(len(path) for path in paths)
    assert report.layers_plain == 6.0
    assert report.layers_routed == sum(map(len, paths)) / 20
    num_short = paths.count(SHORT)
    assert 0 < num_short < 20
    assert report.num_identity == 20 - num_short
    assert report.routed_decisions == (
        (0, 20, 0),
        (num_short, 20 - num_short, 0),
        (0, 20, 0),
        (0, 20 - num_short, num_short),
        (num_short, 20 - num_short, 0),
        (0, 20, 0),
    )
    share = sum(v.num_layer_tokens for v in routed) / sum(v.num_layer_tokens for v in plain)
    assert report.layer_token_share == pytest.approx(share)
    assert report.layer_token_share_with_routing > share


def test_what_bridges_cost_is_counted_for_everybody(tmp_path: Path) -> None:
    loaded = with_bridges(tiny_loaded(), random_bridges())
    costs = path_costs(loaded.model)
    assert SHORT.layers == (0, 2, 3, 3, 5)  # it crosses two, one of them to the last layer
    report = run(loaded, tmp_path, FixedRouter(SHORT), static_path=SHORT, menu=[SHORT])  # type: ignore[arg-type]
    layers = 5 + 2 * costs.share
    assert report.layers_routed == pytest.approx(layers, abs=1e-6)
    assert report.layers_saved_share == pytest.approx(1 - layers / 6, abs=1e-6)
    assert report.static is not None
    assert report.oracle is not None
    assert report.static.layers == pytest.approx(layers, abs=1e-6)
    right = report.oracle.accuracy
    assert report.oracle.layers == pytest.approx(right * layers + (1 - right) * 6, abs=1e-6)


class Bridging(FixedRouter):
    """Has a model of its own, beside which other paths are the plain model's."""

    def model_of(self, loaded: LoadedModel) -> LoadedModel:
        return with_bridges(loaded, random_bridges())


def test_engines_that_answer_side_by_side_share_the_memory(
    loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def state_bytes(loaded: LoadedModel, *, num_engines: int) -> int:
        asked.append(num_engines)
        return 2**20

    monkeypatch.setattr(evaluate_module, "default_state_bytes", state_bytes)
    for number, static_path in enumerate([None, SHORT]):
        run(loaded, tmp_path / str(number), Bridging(SHORT), static_path=static_path)  # type: ignore[arg-type]
    assert asked == [1, 2, 2]


def test_an_interrupted_evaluation_continues(loaded: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(loaded, tmp_path / "cut", EveryOther([], fails_at=7), batch_size=3)
    (file,) = (tmp_path / "cut").glob("*.jsonl")
    assert len(file.read_text().splitlines()) == 1 + 6
    again: list[int] = []
    resumed = run(loaded, tmp_path / "cut", EveryOther(again), batch_size=8)
    assert len(again) == 14
    assert resumed == run(loaded, tmp_path / "whole", EveryOther([]))


def test_static_path_and_oracle_stand_beside_the_router(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    menu = [LayerPath.identity(6), SHORT, LayerPath.from_decisions((1, 1, 0, 0, 1, 1))]
    first = run(loaded, tmp_path, EveryOther([]))
    assert (first.static, first.oracle) == (None, None)
    report = run(loaded, tmp_path, EveryOther([]), static_path=SHORT, menu=menu)
    right = [
        [evaluate_path(loaded, TASK, example, path).is_correct for path in menu]
        for example in EXAMPLES
    ]
    against = compare([row[0] for row in right], [row[1] for row in right])
    assert report.static is not None
    assert report.static.accuracy == against.accuracy_routed
    assert (report.static.diff_low, report.static.diff_high) == (
        against.diff_low,
        against.diff_high,
    )
    assert (report.static.layers, report.static.path) == (5, str(SHORT))
    lengths = [
        min([len(path) for path, ok in zip(menu, row, strict=True) if ok], default=6)
        for row in right
    ]
    assert report.oracle is not None
    assert report.oracle.accuracy == sum(map(any, right)) / 20
    assert report.oracle.accuracy > report.static.accuracy
    assert report.oracle.layers == sum(lengths) / 20
    assert report.comparison == first.comparison
    known: list[int] = []
    assert run(loaded, tmp_path, EveryOther(known), static_path=SHORT) == dataclasses.replace(
        report, oracle=None
    )
    assert not known


def test_the_size_of_batches_changes_no_answer(loaded: LoadedModel, tmp_path: Path) -> None:
    one = run(loaded, tmp_path / "one", EveryOther([]), batch_size=1)
    assert one == run(loaded, tmp_path / "all", EveryOther([]), batch_size=20)
    assert one.layers_saved_share == pytest.approx(1 - one.layers_routed / 6)


def test_a_cut_last_line_is_answered_again(
    loaded: LoadedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run(loaded, tmp_path, EveryOther([]))
    (file,) = tmp_path.glob("*.jsonl")
    file.write_bytes(file.read_bytes()[:-40])
    again: list[int] = []
    assert run(loaded, tmp_path, EveryOther(again)) == whole
    assert len(again) == 1
    assert "1 cut lines are dropped and answered again" in capsys.readouterr().err
    assert len(file.read_text().splitlines()) == 21


def test_predictions_of_another_key_are_not_taken(loaded: LoadedModel, tmp_path: Path) -> None:
    run(loaded, tmp_path, EveryOther([]))
    assert PredictionLog(tmp_path, KEY).get(EXAMPLES[0].example_id) is not None
    assert PredictionLog(tmp_path, {**KEY, "threshold": 0.5}).get(EXAMPLES[0].example_id) is None
    header = json.loads(next(tmp_path.glob("*.jsonl")).read_text().splitlines()[0])
    assert header["schema"] == 3


def test_questions_that_do_not_fit_are_counted_apart(loaded: LoadedModel, tmp_path: Path) -> None:
    too_long = Example(
        task="fruit",
        question="word " * 3000,
        choices=FRUIT,
        gold="fig",
        gold_index=3,
        split="test",
        source="by hand",
    )
    report = run(loaded, tmp_path, EveryOther([]), [too_long, *EXAMPLES[:3]])
    assert (report.num_too_long, report.comparison.n) == (1, 3)
    with pytest.raises(TaskError, match="none of 1 examples of fruit fits"):
        run(loaded, tmp_path, EveryOther([]), [too_long])


def test_answers_that_are_not_finite_count_as_wrong(tmp_path: Path) -> None:
    broken = tiny_loaded()
    broken.model.model.layers[3].mlp.down_proj.weight.fill_(float("nan"))
    path = LayerPath.from_decisions((1, 1, 1, 0, 1, 1))
    model = RoutedModel(broken, FixedRouter(path))
    report = evaluate(broken, model, TASK, EXAMPLES, PredictionLog(tmp_path, KEY))
    assert report.num_failures == 20
    assert report.comparison.accuracy_plain == 0.0
    assert report.comparison.num_fixed == report.comparison.accuracy_routed * 20


def test_paired_statistics() -> None:
    plain = [True] * 30 + [False] * 20
    routed = [True] * 28 + [False] * 2 + [True] * 9 + [False] * 11
    result = compare(plain, routed)
    assert (result.n, result.num_fixed, result.num_broken) == (50, 9, 2)
    assert (result.accuracy_plain, result.accuracy_routed) == (0.6, 0.74)
    assert result.p_value == pytest.approx(binomtest(2, 11, 0.5).pvalue)
    assert compare(plain, plain).p_value == 1.0


def test_asking_each_question_six_times_makes_nothing_surer() -> None:
    plain = [True] * 60 + [False] * 40
    routed = [True] * 57 + [False] * 3 + [True] * 15 + [False] * 25
    once = compare(plain, routed, list(range(100)))
    assert once == compare(plain, routed)
    assert (once.num_facts, once.design_effect) == (100, 1.0)
    six_times = [[right for right in answers for _ in range(6)] for answers in (plain, routed)]
    often = compare(*six_times, [fact for fact in range(100) for _ in range(6)])
    unaware = compare(*six_times)
    assert (often.n, often.num_facts, often.num_fixed) == (600, 100, 90)
    assert often.design_effect == pytest.approx(6.0, rel=0.02)
    for name in ("diff_low", "diff_high", "accuracy_plain_low", "accuracy_routed_high", "p_value"):
        assert getattr(often, name) == pytest.approx(getattr(once, name), abs=0.02)
    assert unaware.p_value < 1e-8 < once.p_value < 0.01 < 0.05
    assert unaware.diff_low > often.diff_low + 0.03


def test_facts_that_are_asked_in_several_ways_are_found_in_the_questions(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    examples = ELEMENTS_TASK.load("test", None).examples[:60]
    model = RoutedModel(loaded, FixedRouter(SHORT))
    log = PredictionLog(tmp_path, KEY)
    report = evaluate(loaded, model, ELEMENTS_TASK, examples, log, static_path=SHORT)
    found = report.comparison
    assert (found.n, found.num_facts) == (60, len(set(facts_of(examples).values())))
    assert found.num_facts < 60
    assert found.design_effect > 1.0
    assert report.static is not None
    assert (report.static.diff_low, report.static.p_value) == (found.diff_low, found.p_value)
    pairs = {example.example_id: place // 2 for place, example in enumerate(examples)}
    told = evaluate(loaded, model, ELEMENTS_TASK, examples, log, fact_of=pairs)
    assert told.comparison.num_facts == 30


def test_bootstrap_of_the_paired_difference() -> None:
    result = compare(
        [True] * 300 + [False] * 200, [True] * 280 + [False] * 20 + [True] * 50 + [False] * 150
    )
    assert result.diff == pytest.approx(0.06)
    # Normal approximation: sd = sqrt((50 + 20) / 500 - 0.06^2) / sqrt(500) = 0.01652
    assert result.diff_low == pytest.approx(0.06 - 1.96 * 0.01652, abs=0.003)
    assert result.diff_high == pytest.approx(0.06 + 1.96 * 0.01652, abs=0.003)
    assert bootstrap_difference(0, 0, 7) == (0.0, 0.0)


def test_wilson_interval_by_hand() -> None:
    # p = 0.5, n = 10, z = 1.96: centre 0.5, half width z sqrt(p q / n + z^2 / 4 n^2) / (1 + z^2 /
    # n) = 0.2634
    low, high = wilson_interval(5, 10)
    assert (low, high) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))
    assert wilson_interval(0, 10)[0] == pytest.approx(0.0, abs=1e-12)
