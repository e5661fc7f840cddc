"""What a chat template writes where the answer begins, and text that becomes a control token."""

import dataclasses
import json
from pathlib import Path

import pytest
from support import tiny
from support.model_doubles import CAPITAL, ChoiceTask, loaded_tiny

from search_cluster.errors import ModelError, PromptError
from search_cluster.model.answer_start import open_section
from search_cluster.model.chat_style import chat_style
from search_cluster.model.load.loading import load_model
from search_cluster.model.prompting import encode_example, require_askable

TURN = "<eos>\n<start>assistant\n"


def template(beginning: str) -> str:
    return (
        "{% for m in messages %}<start>{{ m['role'] }}\n{{ m['content'] }}<eos>\n{% endfor %}"
        "{% if add_generation_prompt %}<start>assistant\n" + beginning + "{% endif %}"
    )


def notes(text: str) -> list[str]:
    loaded = loaded_tiny(chat=True)
    loaded.tokenizer.chat_template = text
    return require_askable(loaded, ChoiceTask())


@pytest.mark.parametrize(
    "beginning",
    [
        '<thinking mode="deep">\n',
        "< think >\n",
        "<inner_monologue>",
        "<|channel|>analysis<|message|>",
        "<|im_start|>think\n",
        "【思考】",
        "# Reasoning\n",
        "Let me think step by step.\n",
        "<unused94>thought\n",
        "<think>\n</think>\n<think>",
        "<|START_THINKING|>",
    ],
)
def test_prompt_sections_in_any_notation_are_sections(beginning: str) -> None:
    with pytest.raises(ModelError, match="begins every answer with"):
        notes(template(beginning))


@pytest.mark.parametrize(
    "beginning",
    [
        "",
        "<think>\n\n</think>\n\n",
        "<|START_THINKING|><|END_THINKING|>",
        "<|think_start|><|think_end|>",
        "<|begin_of_thought|>..<|end_of_thought|><|begin_of_solution|>",
        "<|channel|>analysis<|message|><|end|><|start|>assistant<|channel|>final<|message|>",
        '<think a="1"></think>',
        "[THINK][/THINK]",
        "Answer:",
        "<answer>",
    ],
)
def test_prompt_closed_sections_and_headers_of_answers_are_none(beginning: str) -> None:
    assert notes(template(beginning)) == []
    assert open_section(TURN + beginning, TURN, "") == ""


@pytest.mark.parametrize("beginning", ["<tool_call>\n", "```json\n", "Sure! Here it is:\n"])
def test_prompt_any_other_text_in_front_of_every_answer_is_said(beginning: str) -> None:
    (line,) = notes(template(beginning))
    assert f"begins every answer with {beginning.strip()!r}" in line


def test_prompt_a_template_that_does_not_open_the_turn_of_the_answer_is_said() -> None:
    (line,) = notes(template("").partition("{% if add")[0])
    assert "does not open the turn of the answer: '<start>assistant'" in line


def test_prompt_a_template_without_headers_has_nothing_to_open() -> None:
    text = (
        "{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
        "{% else %} {{ m['content'] }}<eos>{% endif %}{% endfor %}"
    )
    assert notes(text) == []


def test_prompt_a_date_is_the_fixed_one_in_any_format() -> None:
    loaded = loaded_tiny(chat=True)
    loaded.tokenizer.chat_template = "{{ strftime_now('%F %e %-H %B') }}" + template("")
    ids = encode_example(loaded, ChoiceTask(), CAPITAL).context_ids
    assert str(loaded.tokenizer.decode(list(ids))).startswith("2024-07-26 26 0 July<start>")
    assert "strftime_now" in chat_style(loaded.tokenizer).template


@pytest.mark.parametrize("chat", ["auto", "never"])
@pytest.mark.parametrize(
    "question", ["What is <EOS> for?", "What is ＜eos＞ for?", "<Start>assistant", "<eos> <EOS>"]
)
def test_prompt_text_that_the_tokenizer_turns_into_a_control_token_is_text(
    tmp_path: Path, question: str, chat: str
) -> None:
    folder = tiny.save_tiny_model(tmp_path / "model", chat=True)
    file = folder / "tokenizer.json"
    settings = json.loads(file.read_text())
    settings["normalizer"] = {
        "type": "Sequence",
        "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}],
    }
    for token in settings["added_tokens"]:
        token["normalized"] = True
    file.write_text(json.dumps(settings))
    loaded = load_model(str(folder), device="cpu", chat=chat, self_test=False)

    def control(text: str) -> list[int]:
        example = dataclasses.replace(CAPITAL, question=text)
        ids = encode_example(loaded, ChoiceTask(), example).context_ids
        return [index for index in ids if index in loaded.tokenizer.added_tokens_decoder]

    assert control(question) == control("What is it for?")


@pytest.mark.parametrize(
    ("question", "shown"),
    [
        ("  What is <eos>?  ", "What is <eos>?"),
        ("Read:\n  the <eos> token\nWhat is it?", "Read: the <eos> token What is it?"),
        ("What is <eos>?", "What is <eos>?"),
    ],
)
def test_prompt_control_tokens_are_text_however_a_task_lays_its_question_out(
    question: str, shown: str
) -> None:
    class Stripping(ChoiceTask):
        def prompt(self, example):
            return dataclasses.replace(super().prompt(example), plain=f"Q: {shown}\nA:")

    loaded = loaded_tiny()
    example = dataclasses.replace(CAPITAL, question=question, choices=("<eos>", "Paris"))
    ids = encode_example(loaded, Stripping(), example).context_ids
    assert [i for i in ids if i in loaded.tokenizer.added_tokens_decoder] == [tiny.BOS_ID]
    assert str(loaded.tokenizer.decode(list(ids[1:]))) == f"Q: {shown}\nA:"


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("question", ["", "   ", "\n\t"])
def test_prompt_an_empty_question_is_a_failure(question: str, chat: bool) -> None:
    example = dataclasses.replace(CAPITAL, question=question)
    with pytest.raises(PromptError, match="the question is empty"):
        encode_example(loaded_tiny(chat=chat), ChoiceTask(), example)


@pytest.mark.parametrize("chat", [True, False])
def test_prompt_text_with_the_marks_of_control_tokens_is_a_failure(chat: bool) -> None:
    example = dataclasses.replace(CAPITAL, question="\U000f5c01What\U000f5c02?")
    with pytest.raises(PromptError, match="holds U\\+F5C01"):
        encode_example(loaded_tiny(chat=chat), ChoiceTask(), example)
