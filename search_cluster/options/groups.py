"""The options that one parameter of a command stands for: one for each field of a dataclass.

A parameter of a command whose type is a dataclass stands for one option per field. The flag is the
field's name, the default is the field's default, and the help is the first paragraph of the string
under the field. A clause "``None``: X" at its end becomes the default that the help shows. What
these can't say stands in the field's metadata:

- ``flag``: another flag than the field's name (of a switch it may be two, with a slash between),
  or ``None`` for a field that no flag sets;
- ``envvar``: the environment variable that sets the option where the flag does not;
- ``min``: the smallest number that is allowed;
- ``hub``: what a folder holds that may lie on the hub (`search_cluster.options.hub_folder`).
"""

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from search_cluster.errors import ConfigError
from search_cluster.hub_spec import FOUND, FolderKind
from search_cluster.options.fields import default_of, field_texts, flag_of, help_and_unset
from search_cluster.options.hub_folder import HUB, FromHub

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object as the last line of standard output.")
]
RunArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Run folder of a search.")]
FoundArgument = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Run folder of a search, a scan or a study, or hub:NAME."),
    FromHub(FOUND),
]
CorpusArgument = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Run folder of a search, or hub:NAME."),
    FromHub((FolderKind.CORPUS,)),
]
VerdictsArgument = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Run folder of a search or a scan, or hub:NAME."),
    FromHub((FolderKind.CORPUS, FolderKind.SCAN)),
]
ScanArgument = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Run folder of a finished scan, or hub:NAME."),
    FromHub((FolderKind.SCAN,)),
]
ConfigOption = Annotated[
    Path | None, typer.Option(help="TOML file with settings; flags win over it.")
]
PathOption = Annotated[
    str | None,
    typer.Option(
        help="Another path, such as 0-17,20-29 or blocks:31,34.", show_default="the scan's"
    ),
]
BestOption = Annotated[
    bool, typer.Option("--best", help="Take the first finalist if the scan is not sure.")
]
ToOption = Annotated[str, typer.Option("--to", metavar="ORG/NAME", help="The repository.")]
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


class OptionGroup:
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
        hint, default = self._hints[item.name], default_of(item)
        text = field_texts(self._config).get(item.name, "")
        if isinstance(self._options, Options):
            default = self._options.defaults.get(item.name, default)
            text = self._options.helps.get(item.name, text)
        help_, unset = help_and_unset(text)
        if _is_list(hint):
            hint = str
            default = default if default is MISSING else ",".join(map(str, default))
        names = flag_of(item)
        if hint is bool and default is True and "/" not in names:
            names = f"{names}/--no-{names.removeprefix('--')}"
        shown: bool | str = True
        if default is None:
            shown = unset or False
        elif isinstance(self._options, Overrides):
            switch = names.partition("/")[0].removeprefix("--")
            shown = default and switch if hint is bool else str(default)
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
            annotation=Annotated[hint, option, _from_hub(item)],
        )


def group_of(annotation: Any) -> OptionGroup | None:
    """The options that a parameter of this type stands for; ``None`` if it is an option itself."""
    base, *rest = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    for item in rest:
        if isinstance(item, Overrides):
            return OptionGroup(item.of, item)
        if isinstance(item, Options):
            return OptionGroup(base, item)
    return OptionGroup(base, Options()) if isinstance(base, type) and is_dataclass(base) else None


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


def _from_hub(item: Field[Any]) -> FromHub | None:
    """The mark of a folder that may lie on the hub, if a field's metadata has one."""
    kind = item.metadata.get(HUB)
    return None if kind is None else FromHub((kind,), stays=True)


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
