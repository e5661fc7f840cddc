"""Command-line options, made from the fields of settings, so that every flag is written once.

A parameter of a command whose type is a dataclass stands for one option per field. The flag is the
field's name, the default is the field's default, and the help is the first paragraph of the string
under the field. A clause "``None``: X" at its end becomes the default that the help shows. What
these can't say stands in the field's metadata:

- ``flag``: another flag than the field's name, or ``None`` for a field that no flag sets;
- ``envvar``: the environment variable that sets the option where the flag does not;
- ``min``: the smallest number that is allowed.
"""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from search_cluster.console import RESUMABLE, one_line_errors
from search_cluster.errors import ConfigError

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object as the last line of standard output.")
]
RunArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Run folder of a search.")]
ConfigOption = Annotated[
    Path | None, typer.Option(help="TOML file with settings; flags win over it.")
]
Flags = dict[str, Any]
"""What is written on a command line, by the names of the fields that the options were made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which fields become options, and what one command says of them in another way than the rest.

    It stands in ``Annotated[SomeConfig, Options(...)]``. The command then gets a ``SomeConfig``.
    """

    without: tuple[str, ...] = ()
    """These fields keep their defaults."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Defaults of this command, by field."""
    helps: Mapping[str, str] = field(default_factory=dict)
    """Help texts of this command, by field, in the form of the string under a field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Options that have no default of their own, because a file may have set what they set.

    It stands in ``Annotated[Flags, Overrides(...)]``. The command then gets the values that were
    written, and no others.
    """

    of: type
    """The dataclass whose fields become options."""
    only: tuple[str, ...] = ()
    """Only these fields; empty: all that have a flag."""


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
        context = typer.main.get_command(app).make_context(self.name, arguments)
        sources = {name: context.get_parameter_source(name) for name in context.params}
        return {
            name: context.params[name]
            for name, source in sources.items()
            if source is not None and source.name == "COMMANDLINE"
        }


def new_app(text: str, *commands: Command) -> typer.Typer:
    """A program, or a group of commands of one."""
    app = typer.Typer(
        help=text,
        no_args_is_help=bool(commands),
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for item in commands:
        item.add_to(app)
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
        groups: dict[str, _Group] = {}
        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(function).parameters.values():
            group = _group(parameter.annotation)
            if group is None:
                parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            else:
                groups[parameter.name] = group
                parameters += group.parameters()

        def run(**values: Any) -> None:
            with one_line_errors(interrupted):
                made = {key: group.take(values) for key, group in groups.items()}
                function(**values, **made)

        run.__doc__ = function.__doc__
        # Typer asks `inspect.signature` for the order and the defaults, `get_type_hints` for types.
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {item.name: item.annotation for item in parameters}
        shown = name or function.__name__
        return Command(name=shown, run=run, epilog=epilog, passes_on=passes_on)

    return of


def positive_numbers(text: str, flag: str) -> tuple[int, ...]:
    """Whole numbers from 1, separated by commas.

    Raises:
        ConfigError: a part is something else; the message names the flag.
    """
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not part.isdecimal() or int(part) < 1:
            raise ConfigError(
                f"{flag} has the part {part!r}; its parts are whole numbers from 1, separated by "
                "commas, such as 1,8,32"
            )
    return tuple(map(int, parts))


class _Group:
    """The options that one parameter of a command stands for."""

    def __init__(self, config: type, options: Options | Overrides) -> None:
        self._config = config
        self._options = options
        self._hints = get_type_hints(config)
        self._fields = [item for item in fields(config) if self._has_flag(item)]

    def _has_flag(self, item: Field[Any]) -> bool:
        if item.metadata.get("flag", "") is None:
            return False
        if isinstance(self._options, Options):
            return item.name not in self._options.without
        return not self._options.only or item.name in self._options.only

    def parameters(self) -> list[inspect.Parameter]:
        """One for each option, as typer reads them."""
        return [self._parameter(item) for item in self._fields]

    def take(self, values: Flags) -> Any:
        """Take the values of these options out of ``values`` and make the command's one of them."""
        own = {item.name: values.pop(item.name) for item in self._fields}
        for item in self._fields:
            if _is_list(self._hints[item.name]) and isinstance(own[item.name], str):
                own[item.name] = _parts(own[item.name], self._hints[item.name], flag_of(item))
        if isinstance(self._options, Overrides):
            return {name: value for name, value in own.items() if value is not None}
        return self._config(**own)

    def _parameter(self, item: Field[Any]) -> inspect.Parameter:
        hint, default = self._hints[item.name], _default(item)
        text = field_texts(self._config).get(item.name, "")
        if isinstance(self._options, Options):
            default = self._options.defaults.get(item.name, default)
            text = self._options.helps.get(item.name, text)
        help_, unset = _split(text)
        if _is_list(hint):
            hint = str
            default = default if default is MISSING else ",".join(map(str, default))
        names = flag_of(item)
        if hint is bool and default is True:
            names = f"{names}/--no-{names.removeprefix('--')}"
        shown: bool | str = True
        if default is None:
            shown = unset or False
        elif isinstance(self._options, Overrides):
            shown = False if hint is bool else str(default)
            hint, default = hint | None, None
        option = typer.Option(
            names,
            help=help_,
            show_default=shown,
            envvar=item.metadata.get("envvar"),
            min=item.metadata.get("min"),
        )
        return inspect.Parameter(
            item.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if default is MISSING else default,
            annotation=Annotated[hint, option],
        )


def _group(annotation: Any) -> _Group | None:
    """The options that a parameter of this type stands for; ``None`` if it is an option itself."""
    base, *rest = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    for item in rest:
        if isinstance(item, Overrides):
            return _Group(item.of, item)
        if isinstance(item, Options):
            return _Group(base, item)
    return _Group(base, Options()) if isinstance(base, type) and is_dataclass(base) else None


@cache
def field_texts(config: type) -> dict[str, str]:
    """The first paragraph of the string under each field of a dataclass; empty without a source."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[config.__module__]))
    except OSError:
        return {}
    texts: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == config.__name__:
            for item, after in pairwise(node.body):
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                    texts[item.target.id] = _text(after)
    return texts


def _text(node: ast.stmt) -> str:
    """The first paragraph of a string that stands alone, else nothing."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
        return ""
    return " ".join(inspect.cleandoc(str(node.value.value)).partition("\n\n")[0].split())


def _split(text: str) -> tuple[str, str]:
    """Help without its marks of code, and what ``None`` stands for, if the text says it."""
    help_, _, unset = text.partition("``None``:")
    plain = re.sub(r"`+", "", help_).strip().rstrip(";").removesuffix(".") + "." if help_ else ""
    return plain, re.sub(r"`+", "", unset).strip().removesuffix(".")


def flag_of(item: Field[Any]) -> str:
    """The flag of a field that has one."""
    flag: str = item.metadata.get("flag") or "--" + item.name.replace("_", "-")
    return flag


def _default(item: Field[Any]) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


def _is_list(hint: Any) -> bool:
    return get_origin(hint) is tuple


def _parts(text: str, hint: Any, flag: str) -> tuple[Any, ...]:
    """The parts of a comma-separated text as a field of this type holds them."""
    if get_args(hint)[0] is int:
        return positive_numbers(text, flag)
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    if not parts:
        raise ConfigError(f"{flag} is {text!r}; it is at least one name, names separated by commas")
    return parts
