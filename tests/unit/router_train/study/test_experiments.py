from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from router_train.cli import app
from router_train.commands import fit as commands
from router_train.config import FitConfig
from router_train.study.experiments import options, plan
from router_train.study.result import Figures, Result, ResultInputs
from router_train.study.selection import choose

WHOLE = plan("arc_easy", num_examples=2000, table=True, evidence=True)


def test_rows_have_names_of_their_own_and_cover_what_is_asked() -> None:
    names = [item.name for item in WHOLE]
    assert len(set(names)) == len(names)
    assert {item.config.router for item in WHOLE} == {
        "identity", "static", "menu", "drllm", "polar", "early-exit",
    }  # fmt: skip
    sizes = {
        size: {item.config.router for item in WHOLE if item.size == size}
        for size in ("250", "500", "1000")
    }
    assert all(
        routers == {"static", "menu", "drllm", "polar", "early-exit"} for routers in sizes.values()
    )
    for router in ("drllm", "polar"):
        labels = {(item.config.labels, item.size) for item in WHOLE if item.config.router == router}
        assert len(labels) == 2 * 4
    assert [item.name for item in WHOLE if item.oracle] == ["oracle"]


def test_sizes_and_labels_that_a_corpus_lacks_are_left_out() -> None:
    few = plan("elements", num_examples=400, table=False, evidence=False)
    assert {item.size for item in few} == {"250", "all"}
    assert not any(item.config.router == "menu" or item.oracle for item in few)
    assert {item.config.labels for item in few if item.config.router in ("drllm", "polar")} == {
        "unguarded"
    }


@pytest.mark.parametrize("experiment", WHOLE, ids=lambda item: item.name)
def test_the_command_line_of_a_row_gives_its_settings(
    experiment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[FitConfig] = []
    monkeypatch.setattr(
        commands, "run_fit", lambda corpus, out, config, *rest, **more: asked.append(config)
    )
    done = CliRunner().invoke(
        app, ["fit", "--corpus", "a", "--out", "b", *options(experiment.config)]
    )
    assert done.exit_code == 0, done.stderr
    assert asked == [experiment.config]


def figures(diff: float, half_width: float, saved: float) -> Figures:
    return Figures(
        n=500, accuracy_plain=0.5, accuracy_routed=0.5 + diff, diff=diff,
        diff_low=diff - half_width, diff_high=diff + half_width, p_value=0.5,
        layers_saved_share=saved, layer_token_share=1 - saved,
    )  # fmt: skip


def row(
    name: str, validation: Figures, test: Figures | None = None, oracle: bool = False
) -> Result:
    inputs = ResultInputs(
        corpus="c", name=name, config=FitConfig(), table=True, oracle=oracle, task="t",
        task_version="1", model_fingerprint="f", corpus_digest="d", table_digest="t", limit=None,
        splits=("validation", "test"),
    )  # fmt: skip
    found = {"validation": validation, "test": test or validation}
    return Result(
        inputs=inputs, num_train=1, metrics={}, figures=found, commands=(), seconds=1.0, versions={}
    )  # fmt: skip


def test_the_choice_clears_the_floor_then_saves_most() -> None:
    identity = row("identity", figures(0.0, 0.0, 0.0))
    more = row("more", figures(0.01, 0.0392, 0.3))
    less = row("less", figures(0.03, 0.0392, 0.1))
    worse = row("worse", figures(-0.001, 0.0196, 0.5))
    bound = row("bound", figures(0.2, 0.0, 0.4), oracle=True)
    best = choose([identity, less, more, worse, bound])
    assert best is not None
    assert best.inputs.name == "more"
    assert choose([identity, less, worse]) is less
    assert choose([worse]) is None


def test_the_choice_does_not_look_at_the_test_split() -> None:
    good, bad = figures(0.05, 0.01, 0.2), figures(-0.2, 0.01, 0.0)
    first, second = (
        row("first", good, bad),
        row("second", replace(good, layers_saved_share=0.1), good),
    )
    assert choose([first, second]) is first


def test_of_equals_the_more_accurate_is_chosen() -> None:
    first, second = row("first", figures(0.03, 0.01, 0.2)), row("second", figures(0.04, 0.01, 0.2))
    assert choose([first, second]) is second
    assert choose([second, row("another", figures(0.04, 0.01, 0.2))]) is not second


def test_rows_that_change_nothing_or_learn_from_a_part_are_no_choice() -> None:
    identity, shorter = (
        row("identity", figures(0.0, 0.0, 0.0)),
        row("shorter", figures(0.0, 0.01, 0.1)),
    )
    some = row("some", figures(0.05, 0.01, 0.3))
    some = replace(some, inputs=replace(some.inputs, config=FitConfig(train_limit=250)))
    assert choose([identity, some]) is None
    assert choose([identity, some, shorter]) is shorter
    fixing = row("fixing", figures(0.01, 0.01, 0.0))
    assert choose([identity, fixing]) is fixing
