"""The report as a browser sees it."""

import pytest
from support.html_page import EXTERNAL, HOSTILE, HtmlPage, parsed, plots_of

from search_cluster.errors import InvalidValueError
from search_cluster.report.html import write_report
from search_cluster.report.style import STYLE


@pytest.fixture
def written(tmp_path, records, corpus_of, evaluation):
    """Writes a report and parses it."""

    def write(*, records=records, run=None, evaluations=(), benches=()) -> HtmlPage:
        out = tmp_path / "report.html"
        write_report(
            tmp_path / "my run",
            out,
            corpus=corpus_of(records),
            run=run or {},
            evaluations=evaluations,
            benches=benches,
        )
        return parsed(out)

    return write


def test_everything_is_in_the_page(written, evaluation):
    routed = evaluation(
        routed_decisions=[[0, 100, 0], [50, 50, 0], [75, 25, 0], [0, 90, 10]],
        layers_per_question=[3] * 75 + [4] * 25,
        num_fixed=30,
        num_broken=10,
    )
    run = {
        "paths_evaluated": 1234,
        "cache_hits": 56,
        "device_seconds": 7.89,
        "paths_per_device_hour": 98765.4,
    }
    page = written(run=run, evaluations=[routed])
    for expected in (
        "Layer paths of tiny on t",
        "Run my run: 5 questions of the train split",
        "The router drllm helps: on 100 test questions of t",
        "Only the routed model is right on 30 of them, only the plain one on 10.",
        "paths evaluated on a device 1,234",
        "answered by the cache 56",
        "paths per device-hour 98,765.4",
        "budget: 2, improved: 2, failed: 1",
        "fixed by a skip",
        "0-1,3",
        "none is right",
        "no verdict",
        "right by luck",
        "corpus digest " + "d" * 64,
    ):
        assert expected in page.words, expected
    for title in (
        "Accuracy",
        "Layers per question",
        "Best paths per depth",
        "Router drllm per depth",
        "Length of best paths",
        "Effort per question",
    ):
        assert title in page.words, title
    plots = plots_of(page)
    assert len(plots) == 6
    assert plots[0]["data"][0]["x"] == [pytest.approx(value) for value in (62, 60, 60, 40)]
    assert plots[1]["data"][0]["y"] == [75, 25]
    assert [trace["y"][1] for trace in plots[2]["data"]] == [pytest.approx(100 / 3)] * 3
    assert [trace["y"][3] for trace in plots[3]["data"]] == [0, 90, 10]
    assert plots[4]["data"][0]["x"] == [3, 5]
    assert plots[5]["data"][0]["y"] == [1, 1, 3]


STATIC = {
    "path": "0-1,3", "layers": 3, "accuracy": 0.58, "diff": -0.02, "diff_low": -0.05,
    "diff_high": 0.01, "p_value": 0.3,
}  # fmt: skip
ORACLE = {"num_paths": 16, "accuracy": 0.8, "layers": 3.5}


def test_static_path_and_oracle_stand_beside_the_router(written, evaluation):
    beside = evaluation(
        static=STATIC,
        oracle=ORACLE,
        diff_low=-0.01,
        diff_high=0.05,
        num_fixed=4,
        num_broken=2,
        p_value=0.687,
    )
    page = written(evaluations=[beside])
    for expected in (
        "router drllm 100 test questions of t 62.0% +2.0 (-1.0 to +5.0) 4 / 2 0.69 18.8%",
        "one path for all 0-1,3 58.0% -2.0 (-5.0 to +1.0) 0.3 25.0%",
        "bound, gold answers known the shortest right one of 16 paths 80.0% +20.0 12.5%",
    ):
        assert expected in page.words, expected
    accuracy = plots_of(page)[0]["data"][0]
    assert accuracy["x"][:2] == [pytest.approx(80), pytest.approx(58)]
    assert accuracy["error_x"]["array"][:2] == [0, pytest.approx(3)]
    assert accuracy["error_x"]["arrayminus"][:2] == [0, pytest.approx(3)]
    assert "Routers on unseen questions" not in written().words
    assert "Routers on unseen questions" in written(evaluations=[evaluation()]).words


def test_evaluations_on_several_tasks_are_told_apart(written, evaluation):
    counts = {"layers_per_question": [3] * 100, "routed_decisions": [[0, 100, 0]] * 4}
    page = written(evaluations=[evaluation(**counts), evaluation(task="other", **counts)])
    names = plots_of(page)[0]["data"][0]["y"]
    assert names[0] == "router drllm,<br>test questions of other"
    assert [trace["name"] for trace in plots_of(page)[1]["data"]] == [
        "router drllm of t",
        "router drllm of other",
    ]
    assert "Router drllm per depth of other" in page.words


@pytest.mark.parametrize(
    ("counts", "words", "kind"),
    [
        ((30, 10), "The router drllm helps:", "helps"),
        ((10, 30), "The router drllm hurts:", "fails"),
        ((3, 2), "The router drllm: can't tell whether it helps;", None),
    ],
)
def test_claims_the_page_says_helps_hurts_or_cannot_tell(written, evaluation, counts, words, kind):
    page = written(evaluations=[evaluation(num_fixed=counts[0], num_broken=counts[1])])
    assert words in page.words
    for other in ("helps", "fails"):
        # The corpus has a path without a verdict, which is a finding of its own.
        noted = other == "fails"
        assert (("class", other) in page.attributes) is (noted or kind == other)


ACCURACIES = (0.467, 0.233, 0.233)


@pytest.mark.parametrize("names", [("a", "b", "c"), ("", "", ""), ("a", "a", "a")])
def test_claims_bars_of_one_kind_of_router_are_not_added_up(written, evaluation, names):
    counts = {"layers_per_question": [3] * 100, "routed_decisions": [[0, 100, 0]] * 4}
    page = written(
        evaluations=[
            evaluation(
                router="menu", name=name, accuracy_routed=accuracy, static=STATIC, oracle=ORACLE,
                accuracy_plain=0.4 + accuracy / 10, **counts,
            )
            for name, accuracy in zip(names, ACCURACIES, strict=True)
        ]
    )  # fmt: skip
    bars = plots_of(page)[0]["data"][0]
    assert len(set(bars["y"])) == len(bars["y"]), "plotly adds up bars of one name"
    routed = [
        value for name, value in zip(bars["y"], bars["x"], strict=True) if name.startswith("router")
    ]
    assert sorted(routed) == [pytest.approx(23.3), pytest.approx(23.3), pytest.approx(46.7)]
    plain = {value for name, value in zip(bars["y"], bars["x"], strict=True) if "plain" in name}
    assert {round(value, 2) for value in plain} >= {44.67, 42.33}
    lines = [trace["name"] for trace in plots_of(page)[1]["data"]]
    assert len(set(lines)) == 3
    titles = {line for line in page.words.split("  ") if "per depth" in line}
    assert all(f"Router {line.removeprefix('router ')} per depth" in page.words for line in lines)
    assert titles


def test_claims_equal_bars_are_drawn_once(written, evaluation):
    page = written(
        evaluations=[evaluation(router=kind, static=STATIC) for kind in ("drllm", "polar")]
    )
    names = plots_of(page)[0]["data"][0]["y"]
    assert sum("plain model,<br>test" in name for name in names) == 1
    assert sum("one path for all" in name for name in names) == 1


def test_claims_chance_and_cut_answers_are_in_the_page(written, evaluation):
    page = written(
        evaluations=[
            evaluation(
                chance=0.25,
                plain_is_guessing=True,
                num_cut_plain=2,
                num_cut_routed=0,
                effect="hurts",
            )
        ],
        run={"paths_evaluated": 40, "cut_answers": 7},
    )
    for expected in (
        "Uniform guesses are right on 25.0%: the plain model can't be told from guessing.",
        "uniform guesses, test questions of t 100 questions 25.0%",
        "max_new_tokens cut 2 plain and 0 routed answers",
        "7 of 40 answers that were computed were cut by the task's max_new_tokens",
        "answers cut by max_new_tokens, of those evaluated on a device 7",
    ):
        assert expected in page.words, expected


def test_claims_nothing_is_a_percentage_of_no_question(written):
    page = written(records=[])
    assert "none asked" in page.words
    assert "No question was searched yet, so nothing is known." in page.words
    assert " 0.0%" not in page.words
    assert "0.0 to 100.0%" not in page.words


def test_claims_searched_questions_are_not_called_unseen(written, evaluation):
    assert "Routers on unseen questions" in written(evaluations=[evaluation()]).words
    page = written(evaluations=[evaluation(), evaluation(split="train")])
    assert "Routers on unseen questions" not in page.words
    assert "Routers against the plain model" in page.words


def test_a_router_scored_on_searched_questions_is_called_that(written, evaluation):
    assert (
        "this is no test on unseen questions"
        in written(evaluations=[evaluation(split="train")]).words
    )
    assert "this is no test on unseen questions" not in written(evaluations=[evaluation()]).words


def test_without_a_router_and_without_records(written):
    assert "No router was evaluated" in written().words
    page = written(records=[])
    assert "0 of 0 questions" in page.words
    assert len(plots_of(page)) == 1


def _bench_cell(evaluations: float, saved: float, verified: float) -> dict:
    return {
        "evaluations_per_example": evaluations,
        "saved_layers": saved,
        "verified_saved_layers": verified,
        "verified_saved_layers_low": verified - 0.5,
        "verified_saved_layers_high": verified + 0.25,
        "holds": None,
    }


def test_what_evaluations_buy_is_a_line_per_preset(written):
    cells = {"50": _bench_cell(39, 2.5, 2.25), "10": _bench_cell(9, 1.0, 0.5)}
    bench = {
        "task": HOSTILE,
        "num_examples": 100,
        "results": {"chain": {"50": _bench_cell(50, 20, 0)}, "ours": cells},
    }
    page = written(benches=[bench])
    assert "What evaluations buy" in page.words
    assert "img" not in page.tags
    lines = {trace["name"]: trace for trace in plots_of(page)[-1]["data"]}
    assert lines["ours"]["x"] == [9, 39]
    assert lines["ours"]["y"] == [0.5, 2.25]
    assert lines["ours"]["error_y"]["arrayminus"] == [0.5, 0.5]
    assert lines["chain, unverified"]["y"] == [20]
    assert lines["chain"]["y"] == [0]


def test_a_bench_without_its_figures_is_refused(written):
    cell = {key: value for key, value in _bench_cell(1, 1, 1).items() if key != "saved_layers"}
    bench = {"task": "t", "num_examples": 1, "results": {"ours": {"10": cell}}}
    with pytest.raises(
        InvalidValueError, match=r"results\.ours\.10\.saved_layers.*bench search --json"
    ):
        written(benches=[bench])


def test_hostile_texts_stay_texts(written, record, evaluation):
    plain = written(evaluations=[evaluation()])
    hostile = written(
        records=[
            record(HOSTILE, identity=0.0, best=(0, 1, 3), output=HOSTILE, stop_reason=HOSTILE),
            record(HOSTILE + "2", identity=1.0, best=None, output="\ud800"),
        ],
        evaluations=[
            evaluation(
                router=HOSTILE,
                split=HOSTILE,
                task=HOSTILE,
                routed_decisions=[[1, 1, 1]] * 4,
                layers_per_question=[4] * 100,
            )
        ],
    )
    assert "img" not in hostile.tags
    assert not any(name.startswith("on") for name, _ in hostile.attributes)
    ours = [text for attributes, text in hostile.scripts if "data-plot" not in attributes]
    assert ours == [text for attributes, text in plain.scripts if "data-plot" not in attributes]
    assert len(plots_of(hostile)) == 6
    assert not [
        text for attributes, text in hostile.scripts if "data-plot" in attributes and "<" in text
    ]
    assert "alert(1)" in hostile.words
    assert "{{ 7*7 }}" in hostile.words


def test_nothing_is_fetched(written, evaluation):
    page = written(evaluations=[evaluation(layers_per_question=[4] * 100)])
    assert not [(name, value) for name, value in page.attributes if name in EXTERNAL]
    assert "link" not in page.tags
    policy = next(
        value
        for name, value in page.attributes
        if name == "content" and "default-src" in (value or "")
    )
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_at_most_fifty_examples_and_those_that_were_fixed_first(written, record):
    many = [
        record(f"right anyway {number}", identity=1.0, best=(0, 1, 2, 3)) for number in range(60)
    ]
    page = written(records=[*many, record("the fixed one", identity=0.0, best=(0, 1, 3))])
    assert "50 of 61 questions" in page.words
    assert page.words.count("right anyway") == 49
    assert page.words.index("the fixed one") < page.words.index("right anyway")


def test_a_long_question_is_cut(written, record):
    page = written(records=[record("x" * 5000, identity=1.0, best=None)])
    assert "x" * 600 + " ..." in page.words
    assert "x" * 601 not in page.words


def test_claims_layers_are_saved_by_right_paths_and_so_many_only(written, record, records):
    assert "the 3 right best paths save 0.3 of 4 layers on average." in written().words
    page = written(records=[record("never", identity=0.0, best=None)])
    assert "no best path is right, so nothing is saved." in page.words
    assert "0.0 of 4" not in page.words
