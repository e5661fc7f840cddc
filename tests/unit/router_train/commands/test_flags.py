"""What commands are told and can't follow is refused, and what they say of it is whole."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.router_corpus import fruit_example, fruit_task, record, tiny_loaded, write_corpus
from typer.testing import CliRunner

from router_train.cli import app
from router_train.commands import asked, bench
from router_train.commands.asked import asked_task
from router_train.commands.bench import run_bench
from router_train.commands.evaluate import judge_router
from router_train.commands.generate import run_generate
from router_train.config import FitConfig
from router_train.data.question_choice import QuestionChoice
from router_train.inference import router_task
from router_train.inference.model_choice import ModelChoice
from router_train.routers.checkpoint import TASKS_JOINED, read_meta
from router_train.training.fit import fit
from search_cluster.corpus import task as corpus_task
from search_cluster.errors import ConfigError
from search_cluster.model.loaded import LoadedModel


def no_model(*_: str) -> LoadedModel:
    raise AssertionError("a static router needs no model")


@pytest.fixture
def router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A static router in a run folder, of a corpus without a path table."""
    for module in (corpus_task, asked, router_task):
        monkeypatch.setattr(module, "get_task", lambda spec: fruit_task())
    monkeypatch.setattr(ModelChoice, "load", lambda self, *named: tiny_loaded())
    records = [record(fruit_example(n), (1, 1, 1, 0, 0, 1)) for n in range(12)]
    run = write_corpus(tmp_path / "run", records, task=fruit_task())
    out = run / "routers" / "static"
    fit(run, out, FitConfig(router="static"), no_model, task_spec=None, force=False)
    return out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("fit", "--corpus", "c", "--out", "o", "--num-workers", "2"), "--num-workers is 2, and"),
        (
            ("exits", "--router", "r", "--limit", "-3"),
            "value for '--limit': Input should be greater than",
        ),
        (
            ("export", "r", "--out", "o", "--threshold", "1.5"),
            "value for '--threshold': Input should be less",
        ),
    ],
)
def test_what_would_be_ignored_is_refused(
    flags: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, flags)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            FitConfig(router="menu", text="book.txt"),
            "--text is 'book.txt', which is for --router s",
        ),
        (
            FitConfig(router="drllm", exit_by="token"),
            "--exit is 'token', which is for --router len",
        ),
        (
            FitConfig(router="polar", exit_path="0-3"),
            "--path is '0-3', .* lens-exit or shortcut; a",
        ),
        (FitConfig(router="lens-exit", loss="verdict"), "a lens-exit router does not read it"),
    ],
)
def test_settings_that_a_router_does_not_read_are_refused(
    config: FitConfig, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        fit(tmp_path / "no", tmp_path / "out", config, no_model, task_spec=None, force=False)


def test_no_menu_is_no_bound(router: Path) -> None:
    with pytest.raises(ConfigError, match="static knows no menu of paths, so that --oracle"):
        judge_router(router, QuestionChoice(), ModelChoice(), oracle=True)
    assert judge_router(router, QuestionChoice(limit=2), ModelChoice())["oracle"] is None


def test_of_several_tasks_it_is_said_which_is_asked(
    router: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = read_meta(router)
    assert asked_task(router, QuestionChoice()).name == "fruit"
    assert capsys.readouterr().err == ""
    both = replace(meta, inputs=replace(meta.inputs, task=TASKS_JOINED.join(("fruit", "nuts"))))
    monkeypatch.setattr(asked, "read_meta", lambda folder: both)
    asked_task(router, QuestionChoice())
    assert "of the tasks fruit, nuts; fruit, the first, is asked" in capsys.readouterr().err
    asked_task(router, QuestionChoice(task_spec="nuts"))
    assert capsys.readouterr().err == ""


def test_a_router_that_is_named_twice_is_measured_once(
    router: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = []
    measure = bench.measure_speed

    def counted(*given: Any, **named: Any) -> Any:
        measured.append(named["batch_size"])
        return measure(*given, **named)

    monkeypatch.setattr(bench, "measure_speed", counted)
    run_bench(
        [router.parents[1], router], QuestionChoice(), ModelChoice(), batch_sizes=(1,),
        new_tokens=1, num_rounds=1, threshold=0.0, json_output=True,
    )  # fmt: skip
    assert measured == [1]
    assert len(json.loads(capsys.readouterr().out)["routers"]) == 1


def test_both_answers_say_whether_they_were_cut(
    router: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_generate(
        router, "which fruit", ModelChoice(), max_new_tokens=2, threshold=0.0, compare=True,
        json_output=True,
    )  # fmt: skip
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert (result["is_cut"], result["plain_is_cut"]) == (True, True)
    assert "the answer is cut after 2 tokens" in said.err
    assert "the plain answer is cut after 2 tokens" in said.err
