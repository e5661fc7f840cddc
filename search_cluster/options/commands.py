"""Commands of a program: functions whose options are made from the fields of settings."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Any

import typer

from search_cluster.console import RESUMABLE, one_line_errors
from search_cluster.extras import DISTRIBUTION
from search_cluster.options.groups import Flags, OptionGroup, group_of
from search_cluster.options.hub_folder import take_hub_folders
from search_cluster.options.task_source import take_task_source, task_names, task_parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of a program."""

    name: str
    run: Callable[..., None]
    """The function as typer reads it: every option is a parameter of its own."""
    epilog: str
    """Examples, shown under the options."""
    passes_on: bool
    """Whether the command takes arguments that it does not know and finds them in its context."""

    def add_to(self, app: typer.Typer) -> None:
        """Make this a command of a program."""
        extra = {"allow_extra_args": True, "ignore_unknown_options": True}
        settings = extra if self.passes_on else None
        app.command(self.name, epilog=self.epilog, context_settings=settings)(self.run)

    def written(self, arguments: list[str]) -> Flags:
        """What arguments set on the command line itself: no default, no environment variable."""
        app = new_app("")
        self.add_to(app)
        context = typer.main.get_command(app).make_context(
            self.name,
            list(arguments),  # Click takes out what it parses
        )
        sources = {name: context.get_parameter_source(name) for name in context.params}
        return {
            name: context.params[name]
            for name, source in sources.items()
            if source is not None and source.name == "COMMANDLINE"
        }


def new_program(text: str, *commands: Command) -> typer.Typer:
    """A program, which also says its version and completes its words in a shell."""
    app = new_app(text, *commands, completes=True)

    def main(
        *,
        version: Annotated[
            bool,
            typer.Option(
                "--version", is_eager=True, callback=_say_version, help="Say the version."
            ),
        ] = False,
    ) -> None: ...

    app.callback(help=text, no_args_is_help=True)(main)
    return app


def _say_version(asked: bool) -> None:
    if asked:
        print(f"{DISTRIBUTION} {version(DISTRIBUTION)}")
        raise typer.Exit


def new_app(text: str, *commands: Command, completes: bool = False) -> typer.Typer:
    """A group of commands, or with ``completes`` a program."""
    app = typer.Typer(
        help=text,
        no_args_is_help=bool(commands),
        add_completion=completes,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for item in commands:
        item.add_to(app)
    return app


def new_group(item: Command, *commands: Command) -> typer.Typer:
    """A command with commands of its own: without one of them it runs itself."""
    app = new_app(item.run.__doc__ or "", *commands)
    parameters = inspect.signature(item.run).parameters.values()
    first = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)

    def run(context: typer.Context, **values: Any) -> None:
        if context.invoked_subcommand is None:
            item.run(**values)

    run.__doc__ = item.run.__doc__
    run.__signature__ = inspect.Signature([first, *parameters])  # type: ignore[attr-defined]
    run.__annotations__ = {"context": typer.Context, **item.run.__annotations__}
    app.callback(invoke_without_command=True, no_args_is_help=False, epilog=item.epilog)(run)
    return app


def command(
    name: str | None = None, *, epilog: str, interrupted: str = RESUMABLE, passes_on: bool = False
) -> Callable[[Callable[..., None]], Command]:
    """Make a command of a function; known errors of it, and of its options, end as one line.

    Args:
        name: its name, if this is not the function's.
        epilog: see `Command`.
        interrupted: see `one_line_errors`.
        passes_on: see `Command`.
    """

    def of(function: Callable[..., None]) -> Command:
        groups: dict[str, OptionGroup] = {}
        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(function).parameters.values():
            group = group_of(parameter.annotation)
            if group is None:
                parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            else:
                groups[parameter.name] = group
                parameters += group.parameters()
        tasks = task_names(parameters)
        of_tasks = task_parameters(parameters)
        parameters += of_tasks

        def run(**values: Any) -> None:
            with one_line_errors(interrupted):
                if of_tasks:
                    take_task_source(values, tasks)
                take_hub_folders(values, parameters)
                made = {key: group.take(values) for key, group in groups.items()}
                function(**values, **made)

        run.__doc__ = function.__doc__
        # Typer asks `inspect.signature` for the order and the defaults, `get_type_hints` for types.
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {item.name: item.annotation for item in parameters}
        shown = name or function.__name__
        return Command(name=shown, run=run, epilog=epilog, passes_on=passes_on)

    return of
