from dataclasses import replace

from support.router_corpus import fruit_example

from router_train.data.facts import fact_hashes
from router_train.data.labels import question_hashes
from search_cluster.tasks.example import Example


def asked(number: int, question: str, gold: str) -> Example:
    example = fruit_example(number)
    return replace(example, question=question, gold=gold, choices=(), gold_index=None)


def test_questions_of_one_answer_stay_together_unless_it_is_common() -> None:
    facts = [asked(n, f"Which is it, in words of {n}?", f"fact {n // 2}") for n in range(40)]
    yes = [asked(100 + n, f"Is it so, number {n}?", "Yes" if n % 2 else "no") for n in range(40)]
    found = fact_hashes([*facts, *yes])
    of_facts = [found[example.example_id] for example in facts]
    assert of_facts[::2] == of_facts[1::2]
    assert len(set(of_facts)) == 20
    assert len({found[example.example_id] for example in yes}) == 40
    plain = question_hashes([*facts, *yes])
    assert all(found[example.example_id] == plain[example.example_id] for example in yes)


def test_equal_questions_with_other_answers_join_their_facts() -> None:
    others = [asked(10 + n, f"Another question, {n}?", f"other {n}") for n in range(60)]
    chain = [
        asked(1, "What is it called?", "gold"),
        asked(2, "Name the metal.", "GOLD "),
        asked(3, "name  the Metal.", "Au"),
        asked(4, "And its symbol?", "au"),
    ]
    found = fact_hashes([*others, *chain])
    assert len({found[example.example_id] for example in chain}) == 1
    assert len(set(found.values())) == 61
