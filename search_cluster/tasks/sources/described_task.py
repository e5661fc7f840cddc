"""From the description of a task of rows to the task: its data, its grader, its templates."""

from collections.abc import Callable
from pathlib import Path

from search_cluster.errors import TaskError
from search_cluster.task_spec import HUB_PREFIX
from search_cluster.tasks.grading.graders import (
    EXACT_GRADER_VERSION,
    LETTER_GRADER_VERSION,
    NUMBER_GRADER_VERSION,
    grade_exact,
    grade_letter,
    grade_number,
)
from search_cluster.tasks.grading.math_answers import MATH_GRADER_VERSION, grade_math
from search_cluster.tasks.loading import Grader, Source
from search_cluster.tasks.raw_examples import Converter
from search_cluster.tasks.simple import SimpleTask, choice_task, generate_task
from search_cluster.tasks.sources.description import TaskDescription
from search_cluster.tasks.sources.files import RawRows, read_table
from search_cluster.tasks.sources.hub_rows import HubRows
from search_cluster.tasks.sources.mapping import mapped_rows
from search_cluster.tasks.user_rows import (
    UserSource,
    convert_choice_row,
    convert_letter_row,
    convert_user_row,
)

_GRADERS: dict[str, tuple[Grader, str]] = {
    "exact": (grade_exact, EXACT_GRADER_VERSION),
    "number": (grade_number, NUMBER_GRADER_VERSION),
    "letter": (grade_letter, LETTER_GRADER_VERSION),
    "math": (grade_math, MATH_GRADER_VERSION),
}


def described_task(described: TaskDescription, folder: Path) -> SimpleTask:
    """The task of a description.

    Args:
        described: the description.
        folder: what paths of data files are relative to.

    Raises:
        TaskError: it contradicts itself, or its data file does not exist.
    """
    if (described.data is None) == (described.source is None):
        raise TaskError(
            "a task has either data or source: a file beside the TOML, or hub:ORGANISATION/NAME"
        )
    if described.fields is not None:
        described.fields.check()  # now, not when the first row is read
    return (
        _choice(described, folder) if described.kind == "choice" else _generate(described, folder)
    )


def _rows(described: TaskDescription, folder: Path) -> Callable[[str], RawRows]:
    place = described.place
    if place.startswith(HUB_PREFIX):
        return HubRows(
            repository=place.removeprefix(HUB_PREFIX),
            config=described.configuration,
            names=tuple(described.splits.named()) if described.splits else (),
            mapping=described.fields,
        )
    if described.configuration is not None or described.splits is not None:
        raise TaskError(
            f"configuration and splits belong to data sets on the hub, and the data is {place!r}; "
            "leave them out: a row's 'split' says where it belongs"
        )
    file = folder / place
    if not file.is_file():
        raise TaskError(
            f"data is {place!r}, but {file} does not exist; the path is relative to the TOML"
        )
    return lambda task: mapped_rows(read_table(file), described.fields)


def _source(described: TaskDescription, folder: Path, convert: Converter) -> Source:
    return UserSource(
        read=_rows(described, folder),
        convert=convert,
        place=described.place,
        answer_base=described.answer_base,
    )


def _choice(described: TaskDescription, folder: Path) -> SimpleTask:
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
        source=_source(described, folder, convert_choice_row),
    )


def _generate(described: TaskDescription, folder: Path) -> SimpleTask:
    answer = described.answer
    if answer is None:
        raise TaskError(
            'no table [answer] in a task of kind "generate"; add it with grader and max_new_tokens'
        )
    grader, grader_version = _GRADERS[answer.grader]
    convert = convert_letter_row if answer.grader == "letter" else convert_user_row
    return generate_task(
        name=described.name,
        description=described.description,
        chat=described.prompt.chat,
        plain=described.prompt.plain,
        wordings=described.prompt.others(),
        source=_source(described, folder, convert),
        grader=grader,
        grader_version=grader_version,
        max_new_tokens=answer.max_new_tokens,
        stop_strings=tuple(answer.stop_strings),
    )
