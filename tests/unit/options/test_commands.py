"""Options made from the fields of settings: flags, defaults, help, what the command gets."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from search_cluster.commands.cli.search import search
from search_cluster.config import SearchConfig
from search_cluster.errors import ConfigError
from search_cluster.options.commands import Command, command, new_app, new_group
from search_cluster.options.fields import field_texts
from search_cluster.options.groups import Flags, Options, Overrides


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of the tests."""

    name: str
    """The ``name`` of a `thing`."""
    num_rows: int = field(default=3, metadata={"flag": "--rows", "min": 1})
    """The number of rows.

    This paragraph is for readers of the code.
    """
    limit: int | None = None
    """The largest number; ``None``: all of them."""
    sizes: tuple[int, ...] = (1, 8)
    """Sizes, separated by commas."""
    words: tuple[str, ...] = ("a", "b")
    """Words, separated by commas."""
    real: bool = True
    """Do it for real."""
    folder: Path = Path("here")
    """Where."""
    secret: float = field(default=0.5, metadata={"flag": None})
    url: str = field(default="none", metadata={"envvar": "OPTIONS_TEST_URL"})

    def __post_init__(self) -> None:
        if self.name == "bad":
            raise ConfigError("name is 'bad'; it is another")


def invoke(item: Command, *arguments: str, **environment: str) -> Any:
    app = new_app("A program.")
    item.add_to(app)
    return CliRunner().invoke(app, arguments, env=environment)


def whole(asked: list[Settings], options: Options | None = None) -> Command:
    @command(epilog="Example: whole")
    def whole(config: Annotated[Settings, options or Options()]) -> None:
        """Take all settings."""
        asked.append(config)

    return whole


def test_a_command_gets_its_settings_with_the_fields_defaults() -> None:
    asked: list[Settings] = []
    assert invoke(whole(asked), "--name", "n").exit_code == 0
    assert asked == [Settings(name="n")]


def test_every_field_has_a_flag_unless_it_says_otherwise() -> None:
    asked: list[Settings] = []
    done = invoke(
        whole(asked), "--name", "n", "--rows", "4", "--limit", "5", "--sizes", "2, 3",
        "--words", "c,,d", "--no-real", "--folder", "there", OPTIONS_TEST_URL="redis://a",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert asked == [
        Settings(
            name="n", num_rows=4, limit=5, sizes=(2, 3), words=("c", "d"), real=False,
            folder=Path("there"), url="redis://a",
        )
    ]  # fmt: skip
    assert "No such option" in invoke(whole(asked), "--name", "n", "--secret", "1").stderr


def test_the_help_is_the_string_under_the_field_and_the_default_the_fields() -> None:
    text = " ".join(invoke(whole([]), "--help").stdout.split())
    assert "--name <str> The name of a thing. [required]" in text
    assert "--rows <int range> The number of rows. [default: 3; x>=1]" in text
    assert "--limit <int> The largest number. [default: (all of them)]" in text
    assert "--sizes <str> Sizes, separated by commas. [default: 1,8]" in text
    assert "--real / --no-real Do it for real. [default: real]" in text
    assert "[env var: OPTIONS_TEST_URL; default: none]" in text
    assert "for readers of the code" not in text


def test_a_command_may_say_some_of_it_in_another_way() -> None:
    asked: list[Settings] = []
    options = Options(without=("limit",), defaults={"name": "m"}, helps={"folder": "Whither."})
    item = whole(asked, options)
    assert invoke(item).exit_code == 0
    assert asked == [Settings(name="m")]
    assert "No such option" in invoke(item, "--limit", "1").stderr
    assert "Whither." in invoke(item, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--name", "bad"), "error: name is 'bad'; it is another"),
        (
            ("--sizes", "1;8"),
            "error: --sizes has the part '1;8'; its parts are whole numbers from 1",
        ),
        (("--sizes", "0"), "error: --sizes has the part '0'"),
        (("--words", " ,"), "error: --words is ' ,'; it is at least one name"),
        (("--rows", "0"), "Invalid value for '--rows'"),
    ],
)
def test_a_wrong_value_ends_as_one_line(arguments: tuple[str, ...], error: str) -> None:
    done = invoke(whole([], Options(defaults={"name": "n"})), *arguments)
    assert done.exit_code == 2, done.exception
    assert error in " ".join(done.stderr.split())


def test_overrides_are_what_was_written_and_show_the_defaults() -> None:
    asked: list[Flags] = []

    @command("other", epilog="Example: other")
    def overrides(
        flags: Annotated[Flags, Overrides(of=SearchConfig, only=("limit", "device", "redis_url"))],
    ) -> None:
        """Take what is written."""
        asked.append(flags)

    assert invoke(overrides, "--device", "cpu").exit_code == 0
    assert invoke(overrides, LPS_REDIS_URL="none").exit_code == 0
    assert asked == [{"device": "cpu"}, {"redis_url": "none"}]
    text = " ".join(invoke(overrides, "--help").stdout.split())
    assert "[default: (auto)]" in text
    assert "[default: (all)]" in text
    assert "--seed" not in text


def test_overrides_show_which_switches_are_on() -> None:
    @command("other", epilog="Example: other")
    def overrides(flags: Annotated[Flags, Overrides(of=Settings, only=("real",))]) -> None:
        """Take what is written."""

    text = " ".join(invoke(overrides, "--help").stdout.split())
    assert "--real / --no-real Do it for real. [default: (real)]" in text


def test_what_was_written_is_told_from_defaults_and_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPTIONS_TEST_URL", "redis://a")
    assert whole([]).written(["--name", "n", "--rows", "3"]) == {"name": "n", "num_rows": 3}


def test_without_a_source_there_is_no_help(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: object) -> str:
        raise OSError("no source")

    monkeypatch.setattr("search_cluster.options.fields.inspect.getsource", gone)
    field_texts.cache_clear()
    assert field_texts(Settings) == {}
    field_texts.cache_clear()


def test_a_parameter_that_is_no_dataclass_stays_an_option() -> None:
    seen: list[tuple[str, bool]] = []

    @command(epilog="Example: plain")
    def plain(
        place: Annotated[str, typer.Argument()],
        force: Annotated[bool, typer.Option("--force")] = False,
    ) -> None:
        """Take what typer takes."""
        seen.append((place, force))

    assert invoke(plain, "a", "--force").exit_code == 0
    assert seen == [("a", True)]


def test_what_is_asked_what_was_written_keeps_its_arguments() -> None:
    arguments = ["--limit", "5", "--task", "elements"]
    assert search.written(arguments) == {"limit": 5, "task": "elements"}
    assert arguments == ["--limit", "5", "--task", "elements"], "a job is submitted with them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Settings that all have defaults."""

    num_rows: int = field(default=3, metadata={"flag": "--rows"})
    """The number of rows."""


def test_a_command_with_commands_of_its_own_runs_itself_without_one_of_them() -> None:
    said: list[Any] = []

    @command(epilog="Example: thing --rows 4")
    def thing(*, settings: Named, count: int = 1) -> None:
        """Do the thing."""
        said.append((settings.num_rows, count))

    @command("part", epilog="")
    def part_of_it(*, folder: Path) -> None:
        """Do a part."""
        said.append(folder)

    app = new_group(thing, part_of_it)
    runner = CliRunner()
    assert runner.invoke(app, ["--rows", "4", "--count", "2"]).exit_code == 0
    assert runner.invoke(app, ["part", "x"]).exit_code == 0
    assert runner.invoke(app, []).exit_code == 0
    assert said == [(4, 2), Path("x"), (3, 1)]
    helped = runner.invoke(app, ["--help"]).output
    assert "Do the thing." in helped
    assert "part" in helped
    assert "Example: thing --rows 4" in helped
