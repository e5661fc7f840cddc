"""Text from data stays text: control tokens in a prompt are those of its template alone.

A question may hold the very characters with which a tokenizer writes a control token ("what does
<|im_end|> mark?"). Tokenized as it stands, it would end its own turn. So control tokens in text
from data are marked, and a marked text is tokenized with the characters of these as ordinary text.
A text without them is tokenized as ever, token for token.
"""

import re
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerBase

from search_cluster.errors import PromptError

MARK_BEGIN, MARK_END = "\U000f5c01", "\U000f5c02"
"""Characters for private use that stand around a control token in text from data."""
_MARKS = re.compile(f"[{MARK_BEGIN}{MARK_END}]")
_MARKED = re.compile(f"{MARK_BEGIN}([^{MARK_END}]*){MARK_END}")
_LOOKS_LIKE_CONTROL = re.compile(r"^([<\[◁{].*[>\]▷}]|\S*\|\S*)$", re.DOTALL)
"""Added tokens that are not declared special, and yet are control tokens: ``<think>``,
``<tool_call>``. Other added tokens are text (runs of spaces, words)."""


@dataclass(frozen=True, slots=True)
class _ControlTokens:
    literal: re.Pattern[str]
    """Matches each of the tokenizer's control tokens, the longest first."""
    any_normalized: bool
    """Whether other text can become one, because it is normalized before they are looked for."""


_PATTERNS: "WeakKeyDictionary[PreTrainedTokenizerBase, tuple[int, _ControlTokens]]" = (
    WeakKeyDictionary()
)


def leading_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The BOS if the tokenizer puts it in front of plain text, else nothing."""
    bos_id = tokenizer.bos_token_id
    adds_bos = bos_id is not None and list(tokenizer("").input_ids[:1]) == [bos_id]
    return (bos_id,) if adds_bos else ()


def mark_data(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """The text with marks around what the tokenizer would take for control tokens.

    Raises:
        PromptError: the text holds the marks themselves.
    """
    if _MARKS.search(text):
        raise PromptError(
            "the text holds U+F5C01 or U+F5C02, characters for private use with which control "
            "tokens are marked here; leave the question out"
        )
    control = _control_tokens(tokenizer)
    spans = [found.span() for found in control.literal.finditer(text)]
    if control.any_normalized:
        spans += _spans_after_normalizing(tokenizer, text)
    marked, last = "", 0
    for begin, end in sorted(spans):
        if begin >= last:
            marked += f"{text[last:begin]}{MARK_BEGIN}{text[begin:end]}{MARK_END}"
            last = end
    return marked + text[last:]


def mark_inside(tokenizer: PreTrainedTokenizerBase, text: str, pieces: tuple[str, ...]) -> str:
    """A text in which pieces from data are marked wherever they stand in it.

    The rest, which is the task's own wording, keeps its control tokens.
    """
    # A prompt may show a piece without the white space around it, or around each of its lines.
    shown = {part for piece in pieces for part in (piece, piece.strip(), *_lines(piece)) if part}
    marked = {part: mark_data(tokenizer, part) for part in shown}
    changed = sorted((part for part in shown if marked[part] != part), key=len, reverse=True)
    if not changed:
        return without_marks(text)
    anywhere = re.compile("|".join(map(re.escape, changed)))
    return anywhere.sub(lambda found: marked[found[0]], without_marks(text))


def without_marks(text: str) -> str:
    """The text as a reader sees it."""
    return _MARKS.sub("", text)


def encode_marked(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """The ids of a text, without any that the tokenizer puts around it.

    Raises:
        PromptError: the tokenizer can't take a marked control token for text.
    """
    plain, spans = _unmarked(text)
    if not spans:
        return tuple(tokenizer(plain, add_special_tokens=False, verbose=False).input_ids)
    if not tokenizer.is_fast:
        raise PromptError(
            f"the text holds {plain[slice(*spans[0])]!r}, a control token of this model, and its "
            "tokenizer, written in Python, can't take it for text; leave the question out"
        )
    encoded = tokenizer(plain, add_special_tokens=False, verbose=False, return_offsets_mapping=True)
    added = tokenizer.added_tokens_decoder
    ids: list[int] = []
    for token, (begin, end) in zip(encoded.input_ids, encoded.offset_mapping, strict=True):
        inside = any(begin < stop and start < end for start, stop in spans)
        ids += (
            _as_text(tokenizer, plain[begin:end], token) if inside and token in added else [token]
        )
    return tuple(ids)


def _lines(text: str) -> list[str]:
    """The lines of several words; one word alone may stand in the task's own wording, too."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if " " in line] if len(lines) > 1 else []


def _control_tokens(tokenizer: PreTrainedTokenizerBase) -> _ControlTokens:
    known = _PATTERNS.get(tokenizer)
    if known is None or known[0] != len(tokenizer):
        tokens = [token for token in tokenizer.added_tokens_decoder.values() if _is_control(token)]
        longest_first = sorted((token.content for token in tokens), key=len, reverse=True)
        control = _ControlTokens(
            literal=re.compile("|".join(map(re.escape, longest_first)) or "(?!)"),
            any_normalized=tokenizer.is_fast
            and tokenizer.backend_tokenizer.normalizer is not None
            and any(token.normalized for token in tokens),
        )
        known = _PATTERNS[tokenizer] = (len(tokenizer), control)
    return known[1]


def _is_control(token: AddedToken) -> bool:
    content = token.content
    return bool(content.strip() and (token.special or _LOOKS_LIKE_CONTROL.match(content)))


def _spans_after_normalizing(
    tokenizer: PreTrainedTokenizerBase, text: str
) -> list[tuple[int, int]]:
    """Where text becomes a control token by the tokenizer's normalizer, such as lower-casing."""
    encoded = tokenizer(text, add_special_tokens=False, verbose=False, return_offsets_mapping=True)
    added = tokenizer.added_tokens_decoder
    return [
        (begin, end)
        for token, (begin, end) in zip(encoded.input_ids, encoded.offset_mapping, strict=True)
        if token in added and _is_control(added[token])
    ]


def _unmarked(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without marks, and where in it the marked control tokens stand."""
    plain, spans, last = "", [], 0
    for found in _MARKED.finditer(text):
        plain += without_marks(text[last : found.start()])
        spans.append((len(plain), len(plain) + len(found[1])))
        plain += found[1]
        last = found.end()
    return plain + without_marks(text[last:]), spans


def _as_text(tokenizer: PreTrainedTokenizerBase, text: str, control: int) -> list[int]:
    """The ids of a control token's characters, by the tokenizer's pipeline without added tokens."""
    backend = tokenizer.backend_tokenizer
    if backend.normalizer is not None:
        text = backend.normalizer.normalize_str(text)
    pieces = [text]
    if backend.pre_tokenizer is not None:
        pieces = [piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
    ids = [token.id for piece in pieces for token in backend.model.tokenize(piece)]
    if control in ids or not ids:
        raise PromptError(
            f"the text holds {text!r}, a control token of this model that its tokenizer can't take "
            "for text; leave the question out"
        )
    return ids
