"""Which questions ask for one fact: those that are equal, and those with one answer.

A lens that has been fitted to "What is the symbol of gold?" reads "Which symbol stands for gold?"
better than a question about something new. Tasks keep such questions in one split, so that no
router meets them in a test; what chooses a router, or judges it, must not ask for what taught it.
"""

from collections import Counter
from collections.abc import Sequence

from router_train.data.labels import question_hashes
from search_cluster.tasks.example import Example
from search_cluster.tasks.splits import normalize_text

MOST_SHARE = 0.05
"""An answer of more of the questions ("yes", "B") names no fact."""


def fact_hashes(examples: Sequence[Example]) -> dict[str, int]:
    """A hash of 64 bits for the id of each example, equal for questions that stay together."""
    equal = question_hashes(examples)
    found = dict(equal)
    answers = {example.example_id: normalize_text(example.gold) for example in examples}
    count = Counter(answers.values())
    rare = {name: text for name, text in answers.items() if count[text] <= MOST_SHARE * len(equal)}
    while True:  # equal questions, then equal answers, until nothing moves
        before = dict(found)
        for key_of in (equal, rare):
            lowest: dict[int | str, int] = {}
            for name, key in key_of.items():
                lowest[key] = min(found[name], lowest.get(key, found[name]))
            found.update({name: lowest[key] for name, key in key_of.items()})
        if found == before:
            return found
