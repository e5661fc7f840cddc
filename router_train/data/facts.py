"""Hashes that split questions by the fact that they ask for.

A lens that has been fitted to "What is the symbol of gold?" reads "Which symbol stands for gold?"
and "Which metal has the symbol Au?" better than a question about something new. Tasks keep such
questions in one split, so that no router meets them in a test; what chooses a router, or judges it,
must not ask for what taught it.
"""

import hashlib
from collections.abc import Iterable, Sequence

from search_cluster.tasks.example import Example
from search_cluster.tasks.facts import facts_of, speakers_of
from search_cluster.tasks.twins import asked_key


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
    """A hash of 64 bits for the id of each example, equal for questions that stay together.

    It is the lowest hash of all questions that ask for the fact.
    """
    hashes, facts = question_hashes(examples), facts_of(examples, cautious=True)
    lowest: dict[int, int] = {}
    for name, fact in facts.items():
        lowest[fact] = min(hashes[name], lowest.get(fact, 2**64))
    return {name: lowest[fact] for name, fact in facts.items()}


def fact_places(examples: Sequence[Example]) -> dict[str, int]:
    """Where the example of each id belongs in a split by shares: 64 bits, one place for each fact.

    A question alone stands where `question_hashes` says. Of a fact the question with the lowest id
    speaks for all, so that a share of the places holds that share of the facts; the lowest hash
    would be the lower, the more often a fact is asked.
    """
    hashes, speakers = question_hashes(examples), speakers_of(facts_of(examples, cautious=True))
    return {name: hashes[speaker] for name, speaker in speakers.items()}


def _question_hash(example: Example) -> int:
    digest = hashlib.sha256(
        f"router validation:{example.task}:{example.question}".encode("utf-8", "surrogatepass")
    )
    return int.from_bytes(digest.digest()[:8], "big")
