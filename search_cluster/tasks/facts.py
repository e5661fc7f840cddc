"""Which questions ask for one fact.

Tasks ask for a fact in several ways: "What is the symbol of gold?", "Which metal has the symbol
Au?". Who knows one answer is likely to know the other, so such questions are not as good as others:
what learns must not meet one of them and be judged by another, and intervals count facts.

Examples do not say their fact, so it is told by their texts: one fact have questions that are
equal, of which each names the other's answer, or that have one answer and a telling word in common,
which goes with this answer more often than by chance. Word problems whose answer is 4 have none.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence

from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import binom

from search_cluster.tasks.example import Example
from search_cluster.tasks.splits import normalize_text
from search_cluster.tasks.twins import asked_key

MOST_SHARE = 0.05
"""An answer of more of a task's questions ("yes", "B") names no fact."""
MOST_BY_CHANCE = 1.0
"""Words that would be taken for telling in all questions if they had nothing to do with answers."""
MOST_WORDS = 8
"""Answers of more words are not looked for in questions."""
_WORD = re.compile(r"\w+")
_Words = tuple[str, ...]
_Edges = list[tuple[Hashable, Hashable]]


def facts_of(examples: Sequence[Example], *, cautious: bool = False) -> dict[str, int]:
    """A number for the id of each example, equal for questions that ask for one fact.

    Args:
        examples: better all questions of a task than a few: which answers are common is seen in
            them. Questions of several tasks may ask for one fact.
        cautious: whether one answer is enough, as for routers, which learn what questions say:
            better too many questions on one side of a split than a fact on both.
    """
    by_id = {example.example_id: example for example in examples}
    rare = _rare_answers(by_id)
    places: dict[Hashable, int] = {("id", name): place for place, name in enumerate(by_id)}
    edges: _Edges = [
        (("id", name), ("asked", asked_key(example.question))) for name, example in by_id.items()
    ]
    edges += _naming_each_other(by_id, rare)
    if cautious:
        edges += [(("id", name), ("answer", answer)) for name, answer in rare.items()]
    else:
        edges += _with_telling_words(by_id, rare)
    for edge in edges:
        for node in edge:
            places.setdefault(node, len(places))
    rows, columns = ([places[edge[end]] for edge in edges] for end in (0, 1))
    graph = coo_array(([True] * len(edges), (rows, columns)), shape=(len(places), len(places)))
    _, fact_of_node = connected_components(graph, directed=False)
    return {name: int(fact_of_node[place]) for place, name in enumerate(by_id)}


def speakers_of(facts: Mapping[str, int]) -> dict[str, str]:
    """The id that speaks for each id in a split by shares: the lowest of its fact.

    So a share of the places holds that share of the facts, however often each is asked.
    """
    lowest = {facts[name]: name for name in sorted(facts, reverse=True)}
    return {name: lowest[fact] for name, fact in facts.items()}


def _rare_answers(by_id: Mapping[str, Example]) -> dict[str, str]:
    """The answers that may name a fact, by example id."""
    answers = {name: normalize_text(example.gold) for name, example in by_id.items()}
    sizes = Counter(example.task for example in by_id.values())
    count = Counter((example.task, answers[name]) for name, example in by_id.items())
    return {
        name: answers[name]
        for name, example in by_id.items()
        if count[example.task, answers[name]] <= MOST_SHARE * sizes[example.task]
    }


def _with_telling_words(by_id: Mapping[str, Example], answer_of: Mapping[str, str]) -> _Edges:
    """What joins questions of one answer that have a telling word in common."""
    in_questions = Counter(word for example in by_id.values() for word in _words_of(example))
    names_of: defaultdict[str, list[str]] = defaultdict(list)
    for name, answer in answer_of.items():
        names_of[answer].append(name)
    num_words = 0
    shared: list[tuple[str, str, list[str]]] = []
    for answer, names in names_of.items():
        with_word: defaultdict[str, list[str]] = defaultdict(list)
        for name in names if len(names) > 1 else ():
            for word in _words_of(by_id[name]):
                with_word[word].append(name)
        num_words += len(with_word)
        shared += [(answer, word, having) for word, having in with_word.items() if len(having) > 1]
    by_chance = binom.sf(
        [len(having) - 1 for _, _, having in shared],
        [in_questions[word] for _, word, _ in shared],
        [len(names_of[answer]) / len(by_id) for answer, _, _ in shared],
    )
    is_telling = by_chance * num_words < MOST_BY_CHANCE
    return [
        (("id", name), ("word", answer, word))
        for (answer, word, having), tells in zip(shared, is_telling, strict=True)
        if tells
        for name in having
    ]


def _words_of(example: Example) -> set[str]:
    return set(_WORD.findall(normalize_text(example.question)))


def _naming_each_other(by_id: Mapping[str, Example], answer_of: Mapping[str, str]) -> _Edges:
    """What joins questions that name each other's answers.

    Numbers are left out: sums name each other's results without one fact behind them.
    """
    texts: dict[_Words, list[str]] = {}
    for text in dict.fromkeys(answer_of.values()):
        words = tuple(_WORD.findall(text))
        if words and len(words) <= MOST_WORDS and not "".join(words).isnumeric():
            texts.setdefault(words, []).append(text)
    longest = max(map(len, texts), default=0)
    naming: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name, answer in answer_of.items():
        for words in _parts(by_id[name].question, longest):
            for text in texts.get(words, ()):
                naming[answer, text].append(name)
    edges: _Edges = []
    for (answer, text), names in naming.items():
        if answer != text and (text, answer) in naming:
            edges += [(("id", name), ("pair", *sorted((answer, text)))) for name in names]
    return edges


def _parts(question: str, longest: int) -> Iterator[_Words]:
    """All runs of at most so many words."""
    words = tuple(_WORD.findall(normalize_text(question)))
    for first in range(len(words)):
        for last in range(first, min(first + longest, len(words))):
            yield words[first : last + 1]
