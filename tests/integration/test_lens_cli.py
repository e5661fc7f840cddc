"""``search-cluster lens`` as users run it: fit, resume, eval, show."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from support import tiny
from support.command import call, none_left_running, run, run_json, start, wait_for
from support.html_page import HtmlPage

TEXT = "the answer is the capital of the question what number is it of the city\n"
FIGURES = {
    "digest", "kind", "tokens", "seconds", "held_out_tokens", "divergence", "divergence_logit",
    "divergence_one_off", "mean_cut", "top1", "top1_logit", "peak_bytes",
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_tiny_model(tmp_path_factory.mktemp("lens") / "model", chat=True)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("text") / "text.txt"
    file.write_text("".join(f"{number} {TEXT}" for number in range(2000)))
    return file


@pytest.fixture(scope="module")
def fitted(
    model: Path, text: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("fitted") / "lens"
    return out, fit(model, text, out)


def fit(model: Path, text: Path, out: Path, *flags: str) -> dict[str, Any]:
    return run_json(
        *("search-cluster", "lens", "fit", "--model", str(model), "--text", str(text)),
        *("--tokens", "12000", "--out", str(out), *flags),
    )


def test_a_fit_reports_how_good_it_is_and_leaves_a_folder_that_tuned_lens_reads(
    fitted: tuple[Path, dict[str, Any]],
) -> None:
    out, result = fitted
    assert set(result) >= FIGURES
    assert result["kind"] == "ridge"
    assert 10_000 < result["tokens"] <= 12_100
    assert len(result["divergence"]) == tiny.NUM_LAYERS + 1
    assert result["depths_lower_than_logit"] == tiny.NUM_LAYERS
    assert result["mean_cut"] > 0
    assert result["mean_cut_low"] is None  # a tenth of 24 texts
    assert result["divergence"][-1] == pytest.approx(0, abs=1e-4)
    assert result["divergence_one_off"]["before"][0] is None
    assert sorted(file.name for file in out.iterdir()) == ["config.json", "lens.json", "params.pt"]
    state = torch.load(out / "params.pt", weights_only=True)
    assert len(state) == 2 * tiny.NUM_LAYERS


def test_the_same_command_gives_the_same_bytes_and_does_not_fit_again(
    fitted: tuple[Path, dict[str, Any]], model: Path, text: Path, tmp_path: Path
) -> None:
    out, result = fitted
    other = fit(model, text, tmp_path / "other")
    assert other["digest"] == result["digest"]
    for file in out.iterdir():
        assert file.read_bytes() == (tmp_path / "other" / file.name).read_bytes(), file.name
    again = fit(model, text, out)
    assert again["seconds"] == 0.0
    assert again["divergence"] == result["divergence"]


def test_a_folder_with_another_lens_is_refused(
    fitted: tuple[Path, dict[str, Any]], model: Path, text: Path
) -> None:
    out, _ = fitted
    done = call(
        *("search-cluster", "lens", "fit", "--model", str(model), "--text", str(text)),
        *("--tokens", "9000", "--out", str(out)),
    )
    assert done.returncode == 2
    assert "holds a lens that was fitted otherwise" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("kind", ["ridge", "kl"])
def test_an_interrupted_fit_ends_with_130_and_goes_on(
    model: Path, text: Path, tmp_path: Path, kind: str
) -> None:
    flags = ("--kind", kind, "--tokens", "60000", "--descent-rows", "2000")
    whole = fit(model, text, tmp_path / "whole", *flags)["digest"]
    out = tmp_path / "lens"
    with none_left_running():
        process = start(
            *("search-cluster", "lens", "fit", "--model", str(model), "--text", str(text)),
            *("--out", str(out), "--json", *flags),
        )
        wait_for(lambda: (out / ".unfinished" / "rows.bin").exists(), timeout_s=120)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    if process.returncode != 0:  # the machine may have been so fast that it had ended
        assert process.returncode == 130
        assert "run the same command again to go on" in err.splitlines()[-1]
        assert not (out / "lens.json").exists()
    assert fit(model, text, out, *flags)["digest"] == whole
    assert not (out / ".unfinished").exists()


def test_text_of_the_models_own_is_the_default_and_is_said(model: Path, tmp_path: Path) -> None:
    out, err = run(
        *("search-cluster", "lens", "fit", "--model", str(model), "--tokens", "4096"),
        *("--out", str(tmp_path / "lens"), "--json"),
    )
    assert "text that the model writes by itself (--self)" in err
    assert json.loads(out.splitlines()[-1])["texts"] == "self, seed 0"
    named = run_json(
        *("search-cluster", "lens", "fit", "--model", str(model), "--tokens", "4096", "--self"),
        *("--out", str(tmp_path / "named")),
    )
    assert named["digest"] == json.loads(out.splitlines()[-1])["digest"]


def test_a_task_gives_the_texts(model: Path, tmp_path: Path) -> None:
    result = run_json(
        *("search-cluster", "lens", "fit", "--model", str(model), "--task", "capitals"),
        *("--tokens", "5000", "--kind", "bias", "--out", str(tmp_path / "lens")),
    )
    assert result["texts"] == "task capitals"
    assert result["kind"] == "bias"


def test_rows_of_a_token_can_weigh_less(
    fitted: tuple[Path, dict[str, Any]], model: Path, text: Path, tmp_path: Path
) -> None:
    weighed = fit(model, text, tmp_path / "lens", "--down-weight", "the=0.001")
    assert weighed["digest"] != fitted[1]["digest"]
    for wrong, words in (
        ("the", "TOKEN=FACTOR"),
        ("the=-1", "at least 0"),
        ("no token of it=0.5", "tokens of this model"),
    ):
        done = call(
            *("search-cluster", "lens", "fit", "--model", str(model), "--text", str(text)),
            *("--down-weight", wrong, "--out", str(tmp_path / "none")),
        )
        assert done.returncode == 2
        assert words in done.stderr.splitlines()[-1]


def test_eval_reads_other_text_and_the_logit_lens_cuts_nothing(
    fitted: tuple[Path, dict[str, Any]], model: Path, text: Path
) -> None:
    common = ("search-cluster", "lens", "eval", "--model", str(model), "--text", str(text))
    result = run_json(*common, "--lens", str(fitted[0]), "--tokens", "3000")
    assert set(result) >= FIGURES
    assert result["digest"] == fitted[1]["digest"]
    assert 0 < result["mean_cut_low"] < result["mean_cut"] < result["mean_cut_high"] < 1
    logit = run_json(*common, "--lens", "logit", "--tokens", "3000", "--no-one-off")
    assert logit["mean_cut"] == 0
    assert logit["divergence"] == logit["divergence_logit"] == result["divergence_logit"]
    assert set(logit["divergence_one_off"]["before"]) == {None}


def test_show_reads_along_any_path_on_the_terminal_in_json_and_in_html(
    fitted: tuple[Path, dict[str, Any]], model: Path, tmp_path: Path
) -> None:
    common = ("search-cluster", "lens", "show", "--model", str(model))
    page = tmp_path / "lens.html"
    shown = run_json(
        *(*common, "--lens", str(fitted[0]), "--text", "the <b>answer</b>", "--chat", "never"),
        *("--path", "0-2,2,5", "--html", str(page)),
    )
    assert shown["path"] == "0-2,2,5"
    assert [state["layer"] for state in shown["states"]] == [None, 0, 1, 2, 2, 5]
    assert [state["depth"] for state in shown["states"]] == [0, 1, 2, 3, 3, 6]
    assert "".join(shown["tokens"]) == "<bos>the <b>answer</b>"
    last = shown["states"][-1]
    assert set(last["final_rank"]) == {0}
    assert last["divergence"] == pytest.approx([0] * len(shown["tokens"]), abs=1e-4)
    parsed = HtmlPage()
    parsed.feed(page.read_text())
    assert "What each" not in parsed.words
    assert "b" not in parsed.tags[parsed.tags.index("main") :]
    out, _ = run(*common, "--lens", "logit", "--task", "capitals", "--example", "2", "--last", "3")
    assert "logit lens" in out
    assert "6 (layer 5)" in out
    assert "embedding" in out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "give the text to show"),
        (("--text", "a", "--task", "capitals"), "give the text to show"),
        (("--task", "capitals", "--example", "100000"), "has questions 0.."),
        (("--text", "a", "--path", "0-99"), "the model has layers 0..5"),
        (("--text", "a", "--lens", "nowhere"), "holds no config.json"),
    ],
)
def test_what_can_not_be_shown_is_said_in_one_line(
    model: Path, flags: tuple[str, ...], words: str
) -> None:
    lens = () if "--lens" in flags else ("--lens", "logit")
    done = call("search-cluster", "lens", "show", "--model", str(model), *lens, *flags)
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--kind", "logit"), "one of ridge, kl, ce, bias"),
        (("--kind", "kl", "--rate", "0"), "rate is 0.0"),
        (("--format", "gguf"), "one of tuned-lens, safetensors"),
        (("--text", "x", "--self"), "give one"),
        (("--text", "/nowhere/at/all"), "/nowhere/at/all"),
    ],
)
def test_what_can_not_be_fitted_is_said_in_one_line(
    model: Path, tmp_path: Path, flags: tuple[str, ...], words: str
) -> None:
    done = call(
        *("search-cluster", "lens", "fit", "--model", str(model), "--out", str(tmp_path / "lens")),
        *flags,
    )
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]


def test_a_lens_of_another_model_is_refused(
    fitted: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    other = tiny.save_tiny_model(tmp_path / "other", chat=True, seed=1)
    done = call(
        *("search-cluster", "lens", "show", "--model", str(other), "--lens", str(fitted[0])),
        *("--text", "a"),
    )
    assert done.returncode == 2
    assert "what differs: weights" in done.stderr.splitlines()[-1]


def test_a_lens_serves_its_model_in_another_dtype_with_a_warning(
    fitted: tuple[Path, dict[str, Any]], model: Path
) -> None:
    _, err = run(
        *("search-cluster", "lens", "show", "--model", str(model), "--lens", str(fitted[0])),
        *("--text", "a", "--dtype", "bfloat16"),
    )
    assert "fitted in float32 and is used in bfloat16" in err
