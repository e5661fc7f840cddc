"""``search-cluster depth`` as users run it: a study, Ctrl-C, the same command again, its report."""

import signal
from pathlib import Path

import pytest
from support import tiny
from support.command import call, none_left_running, run, run_json, start, wait_for

TEXT = "the answer is the capital of the question what number is it of the city\n"


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    folder = tmp_path_factory.mktemp("depth")
    model = tiny.save_tiny_model(folder / "model", chat=True)
    text = folder / "text.txt"
    text.write_text("".join(f"{number} {TEXT}" for number in range(1000)))
    return (
        *("search-cluster", "depth", "--model", str(model), "--task", "capitals"),
        *("--text", str(text), "--positions", "400", "--limit", "24", "--fit-tokens", "800"),
        *("--skip-questions", "4", "--letter-questions", "0", "--bias-positions", "0"),
        *("--path", "0-2,4-5", "--path-positions", "40"),
    )


def test_an_interrupted_study_goes_on_and_says_what_a_whole_one_says(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    done = run_json(*command, "--out", str(whole), "--json")
    assert done["task"] == "capitals"
    assert any("0 mismatches of 144 pairs" in line for line in done["found"])
    with none_left_running():
        process = start(*command, "--out", str(cut))
        wait_for(lambda: (cut / "parts" / "text-0000.npz").is_file(), timeout_s=200)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "what was read is kept: run the same command again to go on" in said
    assert "Traceback" not in said
    run(*command, "--out", str(cut))
    assert (cut / "depth.json").read_bytes() == (whole / "depth.json").read_bytes()
    out, _ = run("search-cluster", "report", str(cut), "--out", str(tmp_path / "page.html"))
    assert "layers" in out
    assert "What was found" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--task", "capitalz"), "no task is called"),
        (("--path", "0-99"), "99"),
        (("--pos", "nowhere.conllu"), "nowhere.conllu can't be read"),
        (("--lens", "nowhere"), "nowhere"),
    ],
)
def test_what_can_not_be_studied_is_said_in_one_line(
    flags: tuple[str, ...], said: str, command: tuple[str, ...], tmp_path: Path
) -> None:
    done = call(*command, *flags, "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
