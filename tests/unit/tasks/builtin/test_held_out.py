"""Benchmarks that are asked for judging alone, most without a training part; and sentiment."""

import json
import os
from pathlib import Path

import datasets
import pytest

from search_cluster.errors import TaskError
from search_cluster.tasks.benchmarks.agieval import convert_agieval
from search_cluster.tasks.benchmarks.aime import convert_aime
from search_cluster.tasks.benchmarks.squad import UNANSWERABLE, convert_squad, grade_squad
from search_cluster.tasks.benchmarks.sst2 import convert_sst2
from search_cluster.tasks.example import Example
from search_cluster.tasks.raw_examples import RowError
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.splits import normalize_text

AGIEVAL = {
    "passage": "A text.",
    "question": "Which?",
    "options": ["(A)one", "(B) two", "(C)three"],
    "label": "B",
}
QUERY = (
    "A text. Q: Which? Answer Choices: (A)one (B) two (C)three\nA: Among A through C, the answer is"
)
AGIEVAL_HUB = {"query": QUERY, "choices": ["(A)one", "(B) two", "(C)three"], "gold": [1]}
SQUAD = {
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": "Oslo is the capital of Norway.",
                    "qas": [
                        {
                            "question": "Of what?",
                            "answers": [{"text": "Norway"}, {"text": "of  Norway"}],
                            "id": "1",
                        },
                        {"question": "Since when?", "answers": [], "is_impossible": True},
                        {"question": "No answers?"},
                    ],
                }
            ],
        }
    ]
}


def squad_example(gold: str) -> Example:
    return Example(task="squad_v2", question="q", gold=gold, split="test", source="hand")


def test_labels_in_front_of_options_are_dropped() -> None:
    raw = convert_agieval(AGIEVAL)
    assert (raw.question, raw.choices, raw.gold) == (
        "A text.\nWhich?",
        ("one", "two", "three"),
        "two",
    )
    odd = {
        **AGIEVAL,
        "passage": None,
        "options": ["A No dangshen", "B? Many", "(C)A is here"],
        "label": "C",
    }
    assert convert_agieval(odd).choices == ("No dangshen", "Many", "A is here")
    assert convert_agieval(odd).question == "Which?"


def test_the_hub_asks_what_the_authors_ask() -> None:
    assert convert_agieval(AGIEVAL_HUB) == convert_agieval(AGIEVAL)
    no_passage = {**AGIEVAL_HUB, "query": QUERY.removeprefix("A text. ")}
    assert convert_agieval(no_passage) == convert_agieval({**AGIEVAL, "passage": ""})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            {**AGIEVAL, "options": ["(A)one", "(C)three", "(B)two"]},
            "are labelled 'ACB'; the labels are A, B, C",
        ),
        ({**AGIEVAL, "options": ["(A)one", "(B)two", "three"]}, "are labelled 'AB?'"),
        ({**AGIEVAL, "options": ["(A)one", "(B)one"]}, "are the same text"),
        ({**AGIEVAL, "label": "D"}, "the right answer is number 3; there are 3 options"),
        ({**AGIEVAL, "label": 1}, "'label' is 1; it is the letter"),
        ({**AGIEVAL, "passage": 3}, "'passage' is 3"),
        (
            {**AGIEVAL_HUB, "gold": [0, 1]},
            "'gold' is [0, 1]; it holds the place of the one right choice",
        ),
        ({**AGIEVAL_HUB, "query": "Which?"}, "it holds 'Q: ' and 'Answer Choices:'"),
    ],
)
def test_malformed_examination_questions_say_why(row: object, reason: str) -> None:
    with pytest.raises(RowError) as caught:
        convert_agieval(row)
    assert reason in str(caught.value)


def test_integers_lose_their_leading_zeros() -> None:
    assert convert_aime({"problem": "How many?", "answer": "025"}).gold == "25"
    assert convert_aime({"problem": "How many?", "answer": 7}).gold == "7"
    for answer in ("1000", "-1", "2.5", "x", "", True, None, "٣"):
        with pytest.raises(RowError, match="it is an integer from 0 to 999"):
            convert_aime({"problem": "How many?", "answer": answer})
    task = get_task("aime24")
    example = Example(task="aime24", question="q", gold="25", split="test", source="hand")
    assert [task.grade(example, text) for text in ("25", "The answer is 025.", "26", "")] == [
        1,
        1,
        0,
        0,
    ]


def test_sentiment_is_one_of_two_words() -> None:
    for label in (1, "1"):
        raw = convert_sst2({"sentence": "fine ", "label": label})
        assert (raw.question, raw.choices, raw.gold) == (
            "fine",
            ("negative", "positive"),
            "positive",
        )
    for label in (-1, "2", True, 0.0, None, ""):  # the hub's own test part has -1 everywhere
        with pytest.raises(RowError, match=r"it is 0 \(negative\) or 1 \(positive\)"):
            convert_sst2({"sentence": "fine", "label": label})


def test_tab_separated_files_need_no_quotes(tmp_path: Path) -> None:
    (tmp_path / "sst2").mkdir()
    content = b'sentence\tlabel\r\n"half a quote\t0\r\n\nno label\ngood\t1\n\xff\t1\n'
    (tmp_path / "sst2" / "test.tsv").write_bytes(content)
    loaded = get_task("sst2").load("test", tmp_path)
    assert [(example.question, example.gold) for example in loaded.examples] == [
        ('"half a quote', "negative"),
        ("good", "positive"),
    ]
    assert [row.source for row in loaded.malformed] == ["test.tsv:4", "test.tsv:6"]
    assert "1 columns; the header has 2" in loaded.malformed[0].reason


def test_squad_is_graded_as_officially() -> None:
    example = squad_example("Norway\nthe Kingdom of Norway")
    for right in ("norway", "Norway.", " The Norway", "Kingdom  of Norway!"):
        assert grade_squad(example, right) == 1.0
    for wrong in ("Sweden", "", "Norway and Sweden", UNANSWERABLE):
        assert grade_squad(example, wrong) == 0.0
    assert grade_squad(squad_example(UNANSWERABLE), "Unanswerable.") == 1.0


def test_gold_an_answer_without_a_word_is_not_what_squad_asks_for() -> None:
    example = squad_example("interventionism\n.")
    assert grade_squad(example, "interventionism") == 1.0
    for nothing in ("", ".", "the"):
        assert grade_squad(example, nothing) == 0.0


def test_squad_questions_come_with_their_paragraph(tmp_path: Path) -> None:
    (tmp_path / "squad_v2").mkdir()
    file = tmp_path / "squad_v2" / "dev_half.json"
    file.write_text(json.dumps(SQUAD))
    loaded = get_task("squad_v2").load("test", tmp_path)
    assert [(example.source, example.gold) for example in loaded.examples] == [
        ("dev_half.json:1", "Norway\nof Norway"),
        ("dev_half.json:2", UNANSWERABLE),
    ]
    assert loaded.examples[0].question == "Oslo is the capital of Norway.\n\nQuestion: Of what?"
    assert [(row.source, row.reason) for row in loaded.malformed] == [
        ("dev_half.json:3", "the key 'answers' is missing; the keys are ['question']")
    ]
    hub = {"context": "Oslo is the capital of Norway.", "question": "Of what?"}
    raw = convert_squad(
        {**hub, "answers": {"text": ["Norway", "of Norway"], "answer_start": [23, 20]}}
    )
    assert (raw.question, raw.gold) == (loaded.examples[0].question, loaded.examples[0].gold)
    SQUAD["data"].append({"paragraphs": 3})  # type: ignore[arg-type]
    file.write_text(json.dumps(SQUAD))
    damaged = get_task("squad_v2").load("test", tmp_path)
    assert len(damaged.examples) == 2
    assert damaged.malformed[-1].source == "dev_half.json:4"
    assert "'paragraphs' is 3; it has to be a list" in damaged.malformed[-1].reason


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_broken_squad_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "squad_v2").mkdir()
    (tmp_path / "squad_v2" / "dev_half.json").write_bytes(content)
    with pytest.raises(TaskError, match="task squad_v2: not one good row among 1"):
        get_task("squad_v2").load("test", tmp_path)


@pytest.mark.parametrize("name", ["aime24", "agieval", "squad_v2"])
def test_what_has_no_training_part_says_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=f"task {name} has no train split; it has test"):
        get_task(name).load("train", tmp_path)


def test_the_hub_is_asked_for_the_right_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str]] = []
    rows: dict[str, list[object]] = {
        "stanfordnlp/sst2": [
            {"sentence": f"film {number}", "label": number % 2} for number in range(40)
        ],
        "HuggingFaceH4/aime_2024": [{"problem": "p", "answer": "033"}],
        "dmayhem93/agieval-sat-en": [AGIEVAL_HUB],
        "rajpurkar/squad_v2": [{"context": "c", "question": "q", "answers": {"text": []}}],
    }

    def load_dataset(repository: str, config: str, *, split: str) -> list[object]:
        asked.append((repository, config, split))
        return rows.get(repository, [])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    for name in ("sst2", "aime24", "agieval", "squad_v2"):
        assert get_task(name).load("test", None).examples
    examinations = ("aqua-rat", "logiqa-en", "lsat-ar", "sat-en", "sat-math")
    assert asked == [
        ("stanfordnlp/sst2", "default", "validation"),
        ("HuggingFaceH4/aime_2024", "default", "train"),
        *((f"dmayhem93/agieval-{name}", "default", "test") for name in examinations),
        ("rajpurkar/squad_v2", "squad_v2", "validation"),
    ]


@pytest.mark.skipif(not os.environ.get("LPS_DATA_DIR"), reason="LPS_DATA_DIR is not set")
@pytest.mark.parametrize(
    ("name", "sizes", "num_malformed"),
    [
        ("sst2", {"train": 6745, "validation": 1251, "test": 872}, 0),
        ("aime24", {"test": 30}, 0),
        ("agieval", {"test": 1533}, 28),
        ("squad_v2", {"test": 6078}, 0),
    ],
)
def test_real_files(name: str, sizes: dict[str, int], num_malformed: int) -> None:
    task, data_dir = get_task(name), Path(os.environ["LPS_DATA_DIR"])
    loaded = {split: task.load(split, data_dir) for split in sizes}
    assert {split: len(part.examples) for split, part in loaded.items()} == sizes
    assert len(loaded["test"].malformed) == num_malformed
    questions = [
        {normalize_text(example.question) for example in part.examples} for part in loaded.values()
    ]
    assert sum(map(len, questions)) == len(set().union(*questions))
    for example in loaded["test"].examples[:50]:
        prompt = task.prompt(example)
        assert example.question in prompt.chat
        assert task.grade(example, example.gold.split("\n")[0]) == 1.0
