"""Text that was cut into words for older models (WikiText), put together again.

There, punctuation stands between spaces (`` ,``), and what stood without spaces is marked
(`` @-@ ``). A model of today has never seen such text. What is lost in it stays lost: rare words
are ``<unk>``.
"""

import re

_MARKED = re.compile(r" @([-,.])@ ")
_RULES = (
    (re.compile(r" ([,.;:!?%)\]])"), r"\1"),
    (re.compile(r"([(\[$£€]) "), r"\1"),
    (re.compile(r" (n't|'(?:s|re|ve|ll|d|m))\b"), r"\1"),
    (re.compile(r'" ([^"\n]*?) "'), r'"\1"'),
)


def seems_tokenised(text: str) -> bool:
    """Whether a text looks as if it had been cut: it holds a mark, and no comma after a word."""
    return bool(_MARKED.search(text)) and not re.search(r"\w, ", text)


def restore_text(text: str) -> str:
    """The text with its marks undone and its punctuation where people write it."""
    text = _MARKED.sub(r"\1", text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return "\n".join(line.strip(" ") for line in text.split("\n"))
