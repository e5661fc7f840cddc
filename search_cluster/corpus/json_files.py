"""Values as JSON files that appear whole."""

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from search_cluster.errors import CorpusError
from search_cluster.files import write_text_whole

T = TypeVar("T")


def write_value(path: Path, adapter: TypeAdapter[T], value: T) -> None:
    """Write a value, atomically.

    Raises:
        CorpusError: the operating system refused.
    """
    write_text_whole(path, adapter.dump_json(value).decode() + "\n")


def read_value(path: Path, adapter: TypeAdapter[T], *, remedy: str) -> T:
    """The value in a file.

    Args:
        path: the file.
        adapter: what it holds.
        remedy: what to do about a damaged file.

    Raises:
        CorpusError: the file can't be read, or holds something else.
    """
    try:
        return adapter.validate_json(path.read_bytes())
    except OSError as error:
        raise CorpusError(f"can't read {path}: {error.strerror or error}; {remedy}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the text"
        raise CorpusError(
            f"{path}: {place}: {first['msg']}; the file was changed or written by another version: "
            f"{remedy}"
        ) from error


def require_schema(path: Path, found: int, read: int, *, again: str) -> None:
    """Pass if a file has the schema that this version reads.

    Args:
        path: the file.
        found: its schema.
        read: the one that is read.
        again: what makes another file, such as "scan again".

    Raises:
        CorpusError: it has another one.
    """
    if found != read:
        raise CorpusError(
            f"{path} has schema {found}; this version reads schema {read}: {again} in a new "
            "folder, or install the version that wrote it"
        )
