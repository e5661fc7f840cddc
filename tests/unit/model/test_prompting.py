import dataclasses

import pytest
from support import tiny
from support.model_doubles import CAPITAL, SUM, ChoiceTask, GenerateTask, loaded_tiny
from tokenizers import pre_tokenizers, processors

from search_cluster.errors import PromptError, PromptTooLongError
from search_cluster.model.prompting import EncodedExample, encode_example, encode_prompt_text

CHAT_PREFIX = "<bos><start>user\n"


def text_of(ids: tuple[int, ...], *, chat: bool = False) -> str:
    return tiny.tiny_tokenizer(chat).decode(ids)


def test_a_chat_model_is_asked_in_its_template_and_choices_follow_verbatim() -> None:
    encoded = encode_example(loaded_tiny(chat=True), ChoiceTask(), CAPITAL)
    assert (
        text_of(encoded.context_ids) == f"{CHAT_PREFIX}{CAPITAL.question}<eos>\n<start>assistant\n"
    )
    assert [text_of(ids) for ids in encoded.choice_ids] == list(CAPITAL.choices)


def test_a_base_model_gets_plain_text_and_a_space_before_each_choice() -> None:
    encoded = encode_example(loaded_tiny(), ChoiceTask(), CAPITAL)
    assert text_of(encoded.context_ids) == f"<bos>Q: {CAPITAL.question}\nA:"
    assert [text_of(ids) for ids in encoded.choice_ids] == [
        f" {choice}" for choice in CAPITAL.choices
    ]
    assert encoded.num_tokens == len(encoded.context_ids) + sum(map(len, encoded.choice_ids))


@pytest.mark.parametrize("chat", [True, False])
def test_there_is_exactly_one_bos(chat: bool) -> None:
    loaded = loaded_tiny(chat=chat)
    for ids in (
        encode_example(loaded, ChoiceTask(), CAPITAL).context_ids,
        encode_prompt_text(loaded, "hello"),
    ):
        assert ids[0] == tiny.BOS_ID
        assert ids.count(tiny.BOS_ID) == 1


def test_plain_text_that_brings_its_own_bos_gets_no_second_one() -> None:
    assert encode_prompt_text(loaded_tiny(), "<bos>hello").count(tiny.BOS_ID) == 1


def test_a_generated_answer_has_no_choices() -> None:
    assert encode_example(loaded_tiny(), GenerateTask(), SUM).choice_ids == ()


def test_a_tokenizer_that_starts_every_text_with_a_space_adds_none_to_choices() -> None:
    loaded = loaded_tiny(chat=True)
    loaded.tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=True
    )
    encoded = encode_example(loaded, ChoiceTask(), CAPITAL)
    alone = loaded.tokenizer("Rome", add_special_tokens=False).input_ids
    assert text_of(tuple(alone)) == " Rome"
    assert text_of(encoded.choice_ids[0]) == "Rome"


def test_a_choice_that_merges_with_the_context_is_encoded_alone() -> None:
    class Merging(ChoiceTask):
        def prompt(self, example):
            return dataclasses.replace(super().prompt(example), chat="t")

    loaded = loaded_tiny(chat=True)
    loaded.tokenizer.chat_template = "{{ messages[0]['content'] }}"
    example = dataclasses.replace(
        CAPITAL, question="t", choices=("he", "x"), gold="he", gold_index=0
    )
    encoded = encode_example(loaded, Merging(), example)
    merged = loaded.tokenizer("the", add_special_tokens=False).input_ids
    assert len(merged) == 1
    assert text_of(encoded.context_ids) == "t"
    assert text_of(encoded.choice_ids[0]) == "he"


def test_prompts_do_not_change_with_the_date_and_ask_for_no_reasoning() -> None:
    loaded = loaded_tiny(chat=True)
    loaded.tokenizer.chat_template = (
        "{%- if not day is defined %}{%- set day = strftime_now('%d %b %Y, %-m') %}{%- endif %}"
        "{{ day }} {{ enable_thinking }} {{ messages[0]['content'] }}"
    )
    assert text_of(encode_prompt_text(loaded, "hello")) == "26 Jul 2024, 7 False hello"


def test_the_context_window_counts_prompt_and_answer() -> None:
    loaded = loaded_tiny()
    room = tiny.MAX_POSITIONS - len(encode_prompt_text(loaded, "hello"))
    assert encode_prompt_text(loaded, "hello", max_new_tokens=room)
    text = (
        rf"plus {room + 1} for the answer makes {tiny.MAX_POSITIONS + 1}; the model's context "
        r"window is 2048"
    )
    with pytest.raises(PromptTooLongError, match=text):
        encode_prompt_text(loaded, "hello", max_new_tokens=room + 1)


def test_a_long_choice_or_a_long_generation_is_too_long_as_well() -> None:
    long_choice = dataclasses.replace(
        CAPITAL, choices=("x" * tiny.MAX_POSITIONS, "y"), gold_index=1
    )
    with pytest.raises(PromptTooLongError, match="2049 for the answer"):
        encode_example(loaded_tiny(), ChoiceTask(), long_choice)
    with pytest.raises(PromptTooLongError, match="2048 for the answer"):
        encode_example(loaded_tiny(), GenerateTask(max_new_tokens=tiny.MAX_POSITIONS), SUM)


def test_an_empty_choice_and_an_empty_prompt_are_refused() -> None:
    with pytest.raises(PromptError, match="choice '' has no token"):
        encode_example(
            loaded_tiny(chat=True), ChoiceTask(), dataclasses.replace(CAPITAL, choices=("", "y"))
        )
    loaded = loaded_tiny()
    loaded.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    with pytest.raises(PromptError, match="the prompt is empty"):
        encode_prompt_text(loaded, "")


def test_encoded_examples_compare_by_content() -> None:
    assert EncodedExample(context_ids=(1,), choice_ids=((2,),)) == EncodedExample(
        context_ids=(1,), choice_ids=((2,),)
    )
