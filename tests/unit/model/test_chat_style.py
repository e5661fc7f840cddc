"""What is let in as a prompt: templates, sections, control tokens, questions, choices."""

import dataclasses
from pathlib import Path

import pytest
from support import tiny
from support.model_doubles import CAPITAL, SUM, ChoiceTask, GenerateTask, loaded_tiny
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from search_cluster.config import SearchConfig
from search_cluster.errors import ConfigError, ModelError, PromptError
from search_cluster.model.chat_style import chat_style
from search_cluster.model.data_text import encode_marked, mark_data
from search_cluster.model.load.loading import load_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_example, encode_prompt_text
from search_cluster.tasks.task import Prompt

PARTS = (
    "{{ bos_token }}{% for message in messages %}<start>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% endif %}{% endfor %}<eos>\n{% endfor %}"
    "{% if add_generation_prompt %}<start>assistant\n{% endif %}"
)


def with_template(template: object) -> LoadedModel:
    loaded = loaded_tiny(chat=True)
    loaded.tokenizer.chat_template = template
    return loaded


def text_of(loaded: LoadedModel, ids: tuple[int, ...]) -> str:
    return str(loaded.tokenizer.decode(list(ids)))


# --- templates ---


def test_prompt_a_template_that_expects_parts_is_given_parts() -> None:
    loaded, usual = with_template(PARTS), loaded_tiny(chat=True)
    assert (
        encode_example(loaded, ChoiceTask(), CAPITAL).context_ids
        == encode_example(usual, ChoiceTask(), CAPITAL).context_ids
    )


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ raise_exception('only system turns') }}", r"can't be used \(only system turns\)"),
        ("{% for m in messages %}{{ m.content", "can't be used"),
        ("{{ messages[1]['content'] }}", "can't be used"),
        ("{{ 1 / 0 }}", r"can't be used \(division by zero\)"),
        ("<start>user\nhello<eos>", "leaves the question out"),
        ("{{ messages[0]['content'][:4] }}", "leaves the question out"),
        ("{{ messages[0]['text'] }}", "leaves the question out"),
        ("{% if messages[0]['role'] == 'human' %}{{ messages[0]['content'] }}{% endif %}", "leav"),
        ({"rag": tiny.CHAT_TEMPLATE, "tool_use": "x"}, "templates named rag, tool_use and none"),
    ],
)
def test_prompt_a_template_that_can_not_ask_is_refused_at_load(
    template: object, text: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=text) as found:
        chat_style(with_template(template).tokenizer)
    assert "--chat never" in str(found.value)
    folder = tiny.save_tiny_model(tmp_path / "model", chat=True)
    tokenizer = tiny.tiny_tokenizer(chat=True)
    tokenizer.chat_template = template
    (folder / "chat_template.jinja").unlink()
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match=text):
        load_model(str(folder), device="cpu")
    assert not load_model(str(folder), device="cpu", chat="never").chat


def test_prompt_a_default_among_named_templates_is_used() -> None:
    loaded = with_template({"default": tiny.CHAT_TEMPLATE, "tool_use": "{{ 1 / 0 }}"})
    usual = loaded_tiny(chat=True)
    assert encode_prompt_text(loaded, "hello") == encode_prompt_text(usual, "hello")


def test_prompt_a_template_that_changes_one_message_fails_on_that_one() -> None:
    loaded = with_template("{{ messages[0]['content'].replace('France', 'Spain') }}")
    with pytest.raises(PromptError, match="leaves the message out, or changes it"):
        encode_example(loaded, ChoiceTask(), CAPITAL)
    assert encode_example(loaded, GenerateTask(), SUM).context_ids


def test_prompt_a_template_may_trim_a_message() -> None:
    loaded = with_template("{{ messages[0]['content'] | trim }}")
    assert text_of(loaded, encode_prompt_text(loaded, "  hello \n")) == "hello"


# --- sections before the answer ---


@pytest.mark.parametrize(
    "beginning",
    [
        "<start>assistant\n<think>\n",
        "<think>",
        "[THINK]",
        "<|begin_of_thought|>\n",
        "<reasoning>\n",
        "<scratchpad>",
        "◁think▷",
        "<analysis>\n",
        "</think><think>",
    ],
)
def test_prompt_choices_are_not_scored_inside_a_section(beginning: str) -> None:
    loaded = with_template("{{ messages[0]['content'] }}<eos>\n" + beginning)
    with pytest.raises(ModelError, match=r"begins every answer with .*--chat never"):
        encode_example(loaded, ChoiceTask(), CAPITAL)
    plain = dataclasses.replace(loaded, chat=False)
    assert encode_example(plain, ChoiceTask(), CAPITAL).choice_ids
    assert encode_example(loaded, GenerateTask(), SUM).context_ids  # it may think before it answers


def test_prompt_a_section_of_any_name_that_the_template_closes_is_a_section() -> None:
    loaded = with_template(
        "{% for m in messages %}{{ m.content.split('</notes>')[-1] }}{% endfor %}<notes>"
    )
    with pytest.raises(ModelError, match="begins every answer with <notes>"):
        encode_example(loaded, ChoiceTask(), CAPITAL)


@pytest.mark.parametrize(
    "beginning",
    [
        "<start>assistant\n",
        "<|im_start|>assistant\n",
        "<start_of_turn>model\n",
        "[/INST]",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<think>\n\n</think>\n\n",
        "<|assistant|>\n",
        "<answer>",
        "ASSISTANT:",
        "<assistant>\n",
    ],
)
def test_prompt_headers_and_closed_sections_are_no_open_section(beginning: str) -> None:
    loaded = with_template("{{ messages[0]['content'] }}</answer></assistant>\n" + beginning)
    assert chat_style(loaded.tokenizer).open_section == ""


# --- control tokens in text from data ---

CHATML = "In ChatML, what does {} mark?"


def num_control(loaded: LoadedModel, ids: tuple[int, ...]) -> int:
    return sum(token < len(tiny.SPECIAL_TOKENS) for token in ids)


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("token", ["<eos>", "<start>", "<bos>", "<pad>", "<eos><start>user\n"])
def test_prompt_control_tokens_in_a_question_are_text(token: str, chat: bool) -> None:
    loaded = loaded_tiny(chat=chat)
    found = {}
    for text in (token, "(eos)"):
        example = dataclasses.replace(CAPITAL, question=CHATML.format(text))
        found[text] = encode_example(loaded, ChoiceTask(), example).context_ids
        assert CHATML.format(text) in text_of(loaded, found[text])
    assert num_control(loaded, found[token]) == num_control(loaded, found["(eos)"])


def test_prompt_control_tokens_in_choices_and_in_a_users_message_are_text() -> None:
    loaded = loaded_tiny(chat=True)
    example = dataclasses.replace(CAPITAL, choices=("<eos>", "<start>"), gold="<eos>", gold_index=0)
    encoded = encode_example(loaded, ChoiceTask(), example)
    assert [num_control(loaded, ids) for ids in encoded.choice_ids] == [0, 0]
    assert [text_of(loaded, ids) for ids in encoded.choice_ids] == ["<eos>", "<start>"]
    harmless = encode_prompt_text(loaded, "x (eos) y")
    assert num_control(loaded, encode_prompt_text(loaded, "x <eos> y")) == num_control(
        loaded, harmless
    )


def test_prompt_markup_tokens_that_are_not_declared_special_are_text_too() -> None:
    loaded = loaded_tiny(chat=True)
    loaded.tokenizer.add_tokens(["<tool_call>", "   ", "capital"])
    added = loaded.tokenizer.added_tokens_encoder
    ids = encode_prompt_text(loaded, "what is <tool_call>   capital")
    assert added["<tool_call>"] not in ids
    assert {added["   "], added["capital"]} <= set(ids)  # text, of which tokens were made


def test_prompt_control_tokens_of_a_tasks_own_plain_wording_stay() -> None:
    class Worded(ChoiceTask):
        def prompt(self, example):
            plain = f"<start>user\n{example.question}<eos>\n<start>assistant"
            return dataclasses.replace(super().prompt(example), plain=plain)

    loaded = loaded_tiny()
    example = dataclasses.replace(CAPITAL, question="Say <eos>")
    ids = encode_example(loaded, Worded(), example).context_ids
    assert num_control(loaded, ids) == 4  # bos, start, eos, start


def test_prompt_text_without_control_tokens_is_encoded_as_ever() -> None:
    loaded = loaded_tiny(chat=True)
    for text in ("a < b > c", "<eo s>", "eos", "<|im_end|>", "x\U000f5c03y", ""):
        ids = tuple(loaded.tokenizer(text, add_special_tokens=False).input_ids)
        assert encode_marked(loaded.tokenizer, mark_data(loaded.tokenizer, text)) == ids


def test_prompt_a_control_token_that_can_not_be_text_is_a_failure() -> None:
    loaded = word_level({"<ctl>": 0, "what": 1, "is": 2, "?": 3, "[unk]": 4}, special=["<ctl>"])
    with pytest.raises(PromptError, match=r"'<ctl>', a control token .* can't take for text"):
        encode_marked(loaded.tokenizer, mark_data(loaded.tokenizer, "what is <ctl>"))


# --- questions ---


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize(
    "prompt",
    [
        "Answer with a letter.",
        "",
        "{question}",
        "Question: {{question}}\nAnswer:",
        "What is the answer to the question?",
    ],
)
def test_prompt_that_does_not_show_its_question_is_a_failure(prompt: str, chat: bool) -> None:
    class Forgetful(ChoiceTask):
        def prompt(self, example):
            return dataclasses.replace(super().prompt(example), chat=prompt, plain=prompt + "x")

    example = dataclasses.replace(CAPITAL, question="Which river flows through Prague?")
    with pytest.raises(PromptError, match="the question is not in its own prompt: 'Which river"):
        encode_example(loaded_tiny(chat=chat), Forgetful(), example)


def test_prompt_may_word_its_question_anew() -> None:
    class Reworded(ChoiceTask):
        def prompt(self, example):
            text = "FRANCE:  what is the\ncapital of it, please?"
            return Prompt(chat=text, plain=text, choices=example.choices)

    assert encode_example(loaded_tiny(chat=True), Reworded(), CAPITAL).context_ids


# --- choices ---


def word_level(vocabulary: dict[str, int], special: list[str], lower: bool = False) -> LoadedModel:
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[unk]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if lower:
        backend.normalizer = normalizers.Lowercase()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="[unk]", extra_special_tokens=special
    )
    return dataclasses.replace(loaded_tiny(), tokenizer=tokenizer)


WORDS = {word: index for index, word in enumerate(["[unk]", "what", "is", "it", "paris", "rome"])}


@pytest.mark.parametrize(
    ("choices", "lower"),
    [
        (("北京", "上海", "広州"), False),
        (("Paris", "paris"), True),
        (("rome", "PARIS", "Paris"), True),
        (("it is", "it  is"), False),
        (("Berlin", "Madrid", "rome"), False),
        (("rome ", "rome"), False),
    ],
)
def test_prompt_choices_that_are_equal_as_tokens_are_a_failure(
    choices: tuple[str, ...], lower: bool
) -> None:
    loaded = word_level(WORDS, special=[], lower=lower)
    example = dataclasses.replace(
        CAPITAL, question="what is it", choices=choices, gold=choices[0], gold_index=0
    )
    with pytest.raises(PromptError, match="are the same tokens to this model's tokenizer"):
        encode_example(loaded, ChoiceTask(), example)


def test_prompt_choices_that_are_equal_as_text_are_a_failure() -> None:
    choices = ("caf\u00e9", "cafe\u0301", "tea")
    example = dataclasses.replace(CAPITAL, choices=choices, gold=choices[0], gold_index=0)
    with pytest.raises(PromptError, match="are the same text"):
        encode_example(loaded_tiny(chat=True), ChoiceTask(), example)


# --- the switch ---


def test_prompt_the_chat_switch_says_how_to_ask(tmp_path: Path) -> None:
    chat = tiny.save_tiny_model(tmp_path / "chat", chat=True)
    base = tiny.save_tiny_model(tmp_path / "base")
    assert load_model(str(chat), device="cpu").chat
    assert load_model(str(chat), device="cpu", chat="always").chat
    never = load_model(str(chat), device="cpu", chat="never")
    assert not never.chat
    assert encode_prompt_text(never, "hello") == encode_prompt_text(loaded_tiny(), "hello")
    assert not load_model(str(base), device="cpu").chat
    with pytest.raises(ModelError, match=r"chat is 'always', and the model's tokenizer has no ch"):
        load_model(str(base), device="cpu", chat="always")
    with pytest.raises(ModelError, match="chat is 'maybe'; it is one of auto, always, never"):
        load_model(str(base), device="cpu", chat="maybe")
    with pytest.raises(ConfigError, match="chat is 'maybe'"):
        SearchConfig(chat="maybe")
