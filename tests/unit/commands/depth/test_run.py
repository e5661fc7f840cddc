"""A whole study of a tiny model: its files, going on after an interrupt, the same bytes again."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.html_page import HOSTILE, parsed, plots_of
from support.tiny import save_tiny_model

from search_cluster.commands.depth.asked import StudyRequest
from search_cluster.commands.depth.parts import PartStore
from search_cluster.commands.depth.run import run_depth
from search_cluster.commands.lens.fit import fit
from search_cluster.commands.lens.settings import LensFitConfig, LensTextConfig
from search_cluster.config import SearchConfig
from search_cluster.depth.result import DEPTH_NAME, read_depth_result
from search_cluster.depth.settings import DepthSettings
from search_cluster.errors import ConfigError
from search_cluster.report.depth.html import write_depth_report
from search_cluster.tasks.facts import facts_of
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import select_examples

SMALL = DepthSettings(
    positions=60,
    questions=12,
    words=20,
    known=12,
    fit_tokens=600,
    skip_questions=4,
    letter_questions=4,
    path_positions=20,
    bias_positions=40,
)
SEED = 11
"""Draws 12 questions of elements of which some ask for one fact."""
SENTENCE = (
    "# text = the answer is the number\n"
    + "".join(
        f"{at}\t{form}\t_\t{name}\t_\t_\t_\t_\t_\t_\n"
        for at, (form, name) in enumerate(
            [("the", "DET"), ("answer", "NOUN"), ("is", "AUX"), ("the", "DET"), ("number", "NOUN")],
            start=1,
        )
    )
    + "\n"
)
FACTS = [{"prompt": f"the city {number} is", "attribute": "the answer"} for number in range(20)]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], StudyRequest]:
    folder = tmp_path_factory.mktemp("study")
    model = save_tiny_model(folder / "model")
    text, pos, facts = (folder / name for name in ("text.txt", "pos.conllu", "facts.json"))
    text.write_text("\n".join(f"the number {n} is the answer of the city" for n in range(400)))
    pos.write_text(SENTENCE * 30)
    facts.write_text(json.dumps(FACTS))
    return lambda out: StudyRequest(
        config=SearchConfig(model=str(model), device="cpu", dtype="float32", seed=SEED),
        settings=SMALL,
        task="elements",
        lens=None,
        text=text,
        pos=pos,
        facts=facts,
        paths=("0-2,4-5",),
        out=out,
    )


@pytest.mark.slow
def test_a_study_writes_its_files_and_the_same_ones_after_an_interrupt(
    study: Callable[[Path], StudyRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    done = run_depth(study(whole))
    assert done["executed_verdicts"] == 12 * 6 + 12 + 4 * 6
    result = read_depth_result(whole)
    part = result.questions
    assert part is not None
    assert part.prefix_check is not None
    assert (part.prefix_check.pairs, part.prefix_check.mismatches) == (72, 0)
    pool = get_task("elements").load(SearchConfig().split, None).examples
    facts = facts_of(pool)
    asked = select_examples(pool, part.questions, SEED)
    num_facts = len({facts[item.example_id] for item in asked})
    assert num_facts < len(asked) == part.questions
    of_skips = len({facts[item.example_id] for item in asked[: SMALL.skip_questions]})
    counted = [part.accuracy, part.agreements[0].lens_depth, part.races[0].decided_depth]
    assert [item.prompts for item in counted] == [num_facts] * 3
    assert result.layers[0].skip_change is not None
    assert result.layers[0].skip_change.prompts == of_skips
    assert result.layers[0].task_influence is not None
    assert result.layers[0].task_influence.prompts == num_facts
    assert all(item.spearman.prompts == of_skips for item in result.prior_checks)
    assert len(result.layers) == 6
    assert {item.lens for item in result.paths} == {"logit", "tuned"}
    assert result.text.bias is not None
    assert [source.source for source in result.facts] == ["facts.json", "capitals", "elements"]
    rows = pq.read_table(whole / "rows.parquet")
    assert set(rows["lens"].to_pylist()) == {"logit", "tuned"}
    page = parsed(whole / "report.html")
    assert "What was found" in page.words
    assert len(plots_of(page)) >= 9
    assert f"{part.prefix_check.pairs} pairs" in page.words
    bias = replace(result.text.bias, word=HOSTILE)
    hostile = replace(result, text=replace(result.text, bias=bias))
    write_depth_report(whole, tmp_path / "hostile.html", hostile)
    assert parsed(tmp_path / "hostile.html").tags == page.tags

    kept = PartStore.arrays
    num_left = 9

    def interrupted(store: PartStore, name: str, make: Callable[[], object]) -> object:
        nonlocal num_left
        num_left -= 1
        if not num_left:
            raise KeyboardInterrupt
        return kept(store, name, make)  # type: ignore[arg-type]

    monkeypatch.setattr(PartStore, "arrays", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_depth(study(cut))
    monkeypatch.undo()
    assert not (cut / DEPTH_NAME).exists()
    before = {path.name: path.stat().st_mtime_ns for path in (cut / "parts").iterdir()}
    assert len(before) == 8
    run_depth(study(cut))
    assert {name: (cut / "parts" / name).stat().st_mtime_ns for name in before} == before
    for name in (DEPTH_NAME, "rows.parquet"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize("source", ["task", "text", "facts", "other"])
def test_reading_what_taught_the_lens_is_said(
    source: str,
    study: Callable[[Path], StudyRequest],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    request = study(tmp_path / "study")
    tiny = DepthSettings(
        positions=20, questions=4, fit_tokens=64, skip_questions=0, letter_questions=0,
        path_positions=20, bias_positions=0, words=4, known=3,
    )  # fmt: skip
    request = replace(request, settings=tiny, pos=None, paths=(), lens=str(tmp_path / "lens"))
    assert request.text is not None
    text = request.text
    taught = LensTextConfig(task="elements", tokens=600)
    if source == "text":
        taught = LensTextConfig(text=text, tokens=2000)
    if source != "task":
        request = replace(request, config=replace(request.config, split="validation"))
    if source != "facts":
        request = replace(request, facts=None)
    fit(
        request.config, taught, LensFitConfig(held_out_tokens=64), down_weight=(),
        out=tmp_path / "lens",
    )  # fmt: skip
    caplog.set_level(logging.WARNING)
    done = run_depth(request)
    said = [note for note in done["notes"] if "was fitted to" in note]
    named = f"text {text}" if source == "text" else "task elements"
    expected = f"lens {tmp_path / 'lens'} was fitted to {named}, so its figures here flatter it"
    assert [note.startswith(expected) for note in said] == ([True] if source != "other" else [])
    assert ("so its figures here flatter it" in caplog.text) is (source != "other")
    assert list(read_depth_result(tmp_path / "study").notes) == done["notes"]


def test_a_folder_of_another_plan_is_refused(
    study: Callable[[Path], StudyRequest], tmp_path: Path
) -> None:
    request = study(tmp_path)
    made_of = {"model": "model", "task": "task 1", "examples": "e", "lens": None, "paths": []}
    plan = request.plan(**made_of)
    PartStore(tmp_path, plan)
    PartStore(tmp_path, plan)
    other = replace(request, settings=replace(SMALL, positions=80)).plan(**made_of)
    with pytest.raises(ConfigError, match=r"was begun with positions 60, .* asked for 80"):
        PartStore(tmp_path, other)


def test_a_damaged_part_is_made_again(tmp_path: Path) -> None:
    store = PartStore(tmp_path, {})
    values = {"a": np.arange(3)}
    store.arrays("text-0000", lambda: values)
    path = tmp_path / "parts" / "text-0000.npz"
    path.write_bytes(path.read_bytes()[:40])
    assert store.arrays("text-0000", lambda: values)["a"].tolist() == [0, 1, 2]
    assert store.num_made == 2
