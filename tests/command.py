"""Running the console scripts as a user does: another process, warnings as errors."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODULES = {"search-cluster": "search_cluster.cli", "router-train": "router_train.cli"}


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start a console script; standard output and error are captured as text."""
    script, *rest = arguments
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", MODULES[script], *rest],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
    )


def run(*arguments: str, expect: int = 0, timeout_s: float = 200, **environment: str) -> tuple[str, str]:
    """Run a console script to its end; its standard output and error."""
    process = start(*arguments, **environment)
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == expect, f"exit code {process.returncode}\n{out}\n{err}"
    return out, err


def run_json(*arguments: str, **environment: str) -> dict[str, Any]:
    """Run with ``--json``; the object on the last line of standard output."""
    out, _ = run(*arguments, "--json", **environment)
    values: dict[str, Any] = json.loads(out.splitlines()[-1])
    return values


def wait_for(condition: Callable[[], bool], *, timeout_s: float = 60) -> None:
    """Poll until the condition holds."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {timeout_s} s in vain"
        time.sleep(0.05)


def num_paths_searched(run_dir: Path) -> int:
    """Paths that the newest session of a run has delivered, 0 before there is a session."""
    sessions = sorted((run_dir / "sessions").glob("*.json"))
    return int(json.loads(sessions[-1].read_text())["paths_searched"]) if sessions else 0
