"""A search takes the settings of the named runs, and arithmetic gives their stated costs."""

import importlib.util
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
            r"^# Expected: ([\d.]+) A100-hours or ([\d.]+) H100-hours, computed",
            path.read_text(),
            re.M,
        )
        if found:
            stated[path.stem] = found.groups()
    computed = {
        run.name: tuple(f"{run.gpu_hours(cost.PEAK_FLOPS[gpu]):.2f}" for gpu in ("A100", "H100"))
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
    run = cost.NamedRun(name="x", questions=1000, paths=10, tokens=100, share=1.0, utilisation=1.0)
    assert run.gpu_hours(1e15) * 3600 == pytest.approx(5.637, rel=1e-3)


def test_the_table_of_the_guide_is_what_the_script_prints() -> None:
    done = subprocess.run(
        [sys.executable, str(DEPLOY / "runs/cost.py")], capture_output=True, text=True, check=True
    )
    assert done.stdout in (DEPLOY / "README.md").read_text()
