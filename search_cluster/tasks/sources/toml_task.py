r"""A user's task as a pair of files: TOML that describes it, JSONL that holds its rows.

``rivers.toml``::

    name = "rivers"
    description = "the longest rivers of countries"
    kind = "choice"                # "choice": texts are scored; "generate": the answer is decoded
    data = "rivers.jsonl"          # beside this file; or .json, .csv, .tsv, .parquet; or hub:NAME
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

    [fields]                       # which columns are what; left out: question, choices, answer
    question = "{{passage}}\n{{question}}"
    choices = ["{{A}}", "{{B}}"]   # or a column with a list, or a template that writes one
    answer = "label"

``rivers.jsonl`` has the rows that `search_cluster.tasks.user_rows` describes, unless ``[fields]``
says otherwise. The version is a digest of the templates, the grader and its settings, so an edit
never meets old verdicts.
"""

import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel, ValidationError

from search_cluster.errors import TaskError
from search_cluster.tasks.fields import shown
from search_cluster.tasks.simple import SimpleTask
from search_cluster.tasks.sources.described_task import described_task
from search_cluster.tasks.sources.description import (
    AnswerFields,
    OtherWording,
    PartNames,
    PromptFields,
    TaskDescription,
)
from search_cluster.tasks.sources.mapping import FieldMapping


def load_toml_task(path: Path) -> SimpleTask:
    """The task that a TOML file describes.

    Raises:
        TaskError: the file is not TOML, a key is missing, unknown or out of range, or the data file
            does not exist.
    """
    described = read_description(path)
    try:
        return described_task(described, path.absolute().parent)
    except TaskError as error:
        raise TaskError(f"{path}: {error}") from error


def read_description(path: Path) -> TaskDescription:
    """What a TOML file says.

    Raises:
        TaskError: the file is not TOML, or a key is missing, unknown or out of range.
    """
    try:
        return TaskDescription.model_validate(tomllib.loads(path.read_bytes().decode("utf-8-sig")))
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
            f"{path} does not describe a task: {problems}; see search_cluster/tasks/README.md"
        ) from error


def _given(value: object) -> str:
    """The value that a table holds where another is needed; nothing for a missing key."""
    return "" if isinstance(value, dict) else f", not {shown(value)}"


_TABLES: dict[tuple[str, ...], type[BaseModel]] = {
    (): TaskDescription,
    ("prompt",): PromptFields,
    ("prompt", "wordings"): OtherWording,
    ("answer",): AnswerFields,
    ("fields",): FieldMapping,
    ("splits",): PartNames,
}
_OTHER_NAMES = {
    "task": "name",
    "output_type": "kind",
    "dataset_path": "source",
    "dataset_name": "configuration",
    "dataset_kwargs": "data",
    "doc_to_text": "prompt.chat",
    "template": "prompt.chat",
    "doc_to_target": "fields.answer",
    "doc_to_choice": "fields.choices",
    "training_split": "splits.train",
    "validation_split": "splits.validation",
    "test_split": "splits.test",
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
