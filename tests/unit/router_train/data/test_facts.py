from dataclasses import replace

from support.router_corpus import fruit_example

from router_train.data.facts import fact_hashes, fact_places, question_hashes
from search_cluster.tasks.builtin.elements import ELEMENTS_TASK
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


def test_questions_that_name_each_other_s_answers_stay_together() -> None:
    examples = ELEMENTS_TASK.load("train", None).examples
    found = fact_hashes(examples)
    sides: dict[int, set[str]] = {}
    for example in examples:
        sides.setdefault(found[example.example_id], set()).add(example.gold)
    assert [golds for golds in sides.values() if "H" in golds] == [{"H", "Hydrogen"}]
    one_way = [
        asked(1, "Which river flows through Vienna?", "the Danube"),
        asked(2, "Where does the Danube end?", "Black Sea"),
        *(asked(10 + n, f"Another question, {n}?", f"other {n}") for n in range(60)),
    ]
    assert len(set(fact_hashes(one_way).values())) == 62


def test_sums_that_name_each_other_s_results_do_not_stay_together() -> None:
    sums = [asked(n, f"{n} + 1 = ", f"{n + 1}") for n in range(60)]
    differences = [asked(100 + n, f"{n + 2} - 1 = ", f"{n + 1}") for n in range(60)]
    assert len(set(fact_hashes([*sums, *differences]).values())) == 60


def test_a_share_of_the_places_holds_that_share_of_the_facts() -> None:
    """However often each is asked; and a question alone stands where its own hash says."""
    often = [asked(n, f"Which is it, in words of {n}?", f"fact {n // 8}") for n in range(1600)]
    alone = [asked(2000 + n, f"Something else, {n}?", f"other {n}") for n in range(200)]
    places, facts = fact_places([*often, *alone]), fact_hashes([*often, *alone])
    low = {facts[name] for name, place in places.items() if place < 0.15 * 2**64}
    assert 0.08 < len(low) / 400 < 0.22
    of_often = [places[example.example_id] for example in often]
    assert all(len(set(of_often[n : n + 8])) == 1 for n in range(0, 1600, 8))
    assert 0.07 < sum(place < 0.15 * 2**64 for place in of_often) / 1600 < 0.23
    hashes = question_hashes(alone)
    assert all(places[example.example_id] == hashes[example.example_id] for example in alone)
    assert places == fact_places([*reversed(alone), *reversed(often)])
