"""Running the console scripts.

They run in this process, which saves the seconds of importing, or in one of their own.
Warnings are errors in both.
"""

import contextlib
import importlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

_started: list[subprocess.Popen[str]] = []

POLL_S = 0.05
MODULES = {"search-cluster": "search_cluster.cli", "router-train": "router_train.cli"}


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start a console script; standard output and error are captured as text."""
    script, *rest = arguments
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", MODULES[script], *rest],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    _started.append(process)
    return process


@contextlib.contextmanager
def none_left_running() -> Iterator[None]:
    """Kill what was started within and runs yet, as after a failure: it would disturb others."""
    num_before = len(_started)
    try:
        yield
    finally:
        for process in _started[num_before:]:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        del _started[num_before:]


def run_apart(
    *arguments: str, expect: int = 0, timeout_s: float = 200, **environment: str
) -> tuple[str, str]:
    """Run a console script in its own process to its end; its standard output and error."""
    process = start(*arguments, **environment)
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == expect, f"exit code {process.returncode}\n{out}\n{err}"
    return out, err


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a console script in this process to its end.

    This is not for ``--ray local``, which would end the tests' own Ray.
    """
    script, *rest = arguments
    main = importlib.import_module(MODULES[script]).main
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    out, err, code = io.TextIOWrapper(io.BytesIO(), encoding), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", [script, *rest]),
        mock.patch.dict(os.environ, environment),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        _as_it_was(),
    ):
        try:
            main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    out.seek(0)
    return subprocess.CompletedProcess(arguments, code, out.read(), err.getvalue())


def run(*arguments: str, expect: int = 0, **environment: str) -> tuple[str, str]:
    """`call`, and its standard output and error."""
    done = call(*arguments, **environment)
    assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


@contextlib.contextmanager
def _as_it_was() -> Iterator[None]:
    """Undo what a console script does to its process."""
    loggers = [logging.getLogger(name.partition(".")[0]) for name in MODULES.values()]
    before = [list(logger.handlers) for logger in loggers]
    on_terminate = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, on_terminate)
        for logger, handlers in zip(loggers, before, strict=True):
            logger.handlers[:] = handlers


def run_json(*arguments: str, **environment: str) -> dict[str, Any]:
    """`run` with ``--json``; the object on the last line of standard output."""
    return _last_line(run(*arguments, "--json", **environment)[0])


def run_json_apart(*arguments: str, **environment: str) -> dict[str, Any]:
    """`run_apart` with ``--json``; the object on the last line of standard output."""
    return _last_line(run_apart(*arguments, "--json", **environment)[0])


def _last_line(out: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(out.splitlines()[-1])
    return values


def wait_for(condition: Callable[[], bool], *, timeout_s: float = 60) -> None:
    """Poll until the condition holds; for longer if all processes were stopped for a while."""
    for _ in range(round(timeout_s / POLL_S)):
        if condition():
            return
        time.sleep(POLL_S)
    assert condition(), f"waited {timeout_s} s in vain"


def num_paths_searched(run_dir: Path) -> int:
    """Paths that the newest session of a run has delivered, 0 before there is a session."""
    return _newest_session(run_dir, "paths_searched")


def num_examples_done(run_dir: Path) -> int:
    """Examples that the newest session of a run has finished, 0 before there is a session."""
    return _newest_session(run_dir, "examples_done")


def _newest_session(run_dir: Path, name: str) -> int:
    sessions = sorted((run_dir / "sessions").glob("*.json"))
    return int(json.loads(sessions[-1].read_text())[name]) if sessions else 0
