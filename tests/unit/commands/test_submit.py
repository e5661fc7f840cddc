"""What `submit` refuses before anything is sent, and the command that it sends."""

import os
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from search_cluster.cli import app
from search_cluster.cluster.environment import prepare_job_environment
from search_cluster.commands.submit import plan_search

RUN = ("--run", "/shared/runs/a")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings/a.toml").write_text('task = "capitals"\nrun = "/shared/runs/a"\n')
    return tmp_path


def refused(work: Path, *flags: str, **environment: str) -> str:
    """The error of a submission to where nothing listens; no connection is tried before it."""
    done = CliRunner().invoke(
        app,
        ["submit", "--address", "http://127.0.0.1:9", "--working-dir", str(work), *flags],
        env=environment,
    )
    assert done.exit_code == 2, done.output
    return " ".join(done.stderr.split())


def test_the_command_has_all_flags_and_the_clusters_ray(work: Path) -> None:
    planned = plan_search(
        work / "settings/a.toml",
        ["--limit", "5", "--task", "my task.py"],
        {"limit": 5},
        working_dir=work,
    )
    assert shlex.split(planned.entrypoint) == [
        "python", "-m", "search_cluster.cli", "search", "--config", "settings/a.toml",
        "--limit", "5", "--task", "my task.py", "--ray", "auto", "--json",
    ]  # fmt: skip
    assert planned.working_dir == work


def test_a_run_folder_in_the_jobs_own_copy_is_refused(work: Path) -> None:
    assert "run is 'runs/x'; a job runs in a copy of the working directory" in refused(
        work, "--run", "runs/x"
    )
    assert "run is 'runs/search'" in refused(work)


def test_flags_win_over_the_file_as_in_a_search(work: Path) -> None:
    assert "run is 'b'" in refused(work, "--config", str(work / "settings/a.toml"), "--run", "b")


def test_a_password_on_the_command_line_is_refused_and_not_shown(work: Path) -> None:
    error = refused(work, *RUN, "--redis-url", "redis://search:geheim@cache:6380/0")
    assert "redis://search:***@cache:6380/0 holds a password" in error
    assert "LPS_REDIS_URL" in error
    assert "geheim" not in error


def test_a_password_in_the_own_environment_stays_there(work: Path) -> None:
    error = refused(work, *RUN, LPS_REDIS_URL="redis://search:geheim@cache:6380/0")
    assert error.startswith("error: --address is 'http://127.0.0.1:9', and nothing answers there (")
    assert "geheim" not in error


@pytest.mark.parametrize("value", ["local", "none", "10.0.0.1:6379"])
def test_another_ray_than_the_clusters_is_refused(work: Path, value: str) -> None:
    assert "a job uses the cluster that runs it" in refused(work, *RUN, "--ray", value)


def test_a_config_that_the_cluster_would_not_see_is_refused(
    work: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "a.toml"
    elsewhere.write_text('run = "/shared/a"\n')
    assert "is not below the working directory" in refused(work, "--config", str(elsewhere))


def test_an_address_that_is_none_is_refused(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    done = CliRunner().invoke(
        app, ["submit", "--address", "nonsense", "--working-dir", str(work), *RUN]
    )
    assert done.exit_code == 2, done.exception
    assert (
        "address is 'nonsense': Invalid address format: nonsense; give the dashboard's"
        in done.stderr
    )


def test_an_unknown_flag_or_a_wrong_value_is_refused(work: Path) -> None:
    assert "No such option: --limitt" in refused(work, *RUN, "--limitt", "3")
    assert "limit is 0; it is at least 1" in refused(work, *RUN, "--limit", "0")


@pytest.mark.parametrize(
    ("environment", "token_file", "mode"),
    [
        ({}, False, "disabled"),
        ({}, True, "token"),
        ({"RAY_AUTH_TOKEN": "t"}, False, "token"),
        ({"RAY_AUTH_TOKEN_PATH": "/t"}, False, "token"),
        ({"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "t"}, True, "disabled"),
    ],
)
def test_a_token_is_sent_if_there_is_one(
    environment: dict[str, str],
    token_file: bool,
    mode: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    if token_file:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray/auth_token").write_text("t")
    assert prepare_job_environment() is (mode == "token")
    assert os.environ["RAY_AUTH_MODE"] == mode
    monkeypatch.delenv("RAY_AUTH_MODE")
