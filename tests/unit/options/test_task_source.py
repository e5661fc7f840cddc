"""The options beside ``--task`` become part of the task's name, in every command that takes it."""

from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from router_train.cli import app as router_app
from search_cluster.cli import app
from search_cluster.config import SearchConfig
from search_cluster.options.commands import command, new_app
from search_cluster.options.groups import Flags, Overrides
from search_cluster.task_spec import TaskSpec, read_spec, spec_with

SEEN: list[Any] = []


@command("one", epilog="x")
def one(*, flags: Annotated[Flags, Overrides(of=SearchConfig, only=("task", "seed"))]) -> None:
    """Take one task."""
    SEEN.append(flags)


@command("many", epilog="x")
def many(*, task: Annotated[list[str] | None, typer.Option()] = None) -> None:
    """Take many tasks."""
    SEEN.append(task)


@command("none", epilog="x")
def none(*, seed: int = 0) -> None:
    """Take no task."""


PROGRAM = new_app("x", one, many, none)


def invoke(*arguments: str) -> Any:
    SEEN.clear()
    return CliRunner().invoke(PROGRAM, list(arguments))


def test_options_become_part_of_the_task() -> None:
    done = invoke("one", "--task", "lm-eval:a", "--include-path", "my dir", "--num-fewshot", "3")
    assert done.exit_code == 0, done.output
    assert SEEN == [{"task": "lm-eval:a?include_path=my dir&num_fewshot=3"}]
    invoke(
        "many", "--task", "x.csv", "--task", "y.csv?answer=b", "--field", "answer={{a}}",
        "--field", "choices={{p & q}}", "--field", "choices=2",
    )  # fmt: skip
    specs = [read_spec(spec) for spec in SEEN[0]]
    assert [spec.base for spec in specs] == ["x.csv", "y.csv"]
    assert [dict(spec.options) for spec in specs] == [
        {"answer": "{{a}}", "choices": "{{p & q}}|||2"}
    ] * 2


def test_without_options_nothing_changes() -> None:
    invoke("one", "--task", "elements", "--seed", "2")
    assert SEEN == [{"task": "elements", "seed": 2}]
    assert invoke("none").exit_code == 0
    assert "--include-path" not in invoke("none", "--help").output


def test_an_option_without_a_task_or_a_name_is_one_line() -> None:
    done = invoke("one", "--num-fewshot", "3")
    assert done.exit_code == 2
    assert "--num-fewshot belongs to --task; name the task with it" in done.output
    assert (
        "--field is 'x'; it is NAME=TEMPLATE" in invoke("one", "--task", "a", "--field", "x").output
    )


@pytest.mark.parametrize(
    "spec",
    [
        TaskSpec(base="elements"),
        TaskSpec(base="a.csv", options={"question": "{{a}} & {{b}}?", "answer": "x=%20\n"}),
        TaskSpec(base="lm-eval:a", options={"include_path": "/a b/ü"}),
    ],
)
def test_a_spec_is_read_as_it_was_written(spec: TaskSpec) -> None:
    assert read_spec(str(spec)) == spec
    assert spec_with(str(spec), {}) == str(spec)


def test_a_file_with_a_question_mark_in_its_name_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "what?x=1.toml"
    file.touch()
    assert read_spec(str(file)).base == str(file)


def commands_with_tasks() -> list[tuple[Any, list[str]]]:
    ours = ["search", "scan", "depth", "crossexec", "verify"]
    groups = [["lens", "fit"], ["lens", "show"], ["bridge", "fit"], ["bench", "engine"]]
    more = [["bench", "search"], ["tasks", "show"], ["tasks", "check"]]
    routers = [["fit"], ["evaluate"], ["bench"]]
    return [
        *((app, name) for name in [*([item] for item in ours), *groups, *more]),
        *((router_app, name) for name in routers),
    ]


@pytest.mark.parametrize(("program", "name"), commands_with_tasks())
def test_every_command_that_takes_a_task_takes_its_source(program: Any, name: list[str]) -> None:
    shown = CliRunner().invoke(program, [*name, "--help"]).output
    for flag in ("--include-path", "--num-fewshot", "--field"):
        assert flag in shown
