"""The walls of the house: what the import contracts can't say, and that they can fail."""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("search_cluster", "router_train")
GROUND_FLOOR = {
    "search_cluster": {
        "__init__",
        "api",
        "bridged_spec",
        "cli",
        "config",
        "console",
        "errors",
        "extras",
        "faults",
        "files",
        "hub_spec",
        "identity",
        "lock",
        "trackers",
        "machine",
        "stats",
        "task_spec",
    },
    "router_train": {"__init__", "api", "auto", "cli", "config", "distributed"},
}
MAX_MODULES = 20
"""In one folder."""
MAX_LINES = 300
"""Of one module."""
MAX_CLI_LINES = 120


def modules(package: str) -> list[Path]:
    return sorted((REPOSITORY / package).rglob("*.py"))


def imported(file: Path) -> set[str]:
    """The top-level packages that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_the_ground_floor_holds_what_all_rooms_share_and_nothing_else(package: str) -> None:
    assert {file.stem for file in (REPOSITORY / package).glob("*.py")} <= GROUND_FLOOR[package]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_room_is_full_and_no_module_is_long(package: str) -> None:
    counts: dict[Path, int] = defaultdict(int)
    long = []
    for file in modules(package):
        counts[file.parent] += 1
        num_lines = file.read_text(encoding="utf-8").count("\n")
        if num_lines > (MAX_CLI_LINES if file.name == "cli.py" else MAX_LINES):
            long.append(f"{file.relative_to(REPOSITORY)}: {num_lines}")
    assert not long
    assert not [str(folder) for folder, count in counts.items() if count > MAX_MODULES]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_class_name_belongs_to_one_module(package: str) -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for file in modules(package):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(str(file.relative_to(REPOSITORY)))
    assert not {name: files for name, files in homes.items() if len(files) > 1}


def test_ray_is_imported_in_one_room_and_redis_in_one_module() -> None:
    files = [file for package in PACKAGES for file in modules(package)]
    ray = [file for file in files if "ray" in imported(file)]
    assert {file.relative_to(REPOSITORY).parts[:2] for file in ray} == {
        ("search_cluster", "cluster")
    }
    redis = [file for file in files if "redis" in imported(file)]
    assert redis == [REPOSITORY / "search_cluster" / "cache" / "redis" / "client.py"]


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("search_cluster/tree/newcomer.py", "import ray"),
        ("router_train/data/newcomer.py", "from ray import train"),
        ("search_cluster/cache/server/newcomer.py", "import redis"),
        ("search_cluster/search/newcomer.py", "import torch"),
        ("search_cluster/paths/newcomer.py", "from search_cluster.tree import node"),
        ("search_cluster/tasks/builtin/newcomer.py", "from search_cluster.model import anatomy"),
        ("router_train/data/newcomer.py", "from router_train.routers import base"),
        ("router_train/routers/menu/newcomer.py", "from search_cluster.search import rounds"),
        ("search_cluster/new_room/__init__.py", "import json"),
    ],
)
def test_a_new_file_is_covered_the_day_it_is_born(place: str, line: str, tmp_path: Path) -> None:
    for package in PACKAGES:
        (tmp_path / package).symlink_to(REPOSITORY / package)
    copy = tmp_path / place.split("/")[0]
    copy.unlink()
    _link_all(REPOSITORY / copy.name, copy, keep=tmp_path / place)
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(f'"""A newcomer."""\n\n{line}\n')
    (tmp_path / "pyproject.toml").write_text((REPOSITORY / "pyproject.toml").read_text())
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "newcomer" in done.stdout or "new_room" in done.stdout


def _link_all(source: Path, target: Path, *, keep: Path) -> None:
    """Mirror the folders on the way to ``keep`` as real ones and link everything else."""
    target.mkdir()
    for item in source.iterdir():
        if item.name == "__pycache__":
            continue
        if item.is_dir() and (target / item.name) in keep.parents:
            _link_all(item, target / item.name, keep=keep)
        else:
            (target / item.name).symlink_to(item)
