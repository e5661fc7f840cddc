"""Which questions ask for one fact.

Tasks ask for a fact in several ways: "What is the symbol of gold?", "Which metal has the symbol
Au?". Who knows one answer is likely to know the other, so such questions are not as good as others:
what learns must not meet one of them and be judged by another, and intervals count facts.

Examples do not say their fact, so it is told by their texts: one fact have questions that are
equal, that have one answer, or of which each names the other's answer.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from search_cluster.tasks.example import Example
from search_cluster.tasks.splits import normalize_text
from search_cluster.tasks.twins import asked_key

MOST_SHARE = 0.05
"""An answer of more of a task's questions ("yes", "B") names no fact."""
MOST_WORDS = 8
"""Answers of more words are not looked for in questions."""
_WORD = re.compile(r"\w+")
_Words = tuple[str, ...]


def facts_of(examples: Sequence[Example]) -> dict[str, int]:
    """A number for the id of each example, equal for questions that ask for one fact.

    Args:
        examples: better all questions of a task than a few: which answers are common is seen in
            them. Questions of several tasks may ask for one fact.
    """
    by_id = {example.example_id: example for example in examples}
    answers = {name: normalize_text(example.gold) for name, example in by_id.items()}
    sizes = Counter(example.task for example in by_id.values())
    count = Counter((example.task, answers[name]) for name, example in by_id.items())
    rare = {
        name: answers[name]
        for name, example in by_id.items()
        if count[example.task, answers[name]] <= MOST_SHARE * sizes[example.task]
    }
    # A node for each example, each text that is asked, and each answer that names a fact.
    places = {("id", name): place for place, name in enumerate(by_id)}
    edges = []
    for name, example in by_id.items():
        asked = ("asked", asked_key(example.question))
        edges.append((("id", name), asked))
        if name in rare:
            edges.append((("id", name), ("answer", rare[name])))
    pairs = _answers_of_one_fact(list(by_id.values()), rare)
    edges += [(("answer", one), ("answer", other)) for one, other in pairs]
    for edge in edges:
        for node in edge:
            places.setdefault(node, len(places))
    rows, columns = ([places[edge[end]] for edge in edges] for end in (0, 1))
    graph = coo_array(([True] * len(edges), (rows, columns)), shape=(len(places), len(places)))
    _, fact_of_node = connected_components(graph, directed=False)
    return {name: int(fact_of_node[place]) for place, name in enumerate(by_id)}


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
