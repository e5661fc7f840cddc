from dataclasses import replace

import pytest
from support.lettered import loaded_lettered

from search_cluster.model.depth_states.option_probes import (
    MAX_LETTERED,
    letter_probe,
    word_probe,
    worked_questions,
)
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import select_examples

TASK = get_task("elements")
EXAMPLES = select_examples(TASK.load("train", None).examples, 20, 0)
WORKED = worked_questions(EXAMPLES[1:])
LOADED = loaded_lettered()


def text_of(ids: tuple[int, ...]) -> str:
    return str(LOADED.tokenizer.decode(ids))


def test_letters_are_asked_after_worked_questions_with_foreign_ones_behind() -> None:
    assert len({item.gold_index for item in WORKED}) == len(WORKED) == 4
    probe = letter_probe(LOADED, WORKED, EXAMPLES[0], 7)
    assert probe is not None
    assert [text_of((token,)) for token in probe.asked[0]] == [f" {item}" for item in "ABCDEFGH"]
    assert text_of(probe.ids).endswith(f"D. {EXAMPLES[0].choices[3]}\nAnswer:")
    assert text_of(probe.ids).count("\nAnswer: ") == 4


def test_other_letters_stand_in_all_questions() -> None:
    probe = letter_probe(LOADED, WORKED, EXAMPLES[0], 7, first_letter=4)
    assert probe is not None
    assert [text_of((token,)) for token in probe.asked[0]] == [f" {item}" for item in "EFGHABCD"]
    text = text_of(probe.ids)
    assert text.count("\nE. ") == 5
    assert "\nA. " not in text
    assert "\nAnswer: A" not in text


def test_too_many_choices_have_no_letters() -> None:
    many = tuple(f"choice {number}" for number in range(MAX_LETTERED + 1))
    example = replace(EXAMPLES[0], choices=many, gold=many[0], gold_index=0)
    assert letter_probe(LOADED, (), example, 0) is None


def made_up(question: str, gold_index: int) -> Example:
    choices = ("is one", "of two")
    return Example(
        task="elements",
        question=question,
        choices=choices,
        gold=choices[gold_index],
        gold_index=gold_index,
        split="train",
        source="made up",
    )


@pytest.mark.parametrize("options", [("is one", "of two"), ("is one", "is two")])
def test_words_are_asked_by_their_first_tokens_unless_two_begin_alike(
    options: tuple[str, str],
) -> None:
    worked = [made_up("the first?", 0), made_up("the second?", 1)]
    probe = word_probe(LOADED, TASK, worked, made_up("the third?", 0), options, 3)
    if options[1] == "is two":
        assert probe is None
        return
    assert probe is not None
    text = text_of(probe.ids)
    assert text.count(" is one") == text.count(" of two") == 1
    assert text.endswith(TASK.prompt(made_up("the third?", 0)).plain)
    whole = LOADED.tokenizer(f"{text.removeprefix('<bos>')} of two").input_ids
    assert whole[len(probe.ids)] == probe.asked[0][1]
