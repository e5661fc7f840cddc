"""A user's file with repeated and contradictory questions, through search, fit and evaluate."""

import json
from pathlib import Path

import pytest
from support import tiny
from support.command import run

CHOICES = ["Rhine", "Nile", "Oder"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and a task: six questions in two splits, one with two answers."""
    folder = tmp_path_factory.mktemp("place")
    tiny.save_tiny_model(folder / "model", chat=True)
    rows = [("train", f"River {n}?", n % 3) for n in range(20)]
    rows += [("test", f"river  {n}?", n % 3) for n in range(6)]
    rows += [("test", f"River {n}?", n % 3) for n in range(30, 40)]
    rows += [("train", "River 50?", 0), ("test", "River 50?", 1)]
    (folder / "rivers.jsonl").write_text(
        "".join(
            json.dumps({"split": s, "question": q, "choices": CHOICES, "answer": a}) + "\n"
            for s, q, a in rows
        )
    )
    (folder / "rivers.toml").write_text(
        'name = "rivers"\ndescription = "d"\nkind = "choice"\ndata = "rivers.jsonl"\n'
        '[prompt]\nchat = "{question}"\n'
    )
    return folder


def test_gold_the_terminal_counts_repeated_questions(place: Path) -> None:
    task, run_dir = str(place / "rivers.toml"), str(place / "run")
    out, err = run(
        "search-cluster", "search", "--model", str(place / "model"), "--task", task, "--ray",
        "none", "--redis-url", "none", "--budget", "6", "--run", run_dir, "--json",
    )  # fmt: skip
    assert json.loads(out.splitlines()[-1])["malformed_rows"] == 8
    assert "task rivers: 6 questions stand in more than one split" in err
    assert "task rivers: 1 questions have more than one answer" in err
    listed = (place / "run" / "malformed.jsonl").read_text().splitlines()
    assert len(listed) == 8  # of 38; two of them are one question with two answers
    assert sum("asks the same question" in line for line in listed) == 6

    router = str(place / "router")
    run(
        "router-train", "fit", "--corpus", run_dir, "--router", "identity", "--task", task, "--out",
        router,
    )  # fmt: skip
    out, err = run(
        "router-train", "evaluate", "--router", router, "--task", task, "--split", "test", "--json",
        "--model", str(place / "model"),
    )  # fmt: skip
    assert json.loads(out.splitlines()[-1])["n"] == 16
    assert "task rivers: 6 questions stand in more than one split" in err
    assert "task rivers: 1 questions have more than one answer" in err
