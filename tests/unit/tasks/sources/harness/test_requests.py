"""Prompts of the harness' tasks are its own, byte for byte."""

import os
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")

from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from support.harness_files import RIVERS, SUMS, write_harness_task
from support.loaded_tiny import loaded_tiny

from search_cluster.errors import TaskError
from search_cluster.model.prompting import encode_example
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.task import AnswerKind, Prompt, Task

CHOICE = {
    "output_type": "multiple_choice",
    "doc_to_text": "Question: {{q}}\nAnswer:",
    "doc_to_choice": "options",
    "doc_to_target": "label",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
GENERATE = {
    "output_type": "generate_until",
    "doc_to_text": "{{a}} + {{b}} =",
    "doc_to_target": "sum",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
SPLITS = {"training": RIVERS[:8], "validation": RIVERS[8:10], "test": RIVERS[10:]}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))


def told_by_harness(file: Path, name: str, num_fewshot: int | None = None) -> list[list[str]]:
    """Context and continuation of each request, a list for each question, as the harness asks."""
    os.environ["TQDM_DISABLE"] = "1"
    manager = TaskManager(include_path=str(file.parent), include_defaults=False)
    task = manager.load([name])["tasks"][name]
    if num_fewshot is not None and task.get_config("num_fewshot") != 0:
        task.set_config("num_fewshot", num_fewshot)
    task.set_fewshot_seed(1234)
    task.build_all_requests()
    told: dict[int, list[str]] = {}
    for request in task.instances:
        before, after = request.arguments
        text = before if request.request_type == "generate_until" else before + after
        told.setdefault(request.doc_id, []).append(text)
    return list(told.values())


def told_by_us(task: Task, split: str) -> list[list[str]]:
    prompts = [task.prompt(example) for example in task.load(split, None).examples]
    return [_texts(prompt, task.kind) for prompt in prompts]


def _texts(prompt: Prompt, kind: AnswerKind) -> list[str]:
    if kind is AnswerKind.GENERATE:
        return [prompt.plain]
    return [prompt.plain + prompt.delimiter + choice for choice in prompt.choices]


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no_delimiter": {"target_delimiter": "", "doc_to_text": "{{q}}\nAnswer: "},
    "two_spaces": {"doc_to_text": "{{q}}\nAnswer: "},
    "newline": {"target_delimiter": "\n"},
    "words_between": {"target_delimiter": " It is "},
    "described": {"description": "Rivers, {{hint}}"},
    "letters": {
        "doc_to_text": "{{hint}}{{q}}\n{% for o in options %}{{'ABC'[loop.index0]}}. {{o}}\n"
        "{% endfor %}Answer:",
        "doc_to_choice": ["A", "B", "C"],
    },
    "literal": {"doc_to_choice": "{{[options[0], options[1], 'no river']}}"},
    "gen_prefix": {"gen_prefix": "It is"},
    "few": {"num_fewshot": 2},
    "few_own_form": {
        "num_fewshot": 3,
        "fewshot_delimiter": "\n###\n",
        "fewshot_config": {"doc_to_text": "Known: {{q}}", "sampler": "first_n"},
    },
    "few_of_test": {"num_fewshot": 1, "fewshot_split": "test"},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_prompts_of_choices_are_the_harness_own(name: str, tmp_path: Path) -> None:
    file = write_harness_task(tmp_path, name, SPLITS, **{**CHOICE, **VARIANTS[name]})
    task = get_task(f"lm-eval:{name}?include_path={tmp_path}")
    told = told_by_us(task, "test")
    assert told == told_by_harness(file, name)
    assert len(told) == 2
    assert all(
        not task.prompt(item).plain[-1].isspace() for item in task.load("test", None).examples
    )


@pytest.mark.parametrize("num_fewshot", [0, 1, 4])
def test_the_number_of_shown_examples_can_be_set(num_fewshot: int, tmp_path: Path) -> None:
    file = write_harness_task(tmp_path, "few", SPLITS, **CHOICE, num_fewshot=2)
    task = get_task(f"{file}?num_fewshot={num_fewshot}")
    told = told_by_us(task, "test")
    assert told == told_by_harness(file, "few", num_fewshot)
    assert told[0][0].count("Question:") == num_fewshot + 1


def test_a_zero_of_the_file_stays_as_in_the_harness(tmp_path: Path) -> None:
    file = write_harness_task(tmp_path, "zero", SPLITS, **CHOICE, num_fewshot=0)
    assert told_by_us(get_task(f"{file}?num_fewshot=3"), "test") == told_by_harness(file, "zero", 3)


def test_each_choice_may_have_a_context_of_its_own(tmp_path: Path) -> None:
    keys = {
        **CHOICE,
        "doc_to_text": "label",
        "doc_to_choice": "{{['The map shows ' + options[0], 'The map shows ' + options[1]]}}",
        "doc_to_target": "and it is {{hint}}",
    }
    rows = [{**row, "label": row["label"] % 2} for row in RIVERS]
    file = write_harness_task(tmp_path, "inputs", {"test": rows[:3], "training": rows[3:]}, **keys)
    task = get_task(str(file))
    assert told_by_us(task, "test") == told_by_harness(file, "inputs")
    first = task.load("test", None).examples[0]
    assert (first.question, first.gold_index) == ("The map shows ", 0)
    assert first.choices[0] == "Aare 0 and it is It is long, 0. "


@pytest.mark.parametrize(
    "more", [{}, {"doc_to_text": "{{a}} + {{b}} = "}, {"num_fewshot": 2}, {"gen_prefix": "Well:"}]
)
def test_prompts_of_generated_answers_are_the_harness_own(
    more: dict[str, Any], tmp_path: Path
) -> None:
    parts = {"training": SUMS[:8], "test": SUMS[8:]}
    file = write_harness_task(tmp_path, "sums", parts, **{**GENERATE, **more})
    task = get_task(str(file))
    assert told_by_us(task, "test") == told_by_harness(file, "sums")
    assert (task.max_new_tokens, task.stop_strings) == (4, ("\n",))
    assert task.load("test", None).examples[0].gold == "17"


def test_a_question_of_train_never_shows_its_own_answer(tmp_path: Path) -> None:
    file = write_harness_task(tmp_path, "few", SPLITS, **CHOICE, num_fewshot=7)
    examples = get_task(str(file)).load("train", None).examples
    assert len(examples) == 8
    for example in examples:
        asked = example.question.rpartition("Question: ")[2]
        assert example.question.count(asked) == 1


def test_functions_of_a_task_file_word_its_questions(tmp_path: Path) -> None:
    (tmp_path / "words.py").write_text(
        "def text(doc):\n    return f\"Say: {doc['q']}\"\n\n"
        "def docs(dataset):\n    return dataset.filter(lambda doc: doc['label'] != 2)\n"
    )
    keys = {key: value for key, value in CHOICE.items() if key != "doc_to_text"}
    file = write_harness_task(
        tmp_path,
        "own",
        SPLITS,
        "doc_to_text: !function words.text\nprocess_docs: !function words.docs\n",
        **keys,
    )
    task = get_task(str(file))
    assert told_by_us(task, "test") == told_by_harness(file, "own")
    assert [item.question for item in task.load("test", None).examples] == [
        "Say: Which river is number 10? "
    ]
    before = task.version
    (tmp_path / "words.py").write_text((tmp_path / "words.py").read_text() + "\n# changed\n")
    assert get_task(str(file)).version != before


def test_missing_splits_are_cut_from_the_first_part(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{**RIVERS[0], "q": f"Which river, {number}?"} for number in range(60)]
    two = write_harness_task(
        tmp_path, "two", {"training": rows[:50], "validation": rows[50:]}, **CHOICE
    )
    task = get_task(str(two))
    sizes = {
        split: len(task.load(split, None).examples) for split in ("train", "validation", "test")
    }
    assert sizes["test"] == 10
    assert sizes["train"] + sizes["validation"] == 50
    assert sizes["train"] > 4 * sizes["validation"] > 0
    assert "its part 'training' is cut by hash of the question into 85 % train" in caplog.text
    one = write_harness_task(tmp_path / "one", "one", {"test": rows}, **CHOICE)
    parts = [
        get_task(str(one)).load(split, None).examples for split in ("train", "validation", "test")
    ]
    assert sum(map(len, parts)) == 60
    assert all(parts)
    assert {example.split for example in parts[1]} == {"validation"}


def test_a_question_of_test_is_not_asked_in_train(tmp_path: Path) -> None:
    parts = {"training": RIVERS[:6], "test": [*RIVERS[4:6], *RIVERS[8:]]}
    task = get_task(str(write_harness_task(tmp_path, "twice", parts, **CHOICE, num_fewshot=1)))
    asked = {
        split: {
            item.question.rpartition("Question: ")[2] for item in task.load(split, None).examples
        }
        for split in ("train", "test")
    }
    assert not asked["train"] & asked["test"]
    assert len(asked["test"]) == 6


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": 3}, r"the answer is 3; the choices are 0 to 2"),
        ({"options": ["a", "a"], "label": 0}, r"two of the choices \['a', 'a'\] are the same text"),
        ({"options": ["a", " "], "label": 0}, r"is empty"),
        ({"options": ["a"], "label": 0}, r"1 choices; a question has at least 2"),
    ],
)
def test_rows_that_cannot_be_asked_are_malformed(
    change: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    file = write_harness_task(
        tmp_path,
        "bad",
        {"test": [RIVERS[0], {**RIVERS[1], **change}], "training": RIVERS[2:]},
        **CHOICE,
    )
    loaded = get_task(str(file)).load("test", None)
    assert len(loaded.examples) == 1
    (row,) = loaded.malformed
    assert row.source == "json/test:1"
    assert re.search(reason, row.reason)


def test_a_template_error_is_one_line_that_names_the_question(tmp_path: Path) -> None:
    file = write_harness_task(tmp_path, "typo", SPLITS, **{**CHOICE, "doc_to_text": "{{quest}}"})
    with pytest.raises(TaskError, match=r"task typo \(UndefinedError: 'quest' is undefined\)"):
        get_task(str(file)).load("test", None)


def test_data_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    file = write_harness_task(tmp_path, "gone", SPLITS, **CHOICE)
    (tmp_path / "gone_test.jsonl").unlink()
    with pytest.raises(TaskError, match=r"the harness can't load the data of its task gone \(File"):
        get_task(str(file)).load("test", None)


@pytest.mark.parametrize("name", ["plain", "no_delimiter", "two_spaces", "newline", "few"])
def test_a_model_reads_the_tokens_that_the_harness_gives_it(name: str, tmp_path: Path) -> None:
    loaded = loaded_tiny()
    file = write_harness_task(tmp_path, name, SPLITS, **{**CHOICE, **VARIANTS[name]})
    task = get_task(str(file))
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    theirs = manager.load([name])["tasks"][name]
    theirs.set_fewshot_seed(1234)
    theirs.build_all_requests()
    lm = HFLM(pretrained=loaded.model, tokenizer=deepcopy(loaded.tokenizer), backend="causal")
    pairs = [lm._encode_pair(*request.arguments) for request in theirs.instances]
    examples = task.load("test", None).examples
    ours = [
        (list(encoded.context_ids), list(ids))
        for encoded in (encode_example(loaded, task, example) for example in examples)
        for ids in encoded.choice_ids
    ]
    assert [after for _, after in ours] == [after for _, after in pairs]
    assert all(
        before[-len(theirs_before) :] == theirs_before
        for (before, _), (theirs_before, _) in zip(ours, pairs, strict=True)
    )
