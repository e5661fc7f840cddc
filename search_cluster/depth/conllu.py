"""Sentences with gold word classes from CoNLL-U files (universaldependencies.org/format.html).

Word classes are universal part-of-speech tags; words are found again in the sentence's text, so
that each has a span of characters.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from search_cluster.errors import ConfigError

FUNCTION_CLASSES = ("DET", "ADP", "PUNCT", "AUX", "CCONJ", "SCONJ", "PRON", "PART")
CONTENT_CLASSES = ("NOUN", "VERB", "ADJ", "ADV", "PROPN", "NUM")
OTHER_CLASSES = ("INTJ", "SYM", "X")
WORD_CLASSES = (*FUNCTION_CLASSES, *CONTENT_CLASSES, *OTHER_CLASSES)
"""Universal part-of-speech tags; a label of a position is the place in this list."""
_TEXT = "# text = "
_NUM_COLUMNS = 10
_INDEX = re.compile(r"[0-9]+([-.][0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassedWord:
    """A word of a sentence."""

    begin: int
    """Its first character in the sentence's text."""
    end: int
    """The character after its last one."""
    word_class: str
    """One of `WORD_CLASSES`; of a contraction such as "don't" that of its first part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassedSentence:
    """A sentence with its words in order."""

    text: str
    words: tuple[ClassedWord, ...]

    def labels(self) -> dict[int, int]:
        """The place in `WORD_CLASSES` of each word's class, by the word's first character."""
        return {word.begin: WORD_CLASSES.index(word.word_class) for word in self.words}


def read_conllu(path: Path) -> tuple[ClassedSentence, ...]:
    """The sentences of a file.

    Raises:
        ConfigError: the file can't be read, holds no sentence, or a line is none of the format.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} can't be read as CoNLL-U: {error}; name another file") from error
    sentences = []
    block: list[tuple[int, str]] = []
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        if line.strip():
            block.append((number, line))
        elif block:
            sentences.append(_sentence(path, block))
            block = []
    if not sentences:
        raise ConfigError(
            f"{path} holds no sentence; name a CoNLL-U file, such as a Universal Dependencies "
            "treebank's"
        )
    return tuple(sentences)


def _sentence(path: Path, block: Sequence[tuple[int, str]]) -> ClassedSentence:
    words: list[ClassedWord] = []
    given = next((line.removeprefix(_TEXT) for _, line in block if line.startswith(_TEXT)), None)
    rows = list(_rows(path, block))
    text = given if given is not None else _text_of(rows)
    at = 0
    for form, word_class, number, _ in rows:
        begin = text.find(form, at)
        if begin < 0:
            raise ConfigError(
                f"{path}:{number}: the word {form!r} is not in its sentence's text after character "
                f"{at}; correct the file"
            )
        at = begin + len(form)
        words.append(ClassedWord(begin=begin, end=at, word_class=word_class))
    return ClassedSentence(text=text, words=tuple(words))


_Row = tuple[str, str, int, bool]
"""A form, its class, its line, and whether a space follows."""


def _rows(path: Path, block: Sequence[tuple[int, str]]) -> Iterator[_Row]:
    last_of_range = 0
    form_of_range: tuple[str, int, bool] | None = None
    for number, line in block:
        if line.startswith("#"):
            continue
        columns = line.split("\t")
        if len(columns) != _NUM_COLUMNS:
            raise ConfigError(
                f"{path}:{number}: {len(columns)} columns; a line of CoNLL-U has {_NUM_COLUMNS}, "
                "separated by tabs"
            )
        index, form, word_class = columns[0], columns[1], columns[3]
        if not _INDEX.fullmatch(index):
            raise ConfigError(
                f"{path}:{number}: the ID is {index!r}; it is a word's number such as 3, a range "
                "such as 3-4, or an empty node's number such as 3.1: correct the file"
            )
        has_space = "SpaceAfter=No" not in columns[9]
        if "." in index:  # an empty node, which is not in the text
            continue
        if "-" in index:
            last_of_range = int(index.split("-")[1])
            form_of_range = form, number, has_space
            continue
        if int(index) <= last_of_range:
            if form_of_range is None:
                continue
            form, number, has_space = form_of_range
            form_of_range = None
        if word_class not in WORD_CLASSES:
            raise ConfigError(
                f"{path}:{number}: the word class is {word_class!r}; it is one of "
                f"{', '.join(WORD_CLASSES)}"
            )
        yield form, word_class, number, has_space


def _text_of(rows: Sequence[_Row]) -> str:
    return "".join(f"{form} " if has_space else form for form, _, _, has_space in rows).strip()
