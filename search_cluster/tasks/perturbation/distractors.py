"""Wrong answers of other questions as distractors of this one.

A text that is wrong elsewhere may be right here, so the choice is cautious. It takes no text that
has all words of the right answer or all of whose words the right answer has, none that stands under
a question which shares an uncommon word with this one, and none that speaks of its neighbours
("none of these"). What no rule on words can see, such as 50 mm for 5 cm, remains.
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from itertools import chain, islice

from search_cluster.tasks.example import Example
from search_cluster.tasks.selection import derive_seed
from search_cluster.tasks.splits import normalize_text
from search_cluster.tasks.template import LETTERS

WINDOW = 120
"""Distractors are drawn from so many texts of the right answer's kind, nearest in length."""
COMMON_SHARE = 0.07
"""A word in more than this share of the questions says nothing about what one of them is about."""

_NEIGHBOURS = re.compile(
    r"\b(above|below|both|neither|all of|none of|any of|these|those|choices?|options?|answers?|"
    r"[a-e] and [a-e]|[a-e] or [a-e]|same)\b"
)
_NUMBER = re.compile(
    r"(?P<value>[-+]?\d{1,20}(?:\.\d{1,20}|/[1-9]\d{0,19})?)(?P<percent>%)?", re.ASCII
)
_WORD = re.compile(r"[^\W_]+")
_ARTICLES = frozenset(("a", "an", "the"))


def depends_on_neighbours(text: str) -> bool:
    """Whether a choice may speak of other choices or of letters.

    "none of these" and "both A and B" do.
    """
    return _NEIGHBOURS.search(text.casefold()) is not None


def levelled(text: str) -> str:
    """The text without case, punctuation, articles and the form of numbers.

    Texts that say the same are then equal.
    """
    number = _NUMBER.fullmatch(text.strip().replace(",", "").replace("\N{MINUS SIGN}", "-"))
    if number is not None:
        return str(Fraction(number["value"]) / (100 if number["percent"] else 1))
    words = [word for word in _WORD.findall(text.casefold()) if word not in _ARTICLES]
    return " ".join(words) or normalize_text(text)


def redistracted(
    example: Example, others: Sequence[Example], *, part: int, num_parts: int, seed: int
) -> Iterator[Example]:
    """The example with other wrong choices.

    In turns all of them are exchanged, and as many are joined to its own.

    Distractors are dealt to ``num_parts`` disjoint parts by a hash of example and text, whatever
    the seed and the others are; within a part none serves twice. Texts of the right answer's kind
    and length are preferred.

    Args:
        example: the original. Nothing comes if it has no choices, or if its right answer is a
            letter or speaks of its neighbours.
        others: questions whose wrong answers are used; the example itself may be among them.
        part: the number of the part, from 0.
        num_parts: the number of parts.
        seed: any integer.
    """
    gold_index = example.gold_index
    if (
        gold_index is None
        or example.gold != example.choices[gold_index]
        or depends_on_neighbours(example.gold)
    ):
        return
    fitting = _fitting(
        example,
        _wrong_answers(_Others(tuple(other.example_id for other in others), others)),
        part,
        num_parts,
        seed,
    )
    num_wrong = len(example.choices) - 1
    joins = False
    while num_wrong and len(drawn := list(islice(fitting, num_wrong))) == num_wrong:
        if joins and len(example.choices) + num_wrong <= len(LETTERS):
            yield replace(example, choices=(*example.choices, *drawn))
        else:
            yield replace(example, choices=(*drawn[:gold_index], example.gold, *drawn[gold_index:]))
        joins = not joins


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A wrong answer of another question."""

    text: str
    """The text as the question offers it."""
    level: str
    """The levelled text."""
    words: frozenset[str]
    """The words of the levelled text."""
    topics: frozenset[str]
    """The uncommon words of all questions that offer the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _WrongAnswers:
    """What all questions together offer as wrong answers."""

    by_kind: dict[str, tuple[_Candidate, ...]]
    """The texts of each kind, sorted by length."""
    by_length: tuple[_Candidate, ...]
    """All texts, sorted by length."""
    common: frozenset[str]
    """The words that are in too many questions to tell them apart."""


def _fitting(
    example: Example, wrong: _WrongAnswers, part: int, num_parts: int, seed: int
) -> Iterator[str]:
    """Texts that are wrong here: the best kinds first, else in an order drawn from the seed."""
    own = {levelled(choice) for choice in example.choices}
    gold_words = frozenset(levelled(example.gold).split())
    topics = _question_words(example) - wrong.common
    same_kind = _nearest(wrong.by_kind.get(_kind(example.gold), ()), example.gold)
    same_length = _nearest(wrong.by_length, example.gold) if len(same_kind) < WINDOW else ()

    def fits(candidate: _Candidate) -> bool:
        return (
            candidate.level not in own
            and not candidate.words <= gold_words
            and not gold_words <= candidate.words
            and not candidate.topics & topics
            and derive_seed(num_parts, f"{example.example_id} {candidate.level}") % num_parts
            == part
        )

    def drawn(candidate: _Candidate) -> int:
        return derive_seed(seed, f"{example.example_id} distractor {candidate.level}")

    ranked = (sorted(filter(fits, window), key=drawn) for window in (same_kind, same_length))
    return iter(dict.fromkeys(candidate.text for candidate in chain.from_iterable(ranked)))


def _nearest(candidates: Sequence[_Candidate], text: str) -> Sequence[_Candidate]:
    """A window of candidates, sorted by length, around a text's length."""
    place = bisect_left(candidates, len(text), key=lambda candidate: len(candidate.text))
    start = max(0, min(place - WINDOW // 2, len(candidates) - WINDOW))
    return candidates[start : start + WINDOW]


@dataclass(frozen=True, slots=True)
class _Others:
    """Questions that are compared by their ids, which is much faster than by their content."""

    ids: tuple[str, ...]
    """The ids of the questions, which stand for them in comparisons."""
    examples: Sequence[Example] = field(compare=False)
    """The questions."""


@lru_cache(maxsize=4)
def _wrong_answers(questions: _Others) -> _WrongAnswers:
    others = questions.examples
    words = [_question_words(example) for example in others]
    counts = Counter(chain.from_iterable(words))
    common = frozenset(word for word, count in counts.items() if count > COMMON_SHARE * len(others))
    topics: defaultdict[str, set[str]] = defaultdict(set)
    wrong: dict[str, str] = {}
    for example, question_words in zip(others, words, strict=True):
        for index, text in enumerate(example.choices):
            level = levelled(text)
            topics[level] |= question_words - common
            if index != example.gold_index and not depends_on_neighbours(text):
                wrong[level] = min(text, wrong.get(level, text))
    candidates = sorted(
        (
            _Candidate(
                text=text,
                level=level,
                words=frozenset(level.split()),
                topics=frozenset(topics[level]),
            )
            for level, text in wrong.items()
        ),
        key=lambda candidate: (len(candidate.text), derive_seed(0, candidate.text)),
    )
    by_kind: defaultdict[str, list[_Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_kind[_kind(candidate.text)].append(candidate)
    return _WrongAnswers(
        by_kind={kind: tuple(members) for kind, members in by_kind.items()},
        by_length=tuple(candidates),
        common=common,
    )


def _question_words(example: Example) -> frozenset[str]:
    return frozenset(_WORD.findall(example.question.casefold()))


def _kind(text: str) -> str:
    """How a text looks: number, symbol, one word, a few or many; capitalised or not."""
    if levelled(text)[:1].isdigit():
        return "number"
    num_words = len(text.split())
    size = (
        "symbol"
        if len(text) <= 3
        else "word"
        if num_words == 1
        else "few"
        if num_words <= 4
        else "many"
    )
    return f"{size} {'capital' if text[:1].isupper() else 'small'}"
