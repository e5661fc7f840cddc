"""Which questions ask for one fact, by their texts alone."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from support.router_corpus import fruit_example

from search_cluster.tasks.builtin.elements import ELEMENTS_TASK
from search_cluster.tasks.example import Example
from search_cluster.tasks.facts import facts_of

COUNTRIES = {f"land{n}": f"city {n}" for n in range(60)}


def asked(number: int, question: str, gold: str, task: str = "fruit") -> Example:
    example = fruit_example(number)
    return replace(example, task=task, question=question, gold=gold, choices=(), gold_index=None)


def capitals() -> list[Example]:
    """60 facts in three ways, the last of which asks the other way round."""
    return [
        asked(3 * n + way, question, gold)
        for n, (country, city) in enumerate(COUNTRIES.items())
        for way, (question, gold) in enumerate(
            (
                (f"What is the capital of {country}?", city),
                (f"Which city governs {country}?", city),
                (f"Of which country is {city} the capital?", country),
            )
        )
    ]


def groups(examples: Iterable[Example], *, cautious: bool = False) -> set[frozenset[str]]:
    examples = list(examples)
    found = facts_of(examples, cautious=cautious)
    return {
        frozenset(item.question for item in examples if found[item.example_id] == fact)
        for fact in set(found.values())
    }


def test_a_fact_is_asked_for_by_questions_of_one_answer_with_a_word_in_common_and_back() -> None:
    found = groups(capitals())
    assert len(found) == 60
    assert {len(group) for group in found} == {3}
    assert all(len({word for word in " ".join(group).split() if "land" in word}) for group in found)


def test_an_answer_alone_is_no_fact_unless_one_is_cautious() -> None:
    """Word problems that have one number as their answer share words, as all others do."""
    names = ["Ann", "Bob", "Eve", "Max", "Lea", "Tom", "Ida"]
    things = ["apples", "pens", "books", "coins", "stamps"]
    problems = [
        asked(
            n,
            f"{names[n % 7]} has {n} {things[n % 5]} and gives {names[n % 6]} some: how many stay?",
            str(n * n % 53),
        )
        for n in range(400)
    ]
    assert len(groups(problems)) > 390
    assert len(groups(problems, cautious=True)) == len({n * n % 53 for n in range(400)})


def test_common_answers_name_no_fact_and_each_task_has_its_own() -> None:
    yes = [asked(n, f"Is apple number {n // 2} ripe, way {n % 2}?", "yes") for n in range(60)]
    assert len(groups(yes)) == 60
    # Of a task that is a tenth of all questions "yes" is as common as it was.
    other = [
        asked(100 + n, f"Name the river of land{n}.", f"river {n}", "rivers") for n in range(600)
    ]
    assert len(groups([*yes, *other])) == 660


def test_equal_questions_are_one_however_they_are_typed() -> None:
    others = [asked(10 + n, f"Something else, {n}?", f"other {n}") for n in range(60)]
    typed = [asked(1, "What is it called?", "gold"), asked(2, "what is  it CALLED", "silver")]
    assert len(groups([*others, *typed])) == 61


@pytest.mark.parametrize("cautious", [True, False])
def test_of_elements_symbols_and_names_are_one_fact_and_the_number_is_another(
    cautious: bool,
) -> None:
    examples = ELEMENTS_TASK.load("train", None).examples
    found = facts_of(examples, cautious=cautious)
    golds: dict[int, set[str]] = {}
    for example in examples:
        golds.setdefault(found[example.example_id], set()).add(example.gold)
    assert [sides for sides in golds.values() if "H" in sides] == [{"H", "Hydrogen"}]
    assert {len(sides) for sides in golds.values()} == {1, 2}


def test_what_is_told_with_care_is_never_coarser_and_the_order_has_no_say() -> None:
    examples = [*capitals(), *ELEMENTS_TASK.load("train", None).examples]
    fine, cautious = facts_of(examples), facts_of(examples, cautious=True)
    assert len({(fine[name], cautious[name]) for name in fine}) == len(set(fine.values()))
    assert groups(examples) == groups(reversed(examples))
    assert facts_of([]) == {}
