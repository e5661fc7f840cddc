"""What a study reads before it begins: its text, its files, its questions.

All of it is looked at before the study's plan is written, so that a fault in a file costs no
folder.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search_cluster.commands.depth.asked import StudyRequest
from search_cluster.commands.depth.drawn import DrawnQuestions
from search_cluster.depth.conllu import read_conllu
from search_cluster.depth.facts import read_facts
from search_cluster.errors import ConfigError, PromptError
from search_cluster.tasks.task import Task

if TYPE_CHECKING:
    from search_cluster.model.depth_states.probes import PromptProbe
    from search_cluster.model.lens.texts import TokenTexts
    from search_cluster.model.loaded import LoadedModel
    from search_cluster.tasks.example import Example

CORPUS_TOKENS = 1_000_000
"""Tokens of a text at most that frequencies are counted on."""
PROMPT_TOKENS = 100_000
"""The same where the task's prompts are the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyInputs:
    """The prompts of a study."""

    texts: "TokenTexts"
    words: "tuple[PromptProbe, ...] | None"
    """``None``: no word classes are asked for."""
    facts: "tuple[PromptProbe, ...] | None"
    """``None``: no facts are asked for."""
    usable: "tuple[Example, ...]"
    """The studied questions that can be asked."""
    by_question: "tuple[tuple[PromptProbe, ...], ...]"
    """The probes of each of them."""
    notes: tuple[str, ...]
    """What a user should know, a line each."""


def read_inputs(
    request: StudyRequest, loaded: "LoadedModel", task: Task, questions: DrawnQuestions
) -> StudyInputs:
    """Read all that a study is asked for.

    Raises:
        ConfigError: a file can't be read or is not as it must be, or nothing is left of it.
        ModelError: the tokenizer does not say which characters its tokens are of.
    """
    usable, by_question = _questions(loaded, task, questions.studied)
    words, few_words = _words(request, loaded)
    facts, few_facts = _facts(request, loaded)
    return StudyInputs(
        texts=_texts(request, loaded, task, questions.others or questions.studied),
        words=words,
        facts=facts,
        usable=usable,
        by_question=by_question,
        notes=(*few_words, *few_facts),
    )


def _texts(
    request: StudyRequest, loaded: "LoadedModel", task: Task, examples: "Sequence[Example]"
) -> "TokenTexts":
    from search_cluster.model.depth_states.text_probes import SEQUENCE_TOKENS
    from search_cluster.model.lens.texts import TokenTexts, sequences_of_questions, texts_of_file

    if request.text is not None:
        return texts_of_file(loaded, request.text, num_tokens=CORPUS_TOKENS, length=SEQUENCE_TOKENS)
    sequences, _ = sequences_of_questions(loaded, task, examples, num_tokens=PROMPT_TOKENS)
    if not sequences:
        raise ConfigError(
            f"not one question of task {task.name} can be asked; name a text with --text"
        )
    return TokenTexts(source=f"prompts of {task.name}", sequences=sequences)


def _words(
    request: StudyRequest, loaded: "LoadedModel"
) -> "tuple[tuple[PromptProbe, ...] | None, tuple[str, ...]]":
    from search_cluster.model.depth_states.word_probes import word_probes

    if request.pos is None:
        return None, ()
    found = word_probes(
        loaded,
        [(sentence.text, sentence.labels()) for sentence in read_conllu(request.pos)],
        num_words=request.settings.words,
        seed=request.config.seed,
    )
    return _any_of(found, request.pos, "sentences")


def _facts(
    request: StudyRequest, loaded: "LoadedModel"
) -> "tuple[tuple[PromptProbe, ...] | None, tuple[str, ...]]":
    from search_cluster.model.depth_states.answer_probes import fact_probes

    if request.facts is None:
        return None, ()
    found = fact_probes(
        loaded,
        [(fact.prompt, fact.answer) for fact in read_facts(request.facts)],
        num_facts=request.settings.known,
        seed=request.config.seed,
    )
    return _any_of(found, request.facts, "facts")


def _any_of(
    found: "tuple[tuple[PromptProbe, ...], int]", path: Path, what: str
) -> "tuple[tuple[PromptProbe, ...], tuple[str, ...]]":
    """The probes of a file, and a note of what is left out."""
    probes, num_left_out = found
    if not probes:
        raise ConfigError(
            f"not one of the {what} of {path} can be asked of this model; name a file of other ones"
        )
    note = (
        f"{path}: {num_left_out} of the {what} can't be asked of this model, most often for their "
        "length; left out."
    )
    return probes, (note,) if num_left_out else ()


def _questions(
    loaded: "LoadedModel", task: Task, examples: "Sequence[Example]"
) -> "tuple[tuple[Example, ...], tuple[tuple[PromptProbe, ...], ...]]":
    from search_cluster.model.depth_states.question_probes import question_probes
    from search_cluster.model.prompting import encode_example

    usable: list[Example] = []
    by_question: list[tuple[PromptProbe, ...]] = []
    for example in examples:
        with suppress(PromptError):
            encode_example(loaded, task, example)
            by_question.append(question_probes(loaded, task, example, len(usable)))
            usable.append(example)
    if not usable:
        raise ConfigError(
            f"not one question of task {task.name} can be asked; `search-cluster tasks check` says "
            "why, with the same task and --model"
        )
    return tuple(usable), tuple(by_question)
