"""A search takes the settings of the named runs, and arithmetic gives their stated costs."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from search_cluster.config import read_config
from search_cluster.tasks.registry import get_task
from search_cluster.tree.presets.registry import get_preset

DEPLOY = Path(__file__).parents[3] / "deploy"
RUNS = sorted((DEPLOY / "runs").glob("*.toml"))


@pytest.fixture(scope="module")
def cost() -> ModuleType:
    specification = importlib.util.spec_from_file_location("cost", DEPLOY / "runs/cost.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["cost"] = module
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_a_named_run_names_a_task_a_preset_and_itself(path: Path) -> None:
    config = read_config(path)
    assert get_task(config.task).name == config.task
    assert config.preset is not None, "a named run names its preset"
    assert get_preset(config.preset).name == config.preset
    assert config.run == Path("runs") / path.stem


def test_stated_costs_are_computed_ones(cost: ModuleType) -> None:
    stated = {}
    for path in RUNS:
        found = re.search(
            r"^# Expected: ([\d.]+) to ([\d.]+) A100-hours "
            r"or ([\d.]+) to ([\d.]+) H100-hours, (\w+)",
            path.read_text(),
            re.M,
        )
        if found:
            stated[path.stem] = found.groups()
    computed = {
        run.name: (
            *(f"{hours:.2f}" for gpu in ("A100", "H100") for hours in run.bounds(peaks[gpu])),
            run.basis.partition(":")[0],
        )
        for peaks in (cost.PEAK_FLOPS,)
        for run in cost.RUNS
    }
    assert stated == computed
    assert len(stated) == 6


def test_costs_are_those_of_the_settings(cost: ModuleType) -> None:
    for run in cost.RUNS:
        config = read_config(DEPLOY / "runs" / f"{run.name}.toml")
        assert run.paths == (config.budget or get_preset(config.preset).budget)
        assert config.limit in (None, run.questions)


def test_one_run_by_hand(cost: ModuleType) -> None:
    """1,000 questions x 10 paths x 100 tokens x 28 layers x 201.3 MFLOP at 1 PFLOP/s: 5.64 s."""
    run = cost.NamedRun(name="x", questions=1000, paths=10, tokens=100, share=1.0, answer_tokens=1)
    assert run.gpu_hours(1e15) * 3600 == pytest.approx(5.637, rel=1e-3)
    least, most = run.bounds(1e15)
    assert least * 3600 == pytest.approx(5.637, rel=1e-3), "the whole peak"
    assert most == pytest.approx(least / 0.14), "a fifth of a product that reaches 70 %"


def test_rules_are_those_of_the_check_of_a_gpu(cost: ModuleType) -> None:
    text = (DEPLOY / "runs/gpu_parts/throughput.py").read_text()
    found = re.search(r"^MIN_SHARES = (\{.*\})$", text, re.M)
    assert found is not None
    assert cost.RULE_SHARES["generated"] == ast.literal_eval(found[1])["generated"]


def test_a_measured_card_has_its_own_table(
    cost: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = {
        "3B product_tflops": 800.0,
        "3B generated 15, batch 64, call rows 8192": {"mfu": 0.25},
        "3B generated 15, batch 256, call rows 8192": {"mfu": 0.5},
        "3B generated 48, batch 256, call rows 8192": {"mfu": 0.1},
        "3B generated 48, batch 1024, call rows 8192": "left out: 20 s, as the last batch took",
        "8B generated 48, batch 256, call rows 8192": {"mfu": 0.9},
    }
    lines = [{"part": "A", "figures": {"card": "H200"}}, {"part": "C", "figures": cells}]
    out = tmp_path / "gpu.jsonl"
    out.write_text("".join(json.dumps(line) + "\n" for line in lines) + "PASS\n")
    cost.main(["--measured", str(out), "--price-per-gpu-hour", "2", "--currency", "EUR"])
    said = {
        row.split("|")[1].strip(" `"): row.split("|")[5:8]
        for row in capsys.readouterr().out.splitlines()
    }
    assert said["run"] == [" hours of H200 ", " rate ", " cost, EUR "]
    letters, mathematics = (cost.RUNS[0], cost.RUNS[2])
    hours = letters.gpu_hours(400e12)
    basis = " measured: 400 TFLOP/s with answers of 15 tokens "
    assert said[letters.name] == [f" {hours:.2f} ", basis, f" {2 * hours:.2f} "]
    assert said[mathematics.name][1] == " measured: 80 TFLOP/s with answers of 48 tokens "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("PASS", "parts A and C of gpu_check.py can't be read there"),
        (
            '{"part": "A", "figures": {"card": null}}\n'
            '{"part": "C", "figures": {"3B product_tflops": 1}}',
            "which has no generated answers of a GPU",
        ),
    ],
)
def test_a_file_that_measured_no_card_is_refused(
    cost: ModuleType, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "gpu.jsonl").write_text(text)
    with pytest.raises(SystemExit, match=said):
        cost.main(["--measured", str(tmp_path / "gpu.jsonl")])


def test_the_table_of_the_guide_is_what_the_script_prints() -> None:
    done = subprocess.run(
        [sys.executable, str(DEPLOY / "runs/cost.py")], capture_output=True, text=True, check=True
    )
    assert done.stdout in (DEPLOY / "README.md").read_text()
