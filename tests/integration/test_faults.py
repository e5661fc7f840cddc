"""Faults in the middle of a search on a real Ray: it ends, or resumes by the same command.

Each ends with the corpus of an undisturbed run, and computes no verdict twice but what was in
flight.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.cache_folder import count_verdicts, server_is_alive
from support.command import num_paths_searched, run_apart, run_json_apart, start, wait_for
from support.fault_tools import COORDINATOR, WORKER, actors, fill, redis_server, small_disk
from support.slow_search import MAX_IN_FLIGHT, SlowSearch

from search_cluster.cache.server.embedded import EmbeddedServer
from search_cluster.commands.search import run_search
from search_cluster.config import SearchConfig
from search_cluster.corpus.reader import read_corpus

pytestmark = [pytest.mark.soak, pytest.mark.ray, pytest.mark.server]

POISON_TASK = Path(__file__).parent / "data" / "poison_task.py"


@pytest.fixture
def slow(model_dir: str, tmp_path: Path) -> SlowSearch:
    return SlowSearch(tmp_path, model_dir, pause_s=0.15)


@pytest.fixture(scope="module")
def undisturbed(model_dir: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    quiet = SlowSearch(folder, model_dir, pause_s=0)
    return quiet.undisturbed(folder / "run")


Launch = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Starts commands, and ends what is left of them after the test."""
    started: list[subprocess.Popen[str]] = []

    def launch(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        started.append(start(*arguments, **environment))
        return started[-1]

    yield launch
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def result_of(process: subprocess.Popen[str], timeout_s: float = 300) -> tuple[dict[str, Any], str]:
    out, err = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1]), err


def test_kill_9_of_an_evaluator(
    launch: Launch, slow: SlowSearch, tmp_path: Path, ray_address: str, undisturbed: dict[str, Any]
) -> None:
    with EmbeddedServer(tmp_path / "shared") as server:
        command = [
            *slow.command,
            "--ray",
            ray_address,
            "--workers",
            "2",
            "--json",
            "--run",
            str(tmp_path / "run"),
        ]
        process = launch(*command, LPS_REDIS_URL=server.url)
        wait_for(lambda: num_paths_searched(tmp_path / "run") >= 60, timeout_s=300)
        actors(WORKER)[0].kill()
        result, _ = result_of(process)
        assert result["corpus_digest"] == undisturbed["corpus_digest"]
        assert result["failures"] == 0
        # What was lost in flight had not been counted; whatever was delivered was computed once.
        assert (
            result["paths_evaluated"]
            == count_verdicts(server.url)
            == undisturbed["paths_evaluated"]
        )
    assert result["worker_restarts"] >= 1


def test_a_coordinator_that_hangs(
    launch: Launch, slow: SlowSearch, tmp_path: Path, ray_address: str, undisturbed: dict[str, Any]
) -> None:
    run_dir = tmp_path / "run"
    with slow.settings.open("a") as settings:
        settings.write("coordinators = 2\ncoordinator_timeout_s = 5\n")
    with EmbeddedServer(tmp_path / "shared") as server:
        command = [
            *slow.command,
            "--ray",
            ray_address,
            "--workers",
            "2",
            "--json",
            "--run",
            str(run_dir),
        ]
        process = launch(*command, LPS_REDIS_URL=server.url)
        wait_for(lambda: num_paths_searched(run_dir) >= 60, timeout_s=300)
        actors(COORDINATOR)[0].suspend()
        result, err = result_of(process)
        assert "it has not reported for" in err
        assert result["corpus_digest"] == undisturbed["corpus_digest"]
        assert (result["coordinator_restarts"], result["failures"]) == (1, 0)
        assert count_verdicts(server.url) == undisturbed["paths_evaluated"]
        # Twice: at most what was in flight, and what its last, unreported steps delivered.
        assert result["paths_evaluated"] <= undisturbed["paths_evaluated"] + MAX_IN_FLIGHT


@pytest.mark.parametrize("returns", [True, False])
def test_kill_9_of_the_redis_server(
    launch: Launch,
    slow: SlowSearch,
    tmp_path: Path,
    ray_address: str,
    undisturbed: dict[str, Any],
    returns: bool,
) -> None:
    folder, port, run_dir = tmp_path / "redis", 26_411, tmp_path / "run"
    command = [
        *slow.command,
        "--ray",
        ray_address,
        "--workers",
        "2",
        "--json",
        "--run",
        str(run_dir),
    ]
    url = f"redis://127.0.0.1:{port}/0"
    with redis_server(folder, port) as server:
        process = launch(*command, LPS_REDIS_URL=url)
        wait_for(lambda: num_paths_searched(run_dir) >= 60, timeout_s=300)
        server.kill()
        server.wait()
        num_then = num_paths_searched(run_dir)
        wait_for(lambda: num_paths_searched(run_dir) >= num_then + 20, timeout_s=300)
        assert list((run_dir / "spool").glob("*.spool")), "fresh verdicts wait on disk"
    with redis_server(folder, port) if returns else contextlib.nullcontext():
        result, err = result_of(process)
        assert "going on without it" in err
        assert result["corpus_digest"] == undisturbed["corpus_digest"]
        assert result["paths_evaluated"] == undisturbed["paths_evaluated"]
        assert ("has returned" in err) is returns
        assert ("did not take wait in" in err) is not returns
        num_waiting = result["verdicts_waiting"]
        assert (num_waiting > 0) is not returns
    with redis_server(folder, port):
        if not returns:
            assert count_verdicts(url) == undisturbed["paths_evaluated"] - num_waiting
            again = run_json_apart(*command[:-3], "--run", str(run_dir), LPS_REDIS_URL=url)
            assert again["paths_evaluated"] == 0
        assert count_verdicts(url) == undisturbed["paths_evaluated"]
    assert not list((run_dir / "spool").iterdir())


@pytest.mark.parametrize("where", ["in one process", "on Ray"])
def test_a_redis_server_that_hangs_to_the_end(
    launch: Launch,
    slow: SlowSearch,
    tmp_path: Path,
    ray_address: str,
    undisturbed: dict[str, Any],
    where: str,
) -> None:
    port, run_dir = 26_413, tmp_path / "run"
    ray = (
        ["--ray", "none"] if where == "in one process" else ["--ray", ray_address, "--workers", "2"]
    )
    command = [*slow.command, *ray, "--run", str(run_dir)]
    url = f"redis://127.0.0.1:{port}/0"
    with redis_server(tmp_path / "redis", port) as server:
        process = launch(*command, "--json", LPS_REDIS_URL=url)
        wait_for(lambda: num_paths_searched(run_dir) >= 60, timeout_s=300)
        server.send_signal(signal.SIGSTOP)
        result, err = result_of(process)
        server.send_signal(signal.SIGCONT)
        assert "going on without it" in err
        assert result["corpus_digest"] == undisturbed["corpus_digest"]
        assert result["paths_evaluated"] == undisturbed["paths_evaluated"]
        assert result["verdicts_waiting"] > 0
        again = run_json_apart(*command, LPS_REDIS_URL=url)
        assert (again["verdicts_waiting"], again["paths_evaluated"]) == (0, 0)
        assert count_verdicts(url) == undisturbed["paths_evaluated"]


def test_kill_9_of_the_driver_while_the_redis_server_is_away(
    launch: Launch, slow: SlowSearch, tmp_path: Path, ray_address: str, undisturbed: dict[str, Any]
) -> None:
    folder, port, run_dir = tmp_path / "redis", 26_412, tmp_path / "run"
    command = [*slow.command, "--ray", ray_address, "--workers", "2", "--run", str(run_dir)]
    url = f"redis://127.0.0.1:{port}/0"
    with redis_server(folder, port) as server:
        process = launch(*command, LPS_REDIS_URL=url)
        wait_for(lambda: num_paths_searched(run_dir) >= 60, timeout_s=300)
        server.kill()
        server.wait()
        num_then = num_paths_searched(run_dir)
        wait_for(lambda: num_paths_searched(run_dir) >= num_then + 20, timeout_s=300)
        num_delivered = num_paths_searched(run_dir)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    slow.hurry()
    with redis_server(folder, port):
        result = run_json_apart(*command, LPS_REDIS_URL=url)
        assert count_verdicts(url) == undisturbed["paths_evaluated"]
    assert result["corpus_digest"] == undisturbed["corpus_digest"]
    # All that was delivered was known, from the server, the spool, or a finished shard.
    assert result["paths_evaluated"] <= undisturbed["paths_evaluated"] - num_delivered
    assert not list((run_dir / "spool").iterdir())


def test_kill_9_of_the_embedded_server(
    launch: Launch, slow: SlowSearch, tmp_path: Path, ray_address: str, undisturbed: dict[str, Any]
) -> None:
    run_dir = tmp_path / "run"
    process = launch(
        *slow.command, "--ray", ray_address, "--workers", "2", "--json", "--run", str(run_dir)
    )
    wait_for(lambda: num_paths_searched(run_dir) >= 60, timeout_s=300)
    servers = [
        server
        for server in psutil.process_iter(["name"])
        if "server" in server.info["name"] and Path(server.cwd()) == run_dir / "cache"
    ]
    assert len(servers) == 1
    servers[0].kill()
    result, _ = result_of(process)
    assert result["corpus_digest"] == undisturbed["corpus_digest"]
    assert result["paths_evaluated"] == undisturbed["paths_evaluated"]
    wait_for(lambda: not server_is_alive(run_dir))
    with EmbeddedServer(run_dir / "cache") as server:
        # A server that is killed may lose what it had not handed to the system yet, a moment's
        # worth.
        assert undisturbed["paths_evaluated"] - MAX_IN_FLIGHT <= count_verdicts(server.url)


def test_sigterm_on_a_cluster(
    launch: Launch, slow: SlowSearch, tmp_path: Path, ray_address: str, undisturbed: dict[str, Any]
) -> None:
    run_dir = tmp_path / "run"
    command = [*slow.command, "--ray", ray_address, "--workers", "2", "--run", str(run_dir)]
    process = launch(*command)
    wait_for(lambda: num_paths_searched(run_dir) >= 60, timeout_s=300)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "run the same command again" in err
    assert "Traceback" not in err
    with EmbeddedServer(run_dir / "cache") as server:
        num_cached = count_verdicts(server.url)
    slow.hurry()
    result = run_json_apart(*command)
    assert result["corpus_digest"] == undisturbed["corpus_digest"]
    assert result["paths_evaluated"] == undisturbed["paths_evaluated"] - num_cached


def test_run_twice_by_mistake(
    launch: Launch, slow: SlowSearch, tmp_path: Path, ray_address: str, undisturbed: dict[str, Any]
) -> None:
    run_dir = tmp_path / "run"
    command = [*slow.command, "--ray", ray_address, "--workers", "1", "--run", str(run_dir)]
    process = launch(*command, "--json")
    wait_for(lambda: num_paths_searched(run_dir) >= 30, timeout_s=300)
    _, err = run_apart(*slow.command, "--ray", "none", "--run", str(run_dir), expect=2)
    assert "another process writes into" in err
    result, _ = result_of(process)
    assert result["corpus_digest"] == undisturbed["corpus_digest"]
    assert result["paths_evaluated"] == undisturbed["paths_evaluated"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "4m") as folder:
        yield folder


@pytest.mark.parametrize("cache", ["embedded", "shared"])
def test_a_full_disk(
    launch: Launch,
    slow: SlowSearch,
    disk: Path,
    tmp_path: Path,
    ray_address: str,
    undisturbed: dict[str, Any],
    cache: str,
) -> None:
    run_dir = disk / "run"
    command = [*slow.command, "--ray", ray_address, "--workers", "2", "--run", str(run_dir)]
    with EmbeddedServer(tmp_path / "shared") as server:
        url = server.url if cache == "shared" else "embedded"
        process = launch(*command, LPS_REDIS_URL=url)
        wait_for(lambda: num_paths_searched(run_dir) >= 60, timeout_s=300)
        ballast = fill(disk)
        _, err = process.communicate(timeout=100)
        assert process.returncode == 2, err
        assert "No space left on device" in err
        assert "Traceback" not in err
        ballast.unlink()
        slow.hurry()
        result = run_json_apart(*command, LPS_REDIS_URL=url)
    assert result["corpus_digest"] == undisturbed["corpus_digest"]
    assert result["paths_evaluated"] <= undisturbed["paths_evaluated"] - 60 + 1


def test_a_poison_example(model_dir: str, tmp_path: Path, ray_address: str) -> None:
    task = str(shutil.copy(POISON_TASK, tmp_path))
    settings = ["--model", model_dir, "--task", task, "--limit", "12", "--budget", "8"]
    quiet = SearchConfig(
        model=model_dir,
        task=task,
        limit=12,
        budget=8,
        ray="none",
        redis_url="none",
        run=tmp_path / "quiet",
    )
    run_search(quiet)
    expected = {record.example.example_id: record for record in read_corpus(quiet.run).records}
    victim = next(iter(expected.values())).example
    (tmp_path / "poison").write_text(victim.question)
    run_dir = tmp_path / "run"
    command = [
        "search-cluster",
        "search",
        *settings,
        "--ray",
        ray_address,
        "--workers",
        "2",
        "--run",
        str(run_dir),
    ]
    result = run_json_apart(*command)
    assert (result["examples"], result["worker_restarts"] >= 3) == (12, True)
    assert result["failures"] >= 1
    for record in read_corpus(run_dir).records:
        if record.example.example_id == victim.example_id:
            assert {item.kind for item in record.failures} == {"WorkerDied"}
            assert record.evaluated == ()
        else:
            quiet_record = expected[record.example.example_id]
            assert [item.path for item in record.evaluated] == [
                item.path for item in quiet_record.evaluated
            ]
            assert [item.path for item in record.best] == [item.path for item in quiet_record.best]
            assert record.failures == ()
