r"""A user's task as a pair of files: TOML that describes it, JSONL that holds its rows.

``rivers.toml``::

    name = "rivers"
    description = "the longest rivers of countries"
    kind = "choice"                # "choice": texts are scored; "generate": the answer is decoded
    data = "rivers.jsonl"          # beside this file
    answer_base = 0                # the index of the first choice: 0 or 1; may be left out

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
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from search_cluster.errors import TaskError
from search_cluster.tasks.fields import shown
from search_cluster.tasks.grading.graders import (
    EXACT_GRADER_VERSION,
    LETTER_GRADER_VERSION,
    NUMBER_GRADER_VERSION,
    grade_exact,
    grade_letter,
    grade_number,
)
from search_cluster.tasks.grading.math_answers import MATH_GRADER_VERSION, grade_math
from search_cluster.tasks.loading import Grader
from search_cluster.tasks.perturbation.wordings import Wording
from search_cluster.tasks.simple import SimpleTask, choice_task, generate_task
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
    answer_base: Annotated[int, Field(ge=0, le=1)] | None = None
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
            _unknown_field(item["loc"])
            if item["type"] == "extra_forbidden"
            else f"{'.'.join(map(str, item['loc']))}: {item['msg']}{_given(item['input'])}"
            for item in error.errors()
        )
        raise TaskError(
            f"{path} does not describe a task: {problems}; see search_cluster.tasks.toml_task"
        ) from error


def _given(value: object) -> str:
    """The value that a table holds where another is needed; nothing for a missing key."""
    return "" if isinstance(value, dict) else f", not {shown(value)}"


_TABLES: dict[tuple[str, ...], type[_Strict]] = {
    (): _Description,
    ("prompt",): _Prompt,
    ("prompt", "wordings"): _OtherWording,
    ("answer",): _Answer,
}
_OTHER_NAMES = {
    "task": "name",
    "output_type": "kind",
    "dataset_path": "data",
    "dataset_name": "data",
    "dataset_kwargs": "data",
    "doc_to_text": "prompt.chat",
    "template": "prompt.chat",
    "doc_to_target": "the key 'answer' of a row",
    "doc_to_choice": "the key 'choices' of a row",
    "training_split": "the key 'split' of a row",
    "validation_split": "the key 'split' of a row",
    "test_split": "the key 'split' of a row",
    "generation_kwargs": "answer.max_new_tokens and answer.stop_strings",
    "until": "answer.stop_strings",
    "max_gen_toks": "answer.max_new_tokens",
    "metric_list": "answer.grader",
}
"""What other harnesses call the fields."""


def _unknown_field(place: Sequence[int | str]) -> str:
    """What a message says of a field that no table has: its name and the nearest known ones.

    Args:
        place: the names of the tables and of the field, with numbers of elements between them.
    """
    *tables, name = (str(part) for part in place if isinstance(part, str))
    own = list(_TABLES[tuple(tables)].model_fields)
    every = {
        ".".join((*table, field)): field
        for table, model in _TABLES.items()
        for field in model.model_fields
    }
    here = [".".join((*tables, field)) for field in get_close_matches(name, own, n=2, cutoff=0.6)]
    near = [
        *here,
        *(path for path, field in every.items() if field == name),
        *([_OTHER_NAMES[name]] if name in _OTHER_NAMES else []),
    ] or [path for path, field in every.items() if field in get_close_matches(name, every.values())]
    meant = f" (did you mean {' or '.join(near[:2])}?)" if near else ""
    table = f"[{'.'.join(tables)}]" if tables else "the task"
    return f"{'.'.join((*tables, name))} is no field{meant}; {table} has {', '.join(own)}"


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
        source=file_source(data, convert_choice_row, answer_base=described.answer_base),
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
            data,
            convert_letter_row if answer.grader == "letter" else convert_user_row,
            answer_base=described.answer_base,
        ),
        grader=grader,
        grader_version=grader_version,
        max_new_tokens=answer.max_new_tokens,
        stop_strings=tuple(answer.stop_strings),
    )
