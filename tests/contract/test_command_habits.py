"""What every command of both programs has in common: help, examples, ``--json``, a quick start.

The tests walk the command trees, so a new command is covered the day it is born.
"""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from router_train.cli import app as router_train
from search_cluster.cli import app as search_cluster

APPS = {"search-cluster": search_cluster, "router-train": router_train}
PROGRAMS: dict[str, Any] = {name: typer.main.get_command(app) for name, app in APPS.items()}
UsageError = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")
WITHOUT_RESULT = {"search-cluster dashboard"}
"""It serves a page until it is ended."""
HEAVY = {
    "datasets", "jinja2", "numpy", "pandas", "plotly", "pyarrow", "ray", "scipy", "sklearn",
    "torch", "transformers",
}  # fmt: skip
"""What takes a good part of a second to import, or more."""


def commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Every command below this one that does something by itself, by what is typed for it."""
    below = command.commands if isinstance(command, TyperGroup) else {}
    if not below or (command.invoke_without_command and path not in PROGRAMS):
        yield path, command
    for word, item in below.items():
        yield from commands(f"{path} {word}", item)


COMMANDS = {
    path: command for program, root in PROGRAMS.items() for path, command in commands(program, root)
}


def examples(command: Any) -> list[str]:
    """The command lines that a command's help shows."""
    lines = (command.epilog or "").replace("\b", "").splitlines()
    texts = [line.strip().removeprefix("Example:").strip() for line in lines]
    return [text for text in texts if text.startswith(tuple(PROGRAMS))]


def parse(line: str) -> str:
    """Parse a command line with the real options, run nothing; the command that it would run."""
    name, *words = shlex.split(line, comments=True)
    command = PROGRAMS[name]
    context = command.make_context(name, words)
    while isinstance(command, TyperGroup) and context._protected_args:
        words = [*context._protected_args, *context.args]
        name, command, words = command.resolve_command(context, words)
        context = command.make_context(name, words, parent=context)
    return str(context.command_path)


def test_both_programs_have_their_commands() -> None:
    assert len(COMMANDS) > 30
    assert {"search-cluster scan", "search-cluster scan export", "router-train fit"} <= set(
        COMMANDS
    )


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_that_has_a_result_gives_it_as_json(path: str) -> None:
    flags = {flag for option in COMMANDS[path].params for flag in option.opts}
    assert ("--json" in flags) == (path not in WITHOUT_RESULT)


@pytest.mark.parametrize("path", COMMANDS)
def test_help_ends_with_examples_that_the_command_takes(path: str) -> None:
    found = examples(COMMANDS[path])
    assert found, f"{path} --help shows no example"
    for line in found:
        assert parse(line).startswith(path), line


@pytest.mark.parametrize("path", COMMANDS)
def test_help_says_what_each_option_does_and_can_be_pasted_from(path: str) -> None:
    program, *words = path.split()
    done = CliRunner().invoke(APPS[program], [*words, "--help"], terminal_width=100)
    assert done.exit_code == 0
    shown = " ".join(done.output.split())
    for line in examples(COMMANDS[path]):
        assert " ".join(line.split()) in shown
    unsaid = [option.name for option in COMMANDS[path].params if not option.help]
    assert not unsaid


def test_an_example_with_a_flag_that_there_is_not_is_found() -> None:
    with pytest.raises(UsageError, match="--jsn"):
        parse("search-cluster status runs/demo --jsn")
    with pytest.raises(UsageError, match="corpus"):
        parse("router-train fit --router drllm")


def test_bars_of_libraries_stay_away_from_logs() -> None:
    script = (
        "import typer\nfrom search_cluster.console import run_app\n"
        "app = typer.Typer()\n"
        "@app.command()\ndef main():\n"
        "    from tqdm.auto import tqdm\n    print(sum(tqdm(range(5))))\n"
        "run_app(app)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("10\n", "")


@pytest.mark.parametrize(
    "statement",
    ["import search_cluster, router_train", "import search_cluster.cli", "import router_train.cli"],
)
def test_what_a_program_imports_to_say_its_help_is_light(statement: str) -> None:
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not HEAVY & {name.split(".")[0] for name in done.stdout.split()}
