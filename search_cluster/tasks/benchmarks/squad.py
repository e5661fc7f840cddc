"""Reading comprehension, ``squad_v2``: a few words are generated.

Some questions are not answered by their passage.

Rajpurkar et al., arXiv 1806.03822. The local file has the official layout (articles, paragraphs,
questions); rows of the hub are ``{context, question, answers: {text: []}}``. The development part
is test; the rest is not used. An answer is right if it is one of the given ones up to case,
punctuation, articles and white space (the official exact match); for a question without an answer
that is the word `UNANSWERABLE`.
"""

import json
import re
import string
from collections.abc import Iterator, Mapping
from pathlib import Path

from search_cluster.errors import TaskError
from search_cluster.tasks.benchmarks.source import BenchmarkSource, Part
from search_cluster.tasks.example import Example
from search_cluster.tasks.fields import as_mapping, as_sequence, as_text, get, get_text
from search_cluster.tasks.raw_examples import RawExample, Row, RowError
from search_cluster.tasks.simple import generate_task
from search_cluster.tasks.sources.files import RawRows
from search_cluster.tasks.task import MalformedRow

UNANSWERABLE = "unanswerable"
"""The right answer where the passage has none."""
SQUAD_GRADER_VERSION = "squad-2"
MAX_ANSWER_TOKENS = 24
_SEPARATOR = "\n"
"""Stands between the answers that count as right."""
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def read_squad(path: Path) -> RawRows:
    """The questions of an official file, each with its paragraph.

    A source ends in the question's number, from 1.

    Raises:
        TaskError: the file can't be read.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise TaskError(
            f"{path} can't be read ({error.strerror}); check its permissions"
        ) from error
    except (ValueError, RecursionError) as error:
        yield MalformedRow(source=path.name, reason=f"{type(error).__name__}: {error}")
        return
    number = 0
    try:
        for paragraph in _paragraphs(content):
            context = get(paragraph, "context")
            for question in as_sequence(get(paragraph, "qas"), "'qas'"):
                number += 1
                yield Row(
                    source=f"{path.name}:{number}", value={"context": context, "qa": question}
                )
    except RowError as error:
        yield MalformedRow(source=f"{path.name}:{number + 1}", reason=str(error))


def _paragraphs(content: object) -> Iterator[Mapping[str, object]]:
    for article in as_sequence(get(as_mapping(content, "the file"), "data"), "'data'"):
        for paragraph in as_sequence(
            get(as_mapping(article, "an article"), "paragraphs"), "'paragraphs'"
        ):
            yield as_mapping(paragraph, "a paragraph")


def convert_squad(value: object) -> RawExample:
    """A raw example whose gold answer lists the right ones, one on each line.

    Raises:
        RowError: the row has neither layout.
    """
    row = as_mapping(value)
    asked = as_mapping(row["qa"], "a question") if "qa" in row else row
    answers = get(asked, "answers")
    texts = (
        as_sequence(get(answers, "text"), "'text'")
        if isinstance(answers, Mapping)
        else [
            get(as_mapping(answer, "an answer"), "text")
            for answer in as_sequence(answers, "'answers'")
        ]
    )
    right = dict.fromkeys(" ".join(as_text(text, "an answer's text").split()) for text in texts)
    question = f"{get_text(row, 'context')}\n\nQuestion: {get_text(asked, 'question')}"
    return RawExample(question=question, gold=_SEPARATOR.join(right) or UNANSWERABLE)


def grade_squad(example: Example, output: str) -> float:
    """1 if the answer matches one of the right ones, else 0.

    Of a right answer without a word ("."), nothing is left to match.
    """
    right = {_plain(answer) for answer in example.gold.split(_SEPARATOR)}
    return float(_plain(output) in right - {""})


def _plain(text: str) -> str:
    """The text without case, punctuation, articles and doubled white space, as the official way."""
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text.casefold().translate(_PUNCTUATION)).split())


SQUAD_V2 = generate_task(
    name="squad_v2",
    description="SQuAD 2.0: an answer out of the passage, or 'unanswerable', is generated",
    chat=(
        "{question}\nAnswer with a few words of the text, or with 'unanswerable' if it does not "
        "say."
    ),
    plain="{question}\nAnswer (a few words of the text, or 'unanswerable'):",
    source=BenchmarkSource(
        parts={
            "test": Part(
                repository="rajpurkar/squad_v2",
                configs=("squad_v2",),
                hub_split="validation",
                files="squad_v2/dev_half.json",
                read=read_squad,
            )
        },
        convert=convert_squad,
        layout="{data: [{paragraphs: [{context, qas: [{question, answers: [{text}]}]}]}]}",
    ),
    grader=grade_squad,
    grader_version=SQUAD_GRADER_VERSION,
    max_new_tokens=MAX_ANSWER_TOKENS,
    stop_strings=("\n",),
)
