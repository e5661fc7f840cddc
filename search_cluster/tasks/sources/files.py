"""Raw rows from local files, each with its file and line.

Damage becomes a `MalformedRow`, never an exception.
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from search_cluster.errors import TaskError, UnreadableDataError, in_one_line
from search_cluster.tasks.raw_examples import Row
from search_cluster.tasks.task import MalformedRow

RawRows = Iterator[Row | MalformedRow]
"""Rows in their order, those that could not be read among them."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_rows(path: Path) -> RawRows:
    """The rows of a local file, in their order.

    The suffix decides how it is read: ``.jsonl``, ``.json`` (one array), ``.csv`` (no header) or
    ``.tsv`` (with a header).

    Raises:
        TaskError: the file can't be read, or its suffix is none of these.
    """
    readers = {
        ".jsonl": _read_jsonl,
        ".json": _read_json_array,
        ".csv": _read_csv,
        ".tsv": _read_tsv,
    }
    if path.suffix not in readers:
        raise TaskError(f"{path} ends in {path.suffix!r}; data files end in {', '.join(readers)}")
    try:
        data = path.read_bytes().removeprefix(_BYTE_ORDER_MARK)
    except OSError as error:
        raise UnreadableDataError(
            f"{path} can't be read ({error.strerror}); check its permissions"
        ) from error
    return readers[path.suffix](path.name, data)


def read_table(path: Path) -> RawRows:
    """The rows of a local file as objects, one for each row, whatever its suffix.

    Beside what `read_rows` reads, that is ``.parquet``; of ``.csv`` the first line names the
    columns.

    Raises:
        TaskError: the file can't be read, or its suffix is none of these.
    """
    if path.suffix == ".parquet":
        return _read_parquet(path)
    if path.suffix == ".csv":
        return _named_columns(path.name, read_rows(path))
    return read_rows(path)


TABLES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
"""The suffixes that `read_table` knows."""


def _read_parquet(path: Path) -> RawRows:
    from pyarrow import ArrowException  # heavy, and needed for such files only
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for value in batch.to_pylist():
                    yield Row(source=f"{path.name}:{number}", value=value)
                    number += 1
    except (OSError, ArrowException) as error:
        raise UnreadableDataError(
            f"{path} can't be read as Parquet ({in_one_line(error)}); check the file"
        ) from error


def _named_columns(name: str, rows: RawRows) -> RawRows:
    """Records under the names of the first one."""
    header = next(rows, None)
    if not isinstance(header, Row):
        return
    columns = [str(column) for column in _as_list(header.value)]
    for row in rows:
        values = _as_list(row.value) if isinstance(row, Row) else None
        if values is None or len(values) == len(columns):
            yield (
                row
                if values is None
                else Row(source=row.source, value=dict(zip(columns, values, strict=True)))
            )
        else:
            reason = f"{len(values)} columns; the first line has {len(columns)}"
            yield MalformedRow(source=row.source, reason=reason)


def _as_list(record: object) -> list[object]:
    assert isinstance(record, list)
    return record


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object whose keys differ: of a key that stands twice, nobody knows which value holds."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _malformed(name: str, line: int, error: Exception) -> MalformedRow:
    return MalformedRow(source=f"{name}:{line}", reason=f"{type(error).__name__}: {error}")


def _read_jsonl(name: str, data: bytes) -> RawRows:
    for line, content in enumerate(data.split(b"\n"), start=1):
        if not content.strip():
            continue
        try:
            yield Row(source=f"{name}:{line}", value=_DECODER.decode(content.decode()))
        except (ValueError, RecursionError) as error:
            yield _malformed(name, line, error)


def _read_json_array(name: str, data: bytes) -> RawRows:
    """Read the elements one by one, so that each has its line.

    What follows a broken element can't be told apart and is lost.
    """
    text = data.decode(errors="surrogateescape")
    position = _skip(text, 0, " \t\r\n")
    if text[position : position + 1] != "[":
        yield MalformedRow(
            source=f"{name}:1",
            reason="the file does not start with '['; it has to hold one JSON array",
        )
        return
    line, counted = 1, 0
    position = _skip(text, position + 1, " \t\r\n")
    while text[position : position + 1] not in ("", "]"):
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, position = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            yield _malformed(name, line, error)
            return
        yield Row(source=f"{name}:{line}", value=value)
        position = _skip(text, position, ", \t\r\n")


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position


def _read_csv(name: str, data: bytes) -> RawRows:
    """Records of fields; a record may span several lines and is named by its first line."""
    reader = csv.reader(io.StringIO(data.decode(errors="surrogateescape"), newline=""))
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield _malformed(name, line, error)
            continue
        if record:
            yield Row(source=f"{name}:{line}", value=record)


def _read_tsv(name: str, data: bytes) -> RawRows:
    """One object per line, under the names in the first line; quotation marks mean nothing."""
    lines = data.decode(errors="surrogateescape").split("\n")
    header = lines[0].rstrip("\r").split("\t")
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        fields = line.rstrip("\r").split("\t")
        if len(fields) == len(header):
            yield Row(source=f"{name}:{number}", value=dict(zip(header, fields, strict=True)))
        else:
            reason = f"{len(fields)} columns; the header has {len(header)}"
            yield MalformedRow(source=f"{name}:{number}", reason=reason)
