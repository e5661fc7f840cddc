"""Task files of the harness (YAML), read without the harness: workers need no more than this.

A file may include others, and may name Python functions (``!function utils.process_docs``), which
are kept as references here and run by the harness alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from search_cluster.errors import TaskError, in_one_line
from search_cluster.files import file_sha256

FUNCTION_TAG = "!function"


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionReference:
    """A Python function that a task file names."""

    qualified: str
    """The module, relative to the file or importable, and the function: ``utils.process_docs``."""
    folder: Path
    """The folder of the file that names it."""

    @property
    def module_file(self) -> Path | None:
        """The module beside the task file; ``None`` if it is found elsewhere or by a path."""
        module = self.qualified.rpartition(".")[0]
        file = self.folder / f"{module.replace('.', '/')}.py"
        return file if file.is_file() else None

    def content(self) -> list[str]:
        """What tells two functions apart: the name, and a digest of the module's text."""
        file = self.module_file
        digest = "" if file is None else file_sha256(file)
        return [self.qualified.rpartition(".")[2], digest]


def read_task_file(path: Path) -> dict[str, Any]:
    """What a task file says, with what its included files say and it does not.

    Raises:
        TaskError: it, or a file that it includes, can't be read or is no YAML mapping.
    """
    return _read(path.absolute(), ())


def _read(path: Path, including: tuple[Path, ...]) -> dict[str, Any]:
    if path in including:
        raise TaskError(f"{path} includes itself; remove one of the includes")
    try:
        with path.open("rb") as file:
            # Derived from SafeLoader: no object is made but of the kinds that YAML itself has.
            said = yaml.load(file, Loader=_loader(path.parent))
    except OSError as error:
        raise TaskError(
            f"task file {path} can't be read ({error.strerror}); check the path"
        ) from error
    except yaml.YAMLError as error:
        raise TaskError(f"{path} is not YAML: {in_one_line(error)}") from error
    if not isinstance(said, dict):
        raise TaskError(f"{path} holds {type(said).__name__}; a task file is a mapping of keys")
    included = said.pop("include", [])
    merged: dict[str, Any] = {}
    for name in included if isinstance(included, list) else [included]:
        merged.update(_read((path.parent / str(name)).absolute(), (*including, path)))
        merged.pop("task_list", None)
    return merged | said


def _loader(folder: Path) -> type[yaml.SafeLoader]:
    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # it has no types
        """YAML's own kinds, and references to functions."""

    def function(loader: yaml.SafeLoader, node: yaml.Node) -> FunctionReference:
        assert isinstance(node, yaml.ScalarNode)
        return FunctionReference(qualified=str(loader.construct_scalar(node)), folder=folder)

    Loader.add_constructor(FUNCTION_TAG, function)
    return Loader


def functions_of(value: object) -> list[FunctionReference]:
    """All functions that a task file names, however deep."""
    if isinstance(value, FunctionReference):
        return [value]
    if isinstance(value, Mapping):
        return [found for item in value.values() for found in functions_of(item)]
    if isinstance(value, list):
        return [found for item in value for found in functions_of(item)]
    return []


def task_file_text(config: Mapping[str, Any]) -> str:
    """A task file that says this by itself, with the modules of its functions beside it."""

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]  # it has no types
        """YAML's own kinds, and references to functions."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def function(dumper: yaml.SafeDumper, value: FunctionReference) -> yaml.Node:
        module, _, name = value.qualified.rpartition(".")
        file = value.module_file
        return dumper.represent_scalar(
            FUNCTION_TAG, f"{module if file is None else file.stem}.{name}"
        )

    Dumper.add_representer(FunctionReference, function)
    return str(
        yaml.dump(dict(config), Dumper=Dumper, allow_unicode=True, sort_keys=True, width=1_000_000)
    )
