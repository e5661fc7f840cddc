"""Rows of any layout as rows of ours: which of their fields is the question, which the answer.

A field is given as the harness does it: the name of a column, whose value is taken as it is, or a
jinja template over the columns. Choices are a column with a list, a template that writes a list, or
a list of templates. A template that writes digits for the answer means an index where there are
choices.
"""

import ast
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from search_cluster.errors import TaskError
from search_cluster.tasks.fields import as_mapping, shown
from search_cluster.tasks.raw_examples import Row, RowError
from search_cluster.tasks.sources.files import RawRows
from search_cluster.tasks.sources.jinja import fill, has_marks, names_in
from search_cluster.tasks.task import MalformedRow

_KEPT = ("choices", "split")
"""Columns that mean what they do in our rows, unless the mapping says otherwise."""
_Text = Annotated[str, Field(min_length=1)]


class FieldMapping(BaseModel):
    """Where the parts of a question stand in a row, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    question: _Text = "question"
    choices: _Text | Annotated[list[_Text], Field(min_length=2)] | None = None
    answer: _Text = "answer"
    difficulty: _Text | None = None
    split: _Text | None = None

    def check(self) -> None:
        """Refuse templates that are none.

        Raises:
            TaskError: one is broken; the message names the field.
        """
        for name, template in self:
            for text in template if isinstance(template, list) else [template]:
                if text is not None and has_marks(text):
                    try:
                        names_in(text)
                    except TaskError as error:
                        raise TaskError(f"field {name}: {error}") from error

    def row(self, value: object) -> dict[str, object]:
        """A row of ours.

        Raises:
            RowError: the row lacks a column, or a template can't be filled from it.
        """
        columns = as_mapping(value)
        row: dict[str, object] = {"question": _value(columns, "question", self.question)}
        if self.choices is not None:
            row["choices"] = self._choices(columns)
        row |= {name: columns[name] for name in _KEPT if name in columns and name not in row}
        answer = _value(columns, "answer", self.answer)
        is_written = isinstance(answer, str) and has_marks(self.answer)
        if "choices" in row and is_written and str(answer).strip().isdigit():
            answer = int(str(answer))
        row["answer"] = answer
        for name in ("difficulty", "split"):
            if (template := getattr(self, name)) is not None:
                row[name] = _value(columns, name, template)
        return row

    def _choices(self, columns: Mapping[str, Any]) -> object:
        if isinstance(self.choices, list):
            return [_value(columns, "choices", template) for template in self.choices]
        assert self.choices is not None
        found = _value(columns, "choices", self.choices)
        if not isinstance(found, str):
            return found
        try:
            return ast.literal_eval(found)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise RowError(f"field 'choices' gives {shown(found)}; it has to be a list") from error


def _value(columns: Mapping[str, Any], name: str, template: str) -> object:
    if template in columns:
        return columns[template]
    if not has_marks(template):
        raise RowError(
            f"field {name!r} is the column {template!r}, which the row lacks; it has "
            f"{', '.join(map(str, columns))}"
        )
    return fill(template, columns, f"field {name!r}")


def mapped_rows(rows: RawRows, mapping: FieldMapping | None) -> Iterator[Row | MalformedRow]:
    """Rows of another layout as ours; those that have no such fields are malformed.

    Raises:
        TaskError: a template of the mapping is broken.
    """
    if mapping is not None:
        mapping.check()
    for row in rows:
        if mapping is None or isinstance(row, MalformedRow):
            yield row
            continue
        try:
            yield Row(source=row.source, value=mapping.row(row.value))
        except RowError as error:
            yield MalformedRow(source=row.source, reason=str(error))
