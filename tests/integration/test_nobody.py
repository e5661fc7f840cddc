"""Commands of a user without a name and a home folder, as containers run them."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import tiny
from support.command import MODULES, run_apart

from search_cluster.corpus.reader import read_corpus

USER_ID = 12345
CAPABILITIES = "+dac_override,+dac_read_search"
"""Without these the user could not read an interpreter that lies in root's home folder."""
pytestmark = pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv"
)


def as_nobody(folder: Path, *arguments: str, expect: int, **environment: str) -> tuple[str, str]:
    """Run a console script with an empty environment under a user id that has no name."""
    script, *rest = arguments
    kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    done = subprocess.run(
        [
            "setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups",
            f"--inh-caps={CAPABILITIES}", f"--ambient-caps={CAPABILITIES}",
            sys.executable, "-m", MODULES[script], *rest,
        ],
        cwd=folder, env={"PATH": "/usr/bin:/bin", **kept, **environment},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that everybody may write to, which no folder of pytest's is."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        tiny.save_tiny_model(folder / "model", chat=True)
        yield folder


def search_of(place: Path, model: str, run: str, *more: str) -> list[str]:
    return [
        "search-cluster", "search", "--model", model, "--task", "capitals", "--limit", "4",
        "--budget", "4", "--preset", "drllm", "--redis-url", "none", "--run", str(place / run),
        *more,
    ]  # fmt: skip


def test_machine_a_user_without_home_searches_trains_and_reports(place: Path) -> None:
    run = str(place / "run")
    as_nobody(place, *search_of(place, str(place / "model"), "run", "--ray", "none"), expect=0)
    assert read_corpus(place / "run").manifest.num_examples == 4
    as_nobody(place, "search-cluster", "report", run, expect=0)
    fit = ["router-train", "fit", "--corpus", run, "--router", "static"]
    as_nobody(place, *fit, "--out", str(place / "router"), expect=0)
    assert {path.name for path in place.iterdir()} == {"model", "run", "router"}  # and no ~


def test_machine_doctor_says_what_a_home_is_missed_for(place: Path) -> None:
    out, _ = as_nobody(place, "search-cluster", "doctor", expect=0)
    assert "missing model cache    there is no home folder to keep a cache in; set " in out


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("~nouser/m", "error: model '~nouser/m': there is no such folder; "),
        ("~/m", "error: model '~/m': there is no such folder; "),
        ("org/name", f"error: user id {USER_ID} has no home folder, where caches lie: set HOME "),
    ],
)
def test_machine_a_model_below_no_home_is_one_line(place: Path, model: str, said: str) -> None:
    out, err = as_nobody(place, *search_of(place, model, "none", "--ray", "none"), expect=2)
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(said)


def test_machine_a_job_is_submitted_without_a_home(place: Path) -> None:
    submit = ["search-cluster", "submit", "--working-dir", str(place / "model"), "--run", "/x"]
    _, err = as_nobody(place, *submit, "--address", "http://127.0.0.1:9", expect=2)
    assert err.startswith("error: --address is 'http://127.0.0.1:9', and nothing answers there")


@pytest.mark.ray
def test_machine_training_on_ray_without_a_home_is_one_line(place: Path) -> None:
    as_nobody(place, *search_of(place, str(place / "model"), "ray", "--ray", "none"), expect=0)
    fit = ["router-train", "fit", "--corpus", str(place / "ray"), "--router", "static"]
    out, err = as_nobody(place, *fit, "--out", str(place / "x"), "--ray", "local", expect=2)
    assert (out, err.splitlines()[-1][:27]) == ("", f"error: user id {USER_ID} has no")


@pytest.mark.ray
def test_machine_a_worker_that_memory_kills_is_told_by_that(place: Path) -> None:
    search = search_of(place, str(place / "model"), "oom", "--ray", "local", "--workers", "2")
    settings = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "200"}
    out, err = run_apart(*search, expect=2, **settings)
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: Ray's memory monitor killed a worker while it loaded the model: ")
    assert err.endswith("; ask for fewer --workers: each of them holds the model\n")
    assert "add nodes" not in err
