"""Which questions are equal, and which ask for one fact.

A lens that has been fitted to "What is the symbol of gold?" reads "Which symbol stands for gold?"
and "Which metal has the symbol Au?" better than a question about something new. Tasks keep such
questions in one split, so that no router meets them in a test; what chooses a router, or judges it,
must not ask for what taught it.

Examples do not say their fact, so it is told by their texts: one fact have questions that are
equal, that have one answer, or of which each names the other's answer.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from search_cluster.tasks.example import Example
from search_cluster.tasks.splits import normalize_text
from search_cluster.tasks.twins import asked_key

MOST_SHARE = 0.05
"""An answer of more of the questions ("yes", "B") names no fact."""
MOST_WORDS = 8
"""Answers of more words are not looked for in questions."""
_WORD = re.compile(r"\w+")
_Words = tuple[str, ...]


def question_hashes(examples: Iterable[Example]) -> dict[str, int]:
    """A hash of 64 bits for the id of each example, which depends on the questions' texts alone.

    What is split by it keeps equal questions on one side, also if they are typed otherwise
    (`search_cluster.tasks.twins`): such ones share the lowest of their hashes, so that a question
    that nobody types otherwise has the hash of its own text.
    """
    examples = list(examples)
    lowest: dict[str, int] = {}
    for example in examples:
        key = asked_key(example.question)
        lowest[key] = min(_question_hash(example), lowest.get(key, 2**64))
    return {example.example_id: lowest[asked_key(example.question)] for example in examples}


def fact_hashes(examples: Sequence[Example]) -> dict[str, int]:
    """A hash of 64 bits for the id of each example, equal for questions that stay together."""
    equal = question_hashes(examples)
    found = dict(equal)
    answers = {example.example_id: normalize_text(example.gold) for example in examples}
    count = Counter(answers.values())
    rare = {name: text for name, text in answers.items() if count[text] <= MOST_SHARE * len(equal)}
    pairs = _answers_of_one_fact(examples, rare)
    while True:  # equal questions, then answers of one fact, until nothing moves
        before = dict(found)
        for key_of, same in ((equal, ()), (rare, pairs)):
            lowest: dict[int | str, int] = {}
            for name, key in key_of.items():
                lowest[key] = min(found[name], lowest.get(key, found[name]))
            for one, other in same:
                lowest[one] = lowest[other] = min(lowest[one], lowest[other])
            found.update({name: lowest[key] for name, key in key_of.items()})
        if found == before:
            return found


def fact_places(examples: Sequence[Example]) -> dict[str, int]:
    """Where the example of each id belongs in a split by shares: 64 bits, one place for each fact.

    A question alone stands where `question_hashes` says. Of a fact the question with the lowest id
    speaks for all, so that a share of the places holds that share of the facts; the lowest hash
    would be the lower, the more often a fact is asked.
    """
    facts, hashes = fact_hashes(examples), question_hashes(examples)
    place_of = {facts[name]: hashes[name] for name in sorted(facts, reverse=True)}
    return {name: place_of[fact] for name, fact in facts.items()}


def _question_hash(example: Example) -> int:
    digest = hashlib.sha256(
        f"router validation:{example.task}:{example.question}".encode("utf-8", "surrogatepass")
    )
    return int.from_bytes(digest.digest()[:8], "big")


def _answers_of_one_fact(
    examples: Sequence[Example], answer_of: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Pairs of answers that some of the questions behind them name of each other.

    Numbers are left out: sums name each other's results without one fact behind them.

    Args:
        examples: the questions.
        answer_of: the answers that name facts, by example id.
    """
    texts: dict[_Words, list[str]] = {}
    for text in dict.fromkeys(answer_of.values()):
        words = tuple(_WORD.findall(text))
        if words and len(words) <= MOST_WORDS and not "".join(words).isnumeric():
            texts.setdefault(words, []).append(text)
    longest = max(map(len, texts), default=0)
    named = {
        (answer_of[example.example_id], text)
        for example in examples
        if example.example_id in answer_of
        for words in _parts(example.question, longest)
        for text in texts.get(words, ())
    }
    return sorted(pair for pair in named if pair[0] < pair[1] and pair[::-1] in named)


def _parts(question: str, longest: int) -> Iterator[_Words]:
    """All runs of at most so many words."""
    words = tuple(_WORD.findall(normalize_text(question)))
    for first in range(len(words)):
        for last in range(first, min(first + longest, len(words))):
            yield words[first : last + 1]
