"""From a task's prompt to tokens: chat template or plain text.

A prompt has one BOS at most, never reaches past the context window, and is looked at before it is
used: the question is in it, its control tokens are the template's own, and choices differ as
tokens.
"""

import re
import unicodedata
from dataclasses import dataclass
from itertools import combinations, takewhile

from search_cluster.errors import PromptError, PromptTooLongError
from search_cluster.model.anatomy import num_embeddings, stable_length
from search_cluster.model.chat_style import chat_style, render_message, require_no_open_section
from search_cluster.model.data_text import (
    encode_marked,
    leading_ids,
    mark_data,
    mark_inside,
    without_marks,
)
from search_cluster.model.loaded import LoadedModel
from search_cluster.tasks.example import Example
from search_cluster.tasks.perturbation.frames import asked_prompt
from search_cluster.tasks.splits import normalize_text
from search_cluster.tasks.task import AnswerKind, Task

PROMPTING_VERSION = "2"
"""The version of prompting, part of what a verdict depends on; it changes whenever the same text
would give other tokens, or none."""
FORMER_PROMPTING_VERSIONS = ("1",)
"""Versions that gave the same tokens, but for text that holds a control token, and that took
choices which are equal as tokens."""
MIN_QUESTION_WORDS = 0.5
"""The share of a question's words that its prompt must hold if it words the question anew."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedExample:
    """The token ids of a context, and of the choices that may follow it.

    There are no choices where answers are generated.
    """

    context_ids: tuple[int, ...]
    choice_ids: tuple[tuple[int, ...], ...] = ()
    num_template_ids: int = 0
    """The number of leading ids of the context that come before the question, so that other
    examples may begin alike."""

    @property
    def num_tokens(self) -> int:
        """The number of tokens of the context and of all choices."""
        return len(self.context_ids) + sum(map(len, self.choice_ids))


def encode_example(loaded: LoadedModel, task: Task, example: Example) -> EncodedExample:
    """The tokens with which a task asks an example.

    Choices follow the context verbatim after a chat template, and after the prompt's delimiter in
    plain text.

    Raises:
        PromptTooLongError: context plus the longest choice, or plus ``task.max_new_tokens``, exceed
            the context window.
        PromptError: the question is empty or not in the prompt, a choice has no token, two choices
            have the same tokens, the model has no embedding for a token, or a text from data can't
            be told from a control token.
        ModelError: the chat template can't be used.
    """
    prompt = asked_prompt(task, example)
    if loaded.chat:
        text = _chat_text(loaded, prompt.chat)
        if task.kind is AnswerKind.CHOICE:
            require_no_open_section(chat_style(loaded.tokenizer))
    else:
        text = mark_inside(loaded.tokenizer, prompt.plain, (example.question, *prompt.choices))
    _require_question(without_marks(text), example.question)
    context_ids = _encode_context(loaded, text)
    choice_ids: tuple[tuple[int, ...], ...] = ()
    if task.kind is AnswerKind.CHOICE:
        joint = "" if loaded.chat else prompt.delimiter
        choice_ids = tuple(
            _encode_continuation(loaded, text, joint + mark_data(loaded.tokenizer, choice))
            for choice in prompt.choices
        )
        _require_different(prompt.choices, choice_ids)
    require_known_tokens(loaded, context_ids, *choice_ids)
    num_answer_tokens = max(map(len, choice_ids)) if choice_ids else task.max_new_tokens
    _check_length(loaded, len(context_ids), num_answer_tokens)
    return EncodedExample(
        context_ids=context_ids,
        choice_ids=choice_ids,
        num_template_ids=_num_template_ids(loaded, text, example.question, context_ids),
    )


def require_askable(loaded: LoadedModel, task: Task) -> list[str]:
    """Look at the way in which a task is asked, before any question is.

    Returns:
        What a user should know of it, a line each.

    Raises:
        ModelError: choices would be scored inside a section that the chat template opens.
    """
    if not loaded.chat:
        return []
    style = chat_style(loaded.tokenizer)
    if task.kind is AnswerKind.CHOICE:
        require_no_open_section(style)
    elif style.open_section:
        return [
            f"the chat template begins every answer with {style.open_section}: of the "
            f"{task.max_new_tokens} tokens of an answer, that section takes its part; ask in plain "
            "text with --chat never, or give the task more max_new_tokens"
        ]
    return list(style.notes)


def encode_prompt_text(
    loaded: LoadedModel, text: str, *, max_new_tokens: int = 0
) -> tuple[int, ...]:
    """The tokens of a user's free prompt: a chat message for a chat model, else the text itself.

    Raises:
        PromptTooLongError: the prompt plus ``max_new_tokens`` exceeds the context window.
    """
    context_ids = _encode_context(loaded, _chat_text(loaded, text) if loaded.chat else text)
    _check_length(loaded, len(context_ids), max_new_tokens)
    return context_ids


def require_known_tokens(loaded: LoadedModel, *ids: tuple[int, ...]) -> None:
    """Pass if the model has an embedding for each token.

    Raises:
        PromptError: it lacks one, as with a tokenizer of another model.
    """
    num_known = num_embeddings(loaded.model)
    largest = max(map(max, ids))
    if largest >= num_known:
        raise PromptError(
            f"the prompt or a choice holds {loaded.tokenizer.convert_ids_to_tokens(largest)!r}, "
            f"token {largest} of the tokenizer, and the model has {num_known}: take the tokenizer "
            "that the model was trained with"
        )


def _chat_text(loaded: LoadedModel, message: str) -> str:
    """One user message in the model's template, up to where its answer begins.

    It has no reasoning section. Control tokens in the message are marked.

    Raises:
        PromptError: the template leaves the message out, or changes it.
    """
    style = chat_style(loaded.tokenizer)
    text = render_message(loaded.tokenizer, style, mark_data(loaded.tokenizer, message))
    if "".join(message.split()) not in "".join(without_marks(text).split()):
        raise PromptError(
            "the chat template leaves the message out, or changes it; correct the template, or ask "
            f"in plain text with --chat never: {message[:80]!r}"
        )
    return text


def _require_question(text: str, question: str) -> None:
    """Pass if the prompt holds the question, or most of its words in a wording of the task."""
    seen, asked = _folded(text), _folded(question)
    if not asked:
        raise PromptError(f"the question is empty ({question[:80]!r}); leave it out")
    if asked in seen:
        return
    words, held = set(_WORD.findall(asked)), set(_WORD.findall(seen))
    if len(words & held) < MIN_QUESTION_WORDS * len(words):
        raise PromptError(
            f"the question is not in its own prompt: {question[:80]!r}; the task's prompt must "
            "show it"
        )


def _folded(text: str) -> str:
    return normalize_text(unicodedata.normalize("NFKC", text))


def _require_different(choices: tuple[str, ...], choice_ids: tuple[tuple[int, ...], ...]) -> None:
    """Pass if no two choices are the same to the model, or to a reader."""
    shown = [unicodedata.normalize("NFC", choice).strip() for choice in choices]
    for one, other in combinations(range(len(choices)), 2):
        if choice_ids[one] == choice_ids[other]:
            raise PromptError(
                f"choices {choices[one]!r} and {choices[other]!r} are the same tokens to this "
                "model's tokenizer, so none can win; leave the question out, or take a model that "
                "knows their letters"
            )
        if shown[one] == shown[other]:
            raise PromptError(
                f"choices {choices[one]!r} and {choices[other]!r} are the same text; leave the "
                "question out"
            )


def _encode_context(loaded: LoadedModel, text: str) -> tuple[int, ...]:
    """The ids of the text, with the BOS that the tokenizer puts in front of plain text.

    A text that begins with the BOS does not get a second one.
    """
    ids = _encode(loaded, text)
    leading = leading_ids(loaded.tokenizer)
    if not loaded.chat and ids[: len(leading)] != leading:
        ids = (*leading, *ids)
    if not ids:
        raise PromptError(
            "the prompt is empty and the tokenizer adds no BOS token; a prompt has at least one "
            "token"
        )
    return ids


def _num_template_ids(
    loaded: LoadedModel, text: str, question: str, context_ids: tuple[int, ...]
) -> int:
    """The number of leading ids that do not change with what follows them in the text.

    It is 0 if the question is not in the text.
    """
    template = text[: max(0, text.find(question))]
    if not template:
        return 0
    alike = takewhile(
        lambda pair: pair[0] == pair[1],
        zip(_encode_context(loaded, template), context_ids, strict=False),
    )
    return sum(1 for _ in alike)


def _encode_continuation(loaded: LoadedModel, text: str, continuation: str) -> tuple[int, ...]:
    """The ids of a continuation as they follow the text's own ids.

    It is encoded together with the text, because some tokenizers start every text with a space;
    alone, if the two would merge into one token across the seam.
    """
    text_ids, joint_ids = _encode(loaded, text), _encode(loaded, text + continuation)
    ids = (
        joint_ids[len(text_ids) :]
        if joint_ids[: len(text_ids)] == text_ids
        else _encode(loaded, continuation)
    )
    if not ids:
        raise PromptError(
            f"choice {without_marks(continuation)!r} has no token; every choice needs at least one "
            "to be scored"
        )
    return ids


def _encode(loaded: LoadedModel, text: str) -> tuple[int, ...]:
    return encode_marked(loaded.tokenizer, text)


def _check_length(loaded: LoadedModel, num_context: int, num_answer: int) -> None:
    config = loaded.model.config
    window, what = getattr(config, "max_position_embeddings", None), "the model's context window is"
    stable = stable_length(config)
    if stable is not None and (window is None or stable < window):  # longrope alone
        window, what = stable, "its rotary embedding (longrope) stays the same up to"
    if window is not None and num_context + num_answer > window:
        raise PromptTooLongError(
            f"a prompt of {num_context} tokens plus {num_answer} for the answer makes "
            f"{num_context + num_answer}; {what} {window}: leave the example out, or take a model "
            "with a longer window"
        )
