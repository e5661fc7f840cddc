"""Which tasks of the harness are ours, and how their answers are graded."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")

from lm_eval.tasks import TaskManager
from support.harness_files import SUMS, write_harness_task

from search_cluster.errors import TaskError
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.sources.harness.grading import gold_answers, gold_text

GENERATE: dict[str, Any] = {
    "output_type": "generate_until",
    "doc_to_text": "{{a}} + {{b}} =",
    "doc_to_target": "sum",
    "generation_kwargs": {"until": "\n"},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
CHOICE: dict[str, Any] = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{a}} + {{b}} =",
    "doc_to_choice": ["1", "3"],
    "doc_to_target": 0,
}


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"output_type": "loglikelihood_rolling"}, "output_type 'loglikelihood_rolling'"),
        ({"output_type": "loglikelihood"}, "output_type 'loglikelihood'"),
        ({"repeats": 4}, r"4 answers to each question \(repeats\)"),
        ({"generation_kwargs": {"do_sample": True, "temperature": 0.7}}, "sampled answers"),
        ({"metric_list": [{"metric": "bleu"}]}, "the metrics bleu; generated answers need exact"),
        (
            {"filter_list": [{"name": "x", "filter": [{"function": "custom"}]}]},
            "the answer filters custom",
        ),
        ({"doc_to_image": "image"}, "images"),
        ({"unsafe_code": True}, "answers that are run as programs"),
        (
            {**CHOICE, "metric_list": [{"metric": "brier_score"}]},
            "the metrics brier_score, none of",
        ),
    ],
)
def test_what_cannot_be_mapped_is_refused_with_its_reason(
    keys: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    file = write_harness_task(tmp_path, "odd", {"test": SUMS}, **{**GENERATE, **keys})
    with pytest.raises(TaskError, match=rf"^the harness' task odd has {reason}.*can't be searched"):
        get_task(str(file))


def test_results_that_a_task_computes_by_itself_are_refused(tmp_path: Path) -> None:
    text = "process_results: !function utils.results\n"
    file = write_harness_task(tmp_path, "odd", {"test": SUMS}, text, **GENERATE)
    with pytest.raises(TaskError, match="function of its own that computes its results"):
        get_task(str(file))


def test_names_of_the_harness() -> None:
    task = get_task("lm-eval:arc_easy")
    assert (task.name, task.kind.value, task.max_new_tokens) == ("lm-eval:arc_easy", "choice", 0)
    with pytest.raises(TaskError, match=r"knows no task 'arc_eas' \(did you mean arc_easy"):
        get_task("lm-eval:arc_eas")
    with pytest.raises(TaskError, match=r"'mmlu' is a group .* such as lm-eval:mmlu_"):
        get_task("lm-eval:mmlu")
    with pytest.raises(TaskError, match=r"'num_fewshots' is no option .*did you mean num_fewshot"):
        get_task("lm-eval:arc_easy?num_fewshots=2")
    with pytest.raises(TaskError, match="num_fewshot is '-1'; it is a whole number from 0"):
        get_task("lm-eval:arc_easy?num_fewshot=-1")
    with pytest.raises(TaskError, match="--include-path /nowhere is no folder"):
        get_task("lm-eval:arc_easy?include_path=/nowhere")
    with pytest.raises(TaskError, match=r"has no filter 'strict'; it has strict-match, flexible"):
        get_task("lm-eval:gsm8k?filter=strict")


def test_a_task_of_ones_own_comes_before_the_harness_own(tmp_path: Path) -> None:
    write_harness_task(tmp_path, "arc_easy", {"test": SUMS}, **GENERATE)
    assert get_task(f"lm-eval:arc_easy?include_path={tmp_path}").kind.value == "generate"


@pytest.mark.parametrize(
    ("exact", "filters", "outputs"),
    [
        ({}, None, ["1", " 1", "1.", "3"]),
        ({"ignore_case": True, "ignore_punctuation": True}, None, ["1.", "(1)", "11"]),
        (
            {"regexes_to_ignore": [",", r"\$"]},
            [{"function": "regex", "regex_pattern": r"(\d[\d,]*)"}, {"function": "take_first"}],
            ["It is $1,", "no number", "2 or 1", "1"],
        ),
        (
            {},
            [{"function": "remove_whitespace"}, {"function": "take_first"}],
            [" 1", "1 ", "\n1"],
        ),
        (
            {},
            [
                {"function": "regex", "group_select": -1, "regex_pattern": r"(\d)"},
                {"function": "take_first"},
            ],
            ["2 or 1", "1 or 2"],
        ),
    ],
)
def test_rewards_are_what_the_harness_computes(
    exact: dict[str, Any], filters: list[dict[str, Any]] | None, outputs: list[str], tmp_path: Path
) -> None:
    metric = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, **exact}
    more = {} if filters is None else {"filter_list": [{"name": "own", "filter": filters}]}
    file = write_harness_task(
        tmp_path, "sums", {"test": SUMS}, **{**GENERATE, "metric_list": [metric], **more}
    )
    ours = get_task(str(file))
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    theirs = manager.load(["sums"])["tasks"]["sums"]
    (example, *_) = [item for item in ours.load("train", None).examples if item.gold == "1"] or [
        Example(task="x", question="0 + 1 =", gold="1", split="test", source="")
    ]
    for output in outputs:
        theirs.build_all_requests(limit=1)
        (request,) = theirs.instances
        request.resps = [output]
        theirs.apply_filters()
        (filtered,) = request.filtered_resps.values()
        expected = theirs.process_results(SUMS[0], [filtered])["exact_match"]
        assert ours.grade(example, output) == float(expected), output


def test_several_right_answers() -> None:
    assert gold_answers(gold_text(["a", "b"])) == ["a", "b"]
    assert gold_text(["a"]) == "a"
    assert gold_answers(gold_text(['["a"]'])) == ['["a"]']


def test_one_of_several_right_answers_is_enough(tmp_path: Path) -> None:
    file = write_harness_task(
        tmp_path, "names", {"test": SUMS}, **{**GENERATE, "doc_to_target": "names"}
    )
    task = get_task(str(file))
    (example,) = [item for item in task.load("test", None).examples if "y7" in item.gold] or [
        item for item in task.load("train", None).examples if "y7" in item.gold
    ]
    assert [task.grade(example, text) for text in ("x", "y7", "y8")] == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    "change",
    [
        {"doc_to_text": "{{a}} plus {{b}} ="},
        {"num_fewshot": 1},
        {"target_delimiter": "\n"},
        {"generation_kwargs": {"until": ["."]}},
    ],
)
def test_a_change_of_the_file_is_another_version(change: dict[str, Any], tmp_path: Path) -> None:
    file = write_harness_task(tmp_path, "sums", {"test": SUMS}, **GENERATE)
    before = get_task(str(file)).version
    assert get_task(str(file)).version == before
    write_harness_task(tmp_path, "sums", {"test": SUMS}, **{**GENERATE, **change})
    assert get_task(str(file)).version != before


def test_an_included_file_counts(tmp_path: Path) -> None:
    (tmp_path / "_base.yaml").write_text("doc_to_text: '{{a}} and {{b}}'\n")
    keys = {key: value for key, value in GENERATE.items() if key != "doc_to_text"}
    file = write_harness_task(tmp_path, "sums", {"test": SUMS}, include="_base.yaml", **keys)
    task = get_task(str(file))
    prompts = {task.prompt(item).plain for item in task.load("test", None).examples}
    assert prompts <= {f"{row['a']} and {row['b']}" for row in SUMS}
    (tmp_path / "_base.yaml").write_text("include: _base.yaml\n")
    with pytest.raises(TaskError, match="includes itself"):
        get_task(str(file))
