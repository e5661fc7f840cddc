"""A task of one's own, from its search to its report, after its files are gone."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support import tiny
from support.harness_files import RIVERS, write_harness_task, write_rows
from typer.testing import CliRunner

from router_train.cli import app as router_app
from search_cluster.cli import app
from search_cluster.commands.search import run_search
from search_cluster.config import SearchConfig

MORE = [
    {**row, "q": f"{row['q']} {again}"}
    for again in ("", "Say it.", "Now?", "And?")
    for row in RIVERS
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tiny.save_tiny_model(folder)
    return folder


def invoke(program: object, *arguments: str) -> str:
    done = CliRunner().invoke(program, list(arguments))  # type: ignore[arg-type]
    assert done.exit_code == 0, done.output
    return done.stdout


def rows_task(folder: Path) -> str:
    rows = [
        {"ask": row["q"], "pick": row["options"], "right": row["options"][row["label"]]}
        for row in MORE
    ]
    file = write_rows(folder, "rivers.jsonl", rows)
    return f"{file}?question={{{{ask}}}}&choices=pick&answer=right"


def harness_task(folder: Path) -> str:
    pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")
    parts = {"training": MORE[:20], "validation": MORE[20:30], "test": MORE[30:]}
    write_harness_task(
        folder,
        "rivers",
        parts,
        output_type="multiple_choice",
        doc_to_text="{{q}}",
        doc_to_choice="options",
        doc_to_target="label",
        num_fewshot=1,
    )
    return f"lm-eval:rivers?include_path={folder}"


@pytest.mark.slow
@pytest.mark.parametrize("made", [rows_task, harness_task])
def test_no_later_command_asks_for_the_task_again(
    made: object, model: Path, tmp_path: Path
) -> None:
    own, run = tmp_path / "own", tmp_path / "run"
    spec = made(own)  # type: ignore[operator]
    config = SearchConfig(
        model=str(model), task=spec, limit=20, preset="drllm", budget=4, ray="none",
        redis_url="none", run=run,
    )  # fmt: skip
    found = run_search(config)
    assert run_search(config)["corpus_digest"] == found["corpus_digest"]
    for file in own.iterdir():
        if file.suffix != ".jsonl" or made is rows_task:  # the harness' data stay where they are
            file.unlink()
    assert run_search(config)["corpus_digest"] == found["corpus_digest"]
    assert json.loads(invoke(app, "verify", str(run), "--sample", "3", "--json"))["verdicts"] == 3
    crossed = invoke(
        app, "crossexec", str(run), "--menu", "2", "--ray", "none", "--redis-url", "none", "--json"
    )
    assert json.loads(crossed.splitlines()[-1])["task"] == found["task"]
    printed = invoke(app, "report", str(run))
    (fit,) = [line.strip() for line in printed.splitlines() if "router-train fit" in line]
    assert "--task" not in fit
    router = run / "routers" / "static"
    said = invoke(
        router_app, "fit", "--corpus", str(run), "--router", "static", "--out", str(router)
    )
    assert f"router-train evaluate --router {router} --split test" in said
    shutil.move(router, tmp_path / "router")
    judged = invoke(router_app, "evaluate", "--router", str(tmp_path / "router"), "--json")
    assert json.loads(judged.splitlines()[-1])["task"] == found["task"]
    with pytest.raises(Exception, match=r"does not exist|no task|no folder"):
        run_search(replace(config, run=tmp_path / "other"))
