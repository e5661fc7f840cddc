"""A finished scan's path judged by questions that no part of the scan asked."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.command import run, run_json

from search_cluster.model.load.loading import load_model
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.judged import JUDGED_NAME, read_judgements
from search_cluster.scan.table import SCAN_TABLE_NAME, read_scan_table
from search_cluster.tasks.example import Example
from search_cluster.tasks.facts import facts_of
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.task import SPLITS

LONG_TASK = str(Path(__file__).parent / "data" / "long_task.py")
UNCACHED = ("--redis-url", "none")
LOCAL = ("--ray", "none", *UNCACHED)
QUICK = ("--limit", "16", "--seed", "3", "--grow", "1", "--max-block", "1", "--no-timings")
PATH = "0-3,5"


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tiny-model")
    tiny.save_tiny_model(folder)
    return str(folder)


def scan(model: str, folder: Path, task: str, *more: str) -> Any:
    return run_json(
        "search-cluster", "scan", "--model", model, "--task", task, "--run", str(folder),
        *LOCAL, *QUICK, *more, "--json",
    )  # fmt: skip


def judge(folder: Path, *more: str) -> tuple[str, ...]:
    return ("search-cluster", "scan", "judge", str(folder), "--ray", "none", *more)


@pytest.fixture(scope="module")
def scanned(model_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished scan of one task."""
    folder = tmp_path_factory.mktemp("scanned") / "run"
    scan(model_dir, folder, "capitals")
    return folder


@pytest.fixture
def folder(scanned: Path, tmp_path: Path) -> Path:
    """A copy of its folder."""
    return Path(shutil.copytree(scanned, tmp_path / "run"))


def test_the_paired_gain_on_what_the_scan_never_asked(folder: Path, model_dir: str) -> None:
    before = {path: path.read_bytes() for path in folder.glob("scan*")}
    said = run_json(*judge(folder, "--path", PATH, "--limit", "40", "--seed", "5", "--json"))
    task = get_task("capitals")
    rows = read_scan_table(folder / SCAN_TABLE_NAME).rows.values()
    known = {row.example_id for row in rows}
    of_split = task.load("train", None).examples
    fresh = select_examples([item for item in of_split if item.example_id not in known], 40, 5)
    loaded = load_model(model_dir)
    plain, right = (
        sum(evaluate_path(loaded, task, item, path).is_correct for item in fresh) / 40
        for path in (LayerPath.identity(tiny.NUM_LAYERS), parse_path(PATH, tiny.NUM_LAYERS))
    )
    assert (said["plain_accuracy"], said["accuracy"]) == (plain, right)
    assert said["gain"] == pytest.approx(right - plain)
    assert said["gain_low"] <= said["gain"] <= said["gain_high"]
    assert (said["asked"], said["questions"], said["left_out"]) == (40, 40, [])
    every = [item for split in SPLITS for item in task.load(split, None).examples]
    facts = facts_of(every)
    of_fresh = {facts[item.example_id] for item in fresh}
    assert said["facts"] == len(of_fresh) < 40
    met = of_fresh & {facts[item.example_id] for item in every if item.example_id in known}
    assert said["facts_known_to_scan"] == len(met) > 0
    assert said["known_to_scan"] == sum(item.example_id in known for item in of_split) >= 16
    assert (said["task"], said["split"], said["path"]) == ("capitals", "train", PATH)
    assert (said["layers"], said["num_layers"], said["verdicts"]) == (5, 6, 80)
    (judgement,) = read_judgements(folder)
    assert (judgement.path, judgement.standing.gain) == (PATH, said["gain"])
    assert {path: path.read_bytes() for path in folder.glob("scan*")} == before


def test_again_the_cache_answers_and_another_path_is_another_judgement(folder: Path) -> None:
    first = run_json(*judge(folder, "--best", "--limit", "20", "--json"))
    again = run_json(*judge(folder, "--best", "--limit", "20", "--json"))
    assert (first["judgements"], again["judgements"]) == (1, 1)
    assert (again["paths_evaluated"], again["cache_hits"]) == (0, 40)
    assert again["gain"] == first["gain"]
    longer = "0-5,5" if first["path"] != "0-5,5" else "0-4,4-5"
    out, _ = run(*judge(folder, "--path", longer, "--limit", "60"))
    assert "points (" in out.splitlines()[0]
    assert " on 60 questions of capitals (train) that no part of the scan asked: " in out
    assert re.search(r"\nThey are 60 questions of \d\d facts, which the interval counts\.\n", out)
    assert re.search(r"\nFor \d+ of the facts the scan had asked in other ways, so that ", out)
    assert out.splitlines()[-1].endswith(f"Judgements in {folder / JUDGED_NAME}: 2.")


def test_questions_of_the_scan_that_are_typed_otherwise_are_left_aside(
    folder: Path, tmp_path: Path
) -> None:
    task = get_task("capitals")
    known = {row.example_id for row in read_scan_table(folder / SCAN_TABLE_NAME).rows.values()}
    every = [item for split in SPLITS for item in task.load(split, None).examples]
    asked = [item for item in every if item.example_id in known]
    fresh = [item for item in every if item.example_id not in known][:20]
    rows = tmp_path / "mine.jsonl"

    def judge_rows(examples: list[Example], *more: str) -> tuple[str, ...]:
        values = [
            {
                "question": item.question.upper(), "choices": item.choices,
                "answer": item.gold_index, "split": "test",
            }
            for item in examples
        ]  # fmt: skip
        rows.write_text("".join(json.dumps(value) + "\n" for value in values))
        return judge(
            *(folder, *UNCACHED, "--path", PATH),
            *("--task", str(rows), "--split", "test", *more),
        )

    said = run_json(*judge_rows([*asked, *fresh], "--json"))
    assert (said["asked"], said["known_to_scan"]) == (20, len(asked))
    _, err = run(*judge_rows(asked), expect=2)
    assert (
        f"task mine has 0 questions of test that the scan did not ask, beside {len(asked)} that it "
        "did, and a judgement needs 16; name another --split, or another --task"
    ) in err


def test_questions_that_the_plain_model_can_not_answer_count_for_nobody(
    model_dir: str, tmp_path: Path
) -> None:
    scan(model_dir, tmp_path, LONG_TASK)
    said = run_json(*judge(tmp_path, *UNCACHED, "--path", PATH, "--limit", "40", "--json"))
    (left_out,) = said["left_out"]
    assert 0 < left_out["questions"] == 40 - said["questions"]
    assert left_out["cause"].startswith("PromptTooLongError: a prompt of ")
    out, _ = run(*judge(tmp_path, *UNCACHED, "--path", PATH, "--limit", "40"))
    assert f"The plain model could not answer {left_out['questions']} of 40 questions" in out


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ((), "is not sure that any of its 12 paths is better than the plain model"),
        (("--path", "0-5"), "path 0-5 is the plain model, which gains nothing"),
        (("--path", PATH, "--split", "dev"), "split 'dev' of task capitals"),
        (("--path", PATH, "--task", "nothing"), "nothing"),
    ],
)
def test_what_can_not_be_judged_is_one_line(
    folder: Path, more: tuple[str, ...], complaint: str
) -> None:
    _, err = run(*judge(folder, *UNCACHED, *more), expect=2)
    line = [text for text in err.splitlines() if text.startswith("error: ")]
    assert len(line) == 1
    assert complaint in line[0]
    assert not (folder / JUDGED_NAME).exists()


def test_another_model_or_an_unfinished_scan_is_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    tiny.save_tiny_model(other, seed=1)
    _, err = run(*judge(folder, *UNCACHED, "--path", PATH, "--model", str(other)), expect=2)
    assert "name the scanned one with --model" in err
    (folder / "scan.json").unlink()
    _, err = run(*judge(folder, *UNCACHED, "--path", PATH), expect=2)
    assert "run the same scan again" in err
