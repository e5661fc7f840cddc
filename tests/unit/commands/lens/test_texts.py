"""Which texts teach a lens, and which judge it."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from support.own_task import write_own_task
from support.tiny import save_tiny_model

from search_cluster.commands.lens.fit import fit
from search_cluster.commands.lens.judge import judge, taught_notes
from search_cluster.commands.lens.settings import LensFitConfig, LensTextConfig
from search_cluster.config import SearchConfig
from search_cluster.errors import ConfigError

TEXT = "".join(f"{number} the answer is the capital of the question\n" for number in range(400))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> SearchConfig:
    model = save_tiny_model(tmp_path_factory.mktemp("texts") / "model")
    return SearchConfig(model=str(model), device="cpu", dtype="float32")


def test_a_task_that_taught_is_known_however_it_is_named(
    config: SearchConfig, tmp_path: Path
) -> None:
    asked, lens = LensTextConfig(task=str(write_own_task(tmp_path)), tokens=2000), tmp_path / "lens"
    done = fit(config, asked, LensFitConfig(held_out_tokens=64), down_weight=(), out=lens)
    (note,) = taught_notes(str(lens), {done["texts"]: {"task": "runs/mine"}})
    assert note.startswith(f"lens {lens} was fitted to {done['texts']}, so its figures")
    others = {"task capitals": {"task": "capitals"}, f"{done['texts']} 2": {"task": "other"}}
    assert not taught_notes(str(lens), others)
    assert not taught_notes("logit", {done["texts"]: {"task": asked.task}})


def test_questions_that_taught_are_known_by_what_they_hold(
    config: SearchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings, lens = LensFitConfig(held_out_tokens=64), tmp_path / "lens"
    rows = write_own_task(tmp_path).with_suffix(".jsonl")
    asked = LensTextConfig(task=f"{rows.name}?answer_base=0", tokens=2000)
    done = fit(config, asked, settings, down_weight=(), out=lens)
    named = replace(asked, task=f"./{asked.task}")
    assert fit(config, named, settings, down_weight=(), out=lens)["seconds"] == 0

    def said(spec: str) -> list[str]:
        texts = LensTextConfig(task=f"{spec}?answer_base=0", tokens=200)
        notes = judge(config, texts, lens=str(lens), one_off=False)["notes"]
        return [note.removeprefix(f"lens {lens} was fitted to ") for note in notes]

    flatters = "so its figures here flatter it; judge it on another text"
    assert said("./own.jsonl") == [f"{done['texts']}, {flatters}"]
    (tmp_path / "copy.jsonl").write_bytes(rows.read_bytes())
    assert said("copy.jsonl") == [f"task copy, {flatters}"]
    (tmp_path / "other").mkdir()
    write_own_task(tmp_path / "other", num_questions=50)
    (note,) = said("other/own.jsonl")
    assert note.startswith(f"other questions of {done['texts']}; if these are some of them")


def test_a_lens_of_a_task_whose_rows_changed_is_not_taken_as_done(
    config: SearchConfig, tmp_path: Path
) -> None:
    asked = LensTextConfig(task=str(write_own_task(tmp_path)), tokens=2000)
    out = tmp_path / "lens"

    def again() -> float:
        done = fit(config, asked, LensFitConfig(held_out_tokens=64), down_weight=(), out=out)
        return float(done["seconds"])

    assert again() > 0
    assert again() == 0
    write_own_task(tmp_path, num_questions=41)
    with pytest.raises(ConfigError, match="holds a lens that was fitted otherwise"):
        again()
    write_own_task(tmp_path)
    assert again() == 0


def test_text_that_taught_does_not_judge(config: SearchConfig, tmp_path: Path) -> None:
    text, copy = tmp_path / "text.txt", tmp_path / "copy.txt"
    text.write_text(TEXT)
    copy.write_text(TEXT)
    settings = LensFitConfig(held_out=copy)
    with pytest.raises(ConfigError, match=r"--held-out .*copy.txt holds the same as --text .*text"):
        fit(config, LensTextConfig(text=text), settings, down_weight=(), out=tmp_path / "lens")


@pytest.mark.parametrize("source", ["text", "task", "self"])
def test_judging_a_lens_on_what_taught_it_is_said(
    source: str, config: SearchConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    taught, other = tmp_path / "text.txt", tmp_path / "other.txt"
    taught.write_text(TEXT)
    other.write_text(TEXT + "more")
    asked = {
        "text": LensTextConfig(text=taught, tokens=2000),
        "task": LensTextConfig(task=str(write_own_task(tmp_path)), tokens=2000),
        "self": LensTextConfig(tokens=1024),
    }[source]
    lens = tmp_path / "lens"
    fit(config, asked, LensFitConfig(held_out_tokens=64), down_weight=(), out=lens)
    caplog.set_level(logging.WARNING)
    for texts, is_taught in ((asked, True), (LensTextConfig(text=other, tokens=600), False)):
        caplog.clear()
        said = judge(config, texts, lens=str(lens), one_off=False)
        assert any("was fitted to" in note for note in said["notes"]) is is_taught
        assert ("judge it on another text" in caplog.text) is is_taught


@pytest.mark.parametrize("source", ["text", "task", "file"])
def test_a_fit_judges_no_more_tokens_than_are_asked_for(
    source: str, config: SearchConfig, tmp_path: Path
) -> None:
    taught, other = tmp_path / "text.txt", tmp_path / "other.txt"
    taught.write_text(TEXT)
    other.write_text(TEXT + "more")
    asked = LensTextConfig(text=taught, tokens=2000)
    if source == "task":
        asked = LensTextConfig(task="capitals", tokens=2000)
    settings = LensFitConfig(held_out_tokens=101, held_out=other if source == "file" else None)
    done = fit(config, asked, settings, down_weight=(), out=tmp_path / "lens")
    assert done["held_out_tokens"] == 101
