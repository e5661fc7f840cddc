r"""A user's task as a pair of files: TOML that describes it, JSONL that holds its rows.

``rivers.toml``::

    name = "rivers"
    description = "the longest rivers of countries"
    kind = "choice"                # "choice": texts are scored; "generate": the answer is decoded
    data = "rivers.jsonl"          # beside this file

    [prompt]
    chat = "{question}"            # for instruct models; {choices} lists them as "A. text" lines
    plain = "Q: {question}\nA:"    # for base models; may be left out

    [[prompt.wordings]]            # ask the same, to tell luck from skill; may be left out
    chat = "Tell me: {question}"
    plain = "{question} Answer:"   # left out: the chat template and a line "Answer:"

    [answer]                       # "generate" only
    grader = "exact"               # exact, number, letter or math
    max_new_tokens = 16
    stop_strings = ["\n"]          # may be left out

``rivers.jsonl`` has the rows that `search_cluster.tasks.user_rows` describes. The version is a
digest of the templates, the grader and its settings, so an edit never meets old verdicts.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from search_cluster.errors import TaskError
from search_cluster.tasks.grading.graders import (
    EXACT_GRADER_VERSION,
    LETTER_GRADER_VERSION,
    NUMBER_GRADER_VERSION,
    grade_exact,
    grade_letter,
    grade_number,
)
from search_cluster.tasks.grading.math_answers import MATH_GRADER_VERSION, grade_math
from search_cluster.tasks.perturbation.wordings import Wording
from search_cluster.tasks.simple import Grader, SimpleTask, choice_task, generate_task
from search_cluster.tasks.user_rows import (
    convert_choice_row,
    convert_letter_row,
    convert_user_row,
    file_source,
)

_GRADERS: dict[str, tuple[Grader, str]] = {
    "exact": (grade_exact, EXACT_GRADER_VERSION),
    "number": (grade_number, NUMBER_GRADER_VERSION),
    "letter": (grade_letter, LETTER_GRADER_VERSION),
    "math": (grade_math, MATH_GRADER_VERSION),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _OtherWording(_Strict):
    chat: str
    plain: str = ""


class _Prompt(_Strict):
    chat: str
    plain: str | None = None
    wordings: list[_OtherWording] = []

    def others(self) -> tuple[Wording, ...]:
        return tuple(Wording(chat=item.chat, plain=item.plain) for item in self.wordings)


class _Answer(_Strict):
    grader: Literal["exact", "number", "letter", "math"]
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)]
    stop_strings: list[Annotated[str, Field(min_length=1)]] = []


class _Description(_Strict):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    description: Annotated[str, Field(min_length=1)]
    kind: Literal["choice", "generate"]
    data: Annotated[str, Field(min_length=1)]
    prompt: _Prompt
    answer: _Answer | None = None


def load_toml_task(path: Path) -> SimpleTask:
    """The task that a TOML file describes.

    Raises:
        TaskError: the file is not TOML, a key is missing, unknown or out of range, or the data file
            does not exist.
    """
    described = _read(path)
    data = path.absolute().parent / described.data
    if not data.is_file():
        raise TaskError(
            f"{path}: data is {described.data!r}, but {data} does not exist; the path is relative "
            "to the TOML"
        )
    try:
        return (
            _choice(described, data) if described.kind == "choice" else _generate(described, data)
        )
    except TaskError as error:
        raise TaskError(f"{path}: {error}") from error


def _read(path: Path) -> _Description:
    try:
        return _Description.model_validate(tomllib.loads(path.read_bytes().decode("utf-8-sig")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TaskError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
        )
        raise TaskError(
            f"{path} does not describe a task: {problems}; see search_cluster.tasks.toml_task"
        ) from error


def _choice(described: _Description, data: Path) -> SimpleTask:
    if described.answer is not None:
        raise TaskError(
            'a table [answer] in a task of kind "choice"; remove it, or set kind = "generate"'
        )
    return choice_task(
        name=described.name,
        description=described.description,
        chat=described.prompt.chat,
        plain=described.prompt.plain,
        wordings=described.prompt.others(),
        source=file_source(data, convert_choice_row),
    )


def _generate(described: _Description, data: Path) -> SimpleTask:
    answer = described.answer
    if answer is None:
        raise TaskError(
            'no table [answer] in a task of kind "generate"; add it with grader and max_new_tokens'
        )
    grader, grader_version = _GRADERS[answer.grader]
    return generate_task(
        name=described.name,
        description=described.description,
        chat=described.prompt.chat,
        plain=described.prompt.plain,
        wordings=described.prompt.others(),
        source=file_source(
            data, convert_letter_row if answer.grader == "letter" else convert_user_row
        ),
        grader=grader,
        grader_version=grader_version,
        max_new_tokens=answer.max_new_tokens,
        stop_strings=tuple(answer.stop_strings),
    )
