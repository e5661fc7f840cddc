"""How a tokenizer's chat template asks: looked at once, before any question is asked in it.

A template is a program of the model's authors. Whether it can be called at all, whether it shows
the message that it is given, and whether it begins the answer with a section of its own is found
out by rendering a short message.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from transformers import PreTrainedTokenizerBase

from search_cluster.config import CHAT_MODES
from search_cluster.errors import ModelError, PromptError, in_one_line
from search_cluster.model.answer_start import is_answer, missing_header, open_section, prelude_of

TEMPLATE_DATE = datetime(2024, 7, 26)
"""The date that chat templates which print today's date get instead, so that a prompt does not
change overnight."""
PROBE = "What is 17 plus 25?"
PROBE_ANSWER = "It is 42."
_DIRECTIVE = re.compile(r"%-?[A-Za-z]")
_LIST = re.compile(r"[\"']type[\"']: *[\"']text[\"']")


@dataclass(frozen=True, slots=True)
class ChatStyle:
    """What is known of a chat template that can be used."""

    template: str
    """The template as it is rendered: the default one, with a fixed date."""
    as_parts: bool
    """Whether a message's content is a list of parts; else it is a string."""
    open_section: str
    """The tag of a section, such as ``<think>``, that is open where the answer begins, or empty."""
    turn_end: str
    """What follows an answer, without white space around it."""
    notes: tuple[str, ...] = ()
    """What a user should know of where the answer begins, a line each."""


_STYLES: "WeakKeyDictionary[PreTrainedTokenizerBase, tuple[str, ChatStyle]]" = WeakKeyDictionary()


def uses_chat(tokenizer: PreTrainedTokenizerBase, mode: str) -> bool:
    """Whether prompts are asked in the chat template.

    Args:
        tokenizer: the model's.
        mode: one of `CHAT_MODES`.

    Raises:
        ModelError: the mode is unknown, or there is no template to be used always.
    """
    if mode not in CHAT_MODES:
        raise ModelError(f"chat is {mode!r}; it is one of {', '.join(CHAT_MODES)}")
    has_template = bool(tokenizer.chat_template)
    if mode == "always" and not has_template:
        raise ModelError(
            "chat is 'always', and the model's tokenizer has no chat template; take auto or never "
            "to ask in plain text, or put a chat_template.jinja into the model's folder"
        )
    return has_template and mode != "never"


def chat_style(tokenizer: PreTrainedTokenizerBase) -> ChatStyle:
    """The style of a tokenizer's default chat template.

    Raises:
        ModelError: the template can't be used; the message says why and what to do.
    """
    template = _default_template(tokenizer)
    known = _STYLES.get(tokenizer)
    if known is None or known[0] != template:
        known = (template, _look_at(tokenizer, template))
        _STYLES[tokenizer] = known
    return known[1]


def render_message(tokenizer: PreTrainedTokenizerBase, style: ChatStyle, message: str) -> str:
    """One user message in the template, up to where its answer begins.

    It has no reasoning section if the template leaves the choice.

    Raises:
        PromptError: the template fails on this message.
    """
    try:
        return _render(tokenizer, style.template, [_said("user", message, style.as_parts)])
    except Exception as error:  # a template is a program, and fails as it likes
        raise PromptError(
            f"the chat template fails on this prompt ({in_one_line(error)}); correct the "
            "template, or ask in plain text with --chat never"
        ) from error


def turn_end_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The token with which the chat template ends an answer; empty if there is none."""
    if not tokenizer.chat_template:
        return frozenset()
    try:
        after = chat_style(tokenizer).turn_end
    except ModelError:  # a template that can't be used ends no answer
        return frozenset()
    added = tokenizer.added_tokens_encoder
    ends = [token for token in added if token.strip() and after.startswith(token)]
    return frozenset({added[max(ends, key=len)]} if ends else ())


def require_no_open_section(style: ChatStyle) -> None:
    """Pass if choices that are scored right after the prompt are scored as the answer.

    Raises:
        ModelError: the template opens a section first.
    """
    section = style.open_section
    if section:
        section = section if section.startswith(("<", "[", "◁")) else repr(section)
        raise ModelError(
            f"the chat template begins every answer with {section}, and choices would be scored "
            "inside that section, where the model never answers: ask in plain text with --chat "
            f"never, or take a template that closes {section} before the answer"
        )


def _default_template(tokenizer: PreTrainedTokenizerBase) -> str:
    try:
        return str(tokenizer.get_chat_template())
    except ValueError as error:
        names = sorted(tokenizer.chat_template) if tokenizer.chat_template else []
        raise ModelError(
            f"the tokenizer has chat templates named {', '.join(names)} and none named default; "
            "put the one to use into the model's folder as chat_template.jinja, or ask in plain "
            "text with --chat never"
        ) from error


def _look_at(tokenizer: PreTrainedTokenizerBase, template: str) -> ChatStyle:
    fixed = (_fixed_date_macro(template) if "strftime_now" in template else "") + template
    first: Exception | None = None
    for as_parts in (False, True):
        try:
            text = _render(tokenizer, fixed, [_said("user", PROBE, as_parts)])
        except Exception as error:  # a template is a program, and fails as it likes
            first = first or error
            continue
        # A template that writes the list itself shows its brackets and keys to the model.
        if PROBE in text and not (as_parts and _LIST.search(text)):
            beginning = text.rpartition(PROBE)[2]
            usual, turn_end = _conversation(tokenizer, fixed, as_parts)
            known = template + "\0".join(tokenizer.added_tokens_encoder)
            section = open_section(beginning, usual, known)
            return ChatStyle(
                template=fixed,
                as_parts=as_parts,
                open_section=section,
                turn_end=turn_end,
                notes=_notes(beginning, usual, section),
            )
    if first is not None:
        raise ModelError(
            f"the chat template can't be used ({in_one_line(first)}): it fails on a single user "
            "message; correct it, or ask in plain text with --chat never"
        )
    raise ModelError(
        "the chat template leaves the question out: a user message does not appear in what it "
        "writes, be its content a text or a list of parts; correct it, or ask in plain text with "
        "--chat never"
    )


def _said(role: str, text: str, as_parts: bool) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}] if as_parts else text}


def _render(
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    messages: list[dict[str, Any]],
    *,
    asks: bool = True,
) -> str:
    return str(
        tokenizer.apply_chat_template(
            messages,
            chat_template=template,
            add_generation_prompt=asks,
            tokenize=False,
            enable_thinking=False,
        )
    )


def _conversation(
    tokenizer: PreTrainedTokenizerBase, template: str, as_parts: bool
) -> tuple[str | None, str]:
    """What the template writes in front of an answer that is given, and behind it.

    Nothing is known of the first, and the second is empty, if it can't be asked for one.
    """
    turns = [_said("user", PROBE, as_parts), _said("assistant", PROBE_ANSWER, as_parts)]
    try:
        text = _render(tokenizer, template, turns, asks=False)
    except Exception:  # a template of one turn is enough for asking
        return None, ""
    _, question, rest = text.rpartition(PROBE)
    between, answer, _ = rest.partition(PROBE_ANSWER)
    turn_end = text.rpartition(PROBE_ANSWER)[2].strip() if PROBE_ANSWER in text else ""
    return (between if question and answer else None), turn_end


def _notes(beginning: str, usual: str | None, open_section: str) -> tuple[str, ...]:
    """What is unusual where the answer begins, and is not a section left open."""
    prelude, header = prelude_of(beginning, usual), missing_header(beginning, usual)
    if prelude and not open_section and not is_answer(prelude):
        return (
            f"the chat template begins every answer with {prelude!r}, and the answer is what "
            "follows; ask in plain text with --chat never if that is not meant",
        )
    if header:
        return (
            f"the chat template does not open the turn of the answer: {header!r}, which it writes "
            "in front of a given answer, is not in the prompt; correct its add_generation_prompt, "
            "or ask in plain text with --chat never",
        )
    return ()


def _fixed_date_macro(template: str) -> str:
    """A template macro that formats `TEMPLATE_DATE`.

    It stands in the place of the clock that templates are given.
    """
    directives = [f"%{code}" for code in "aAbBdHIjmMpSyY"]
    replacements = [(directive, TEMPLATE_DATE.strftime(directive)) for directive in directives]
    replacements += [("%-d", str(TEMPLATE_DATE.day)), ("%-m", str(TEMPLATE_DATE.month))]
    known = dict(replacements)
    rarer = sorted(set(_DIRECTIVE.findall(template)) - set(known))
    replacements += [(directive, TEMPLATE_DATE.strftime(directive)) for directive in rarer]
    filters = "".join(f"|replace({directive!r}, {text!r})" for directive, text in replacements)
    return "{%- macro strftime_now(format) -%}{{- format" + filters + " -}}{%- endmacro -%}"
