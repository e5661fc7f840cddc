"""What describes a task of rows: the fields of a TOML file, or of options beside a data file."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from search_cluster.tasks.perturbation.wordings import Wording
from search_cluster.tasks.sources.mapping import FieldMapping


class StrictFields(BaseModel):
    """Fields of which no other may be given, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class OtherWording(StrictFields):
    """Templates that ask the same."""

    chat: str
    plain: str = ""


class PromptFields(StrictFields):
    """How a question is asked."""

    chat: str
    plain: str | None = None
    wordings: list[OtherWording] = []

    def others(self) -> tuple[Wording, ...]:
        """The other wordings."""
        return tuple(Wording(chat=item.chat, plain=item.plain) for item in self.wordings)


class AnswerFields(StrictFields):
    """How a generated answer is decoded and graded."""

    grader: Literal["exact", "number", "letter", "math"]
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)]
    stop_strings: list[Annotated[str, Field(min_length=1)]] = []


class PartNames(StrictFields):
    """What a data set on the hub calls its parts; what is left out is cut from the first one."""

    train: str | None = None
    validation: str | None = None
    test: str | None = None

    def named(self) -> list[str]:
        """The parts that are named, in this order."""
        return [name for _, name in self if name is not None]


class TaskDescription(StrictFields):
    """A task of rows."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    description: Annotated[str, Field(min_length=1)]
    kind: Literal["choice", "generate"]
    data: Annotated[str, Field(min_length=1)] | None = None
    source: Annotated[str, Field(min_length=1)] | None = None
    configuration: str | None = None
    splits: PartNames | None = None
    fields: FieldMapping | None = None
    answer_base: Annotated[int, Field(ge=0, le=1)] | None = None
    prompt: PromptFields
    answer: AnswerFields | None = None

    @property
    def place(self) -> str:
        """The file or the data set that holds the rows."""
        return self.source or self.data or ""


def toml_text(described: TaskDescription) -> str:
    """The TOML file that gives this description again."""
    values = described.model_dump(exclude_none=True, exclude_defaults=True)
    values = {key: value for key, value in values.items() if value not in ({}, [])}
    return "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())


def _toml(value: Any) -> str:
    """A value as TOML writes it: texts, whole numbers, lists and tables in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # A JSON string is a TOML string, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
