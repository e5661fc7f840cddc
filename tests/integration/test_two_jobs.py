"""Two jobs on one cache: nothing is computed by both, and a killed one holds nobody up."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from support import tiny
from support.cache_folder import count_verdicts
from support.command import num_paths_searched, start, wait_for
from support.slow_search import SlowSearch

from search_cluster.cache.server.embedded import EmbeddedServer

pytestmark = pytest.mark.server


@pytest.fixture
def slow(tmp_path: Path) -> SlowSearch:
    tiny.save_tiny_model(tmp_path / "model", chat=True)
    return SlowSearch(tmp_path, str(tmp_path / "model"), pause_s=0.06)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with EmbeddedServer(tmp_path / "shared") as server:
        yield server.url


def result_of(process: Any) -> dict[str, Any]:
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    values: dict[str, Any] = json.loads(out.splitlines()[-1])
    return values


def claims(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return sum(1 for _ in client.scan_iter("lps:l:*"))


def test_no_verdict_is_computed_by_both(slow: SlowSearch, tmp_path: Path, url: str) -> None:
    command = [*slow.command, "--ray", "none", "--json"]
    jobs = [
        start(*command, "--run", str(tmp_path / name), LPS_REDIS_URL=url) for name in ("a", "b")
    ]
    first, second = (result_of(job) for job in jobs)
    undisturbed = slow.undisturbed(tmp_path / "undisturbed")
    assert first["corpus_digest"] == second["corpus_digest"] == undisturbed["corpus_digest"]
    computed = [first["paths_evaluated"], second["paths_evaluated"]]
    assert sum(computed) == count_verdicts(url) == undisturbed["paths_evaluated"]
    assert min(computed) > 0.2 * sum(computed)  # they share the work, one does not follow the other
    assert claims(url) == 0


@pytest.mark.soak
@pytest.mark.ray
def test_no_verdict_is_computed_by_both_on_ray_with_several_coordinators_each(
    slow: SlowSearch, tmp_path: Path, url: str, ray_address: str
) -> None:
    command = [
        *slow.command,
        "--ray",
        ray_address,
        "--workers",
        "2",
        "--coordinators",
        "2",
        "--json",
    ]
    jobs = [
        start(*command, "--run", str(tmp_path / name), LPS_REDIS_URL=url) for name in ("a", "b")
    ]
    results = [result_of(job) for job in jobs]
    undisturbed = slow.undisturbed(tmp_path / "undisturbed")
    assert {result["corpus_digest"] for result in results} == {undisturbed["corpus_digest"]}
    assert [result["coordinators"] for result in results] == [2, 2]
    assert [result["failures"] for result in results] == [0, 0]
    computed = [result["paths_evaluated"] for result in results]
    assert sum(computed) == count_verdicts(url) == undisturbed["paths_evaluated"]
    assert min(computed) > 0.1 * sum(
        computed
    )  # though one may have started seconds after the other
    assert claims(url) == 0


@pytest.mark.soak
def test_a_killed_job_holds_nobody_up(slow: SlowSearch, tmp_path: Path, url: str) -> None:
    command = [*slow.command, "--ray", "none", "--json"]
    killed = start(*command, "--run", str(tmp_path / "killed"), LPS_REDIS_URL=url)
    wait_for(lambda: num_paths_searched(tmp_path / "killed") >= 60)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    num_cached, num_claims = count_verdicts(url), claims(url)
    assert num_claims > 0
    slow.hurry()
    result = result_of(start(*command, "--run", str(tmp_path / "other"), LPS_REDIS_URL=url))
    undisturbed = slow.undisturbed(tmp_path / "undisturbed")
    assert result["corpus_digest"] == undisturbed["corpus_digest"]
    assert result["paths_evaluated"] == undisturbed["paths_evaluated"] - num_cached
    assert result["elapsed_seconds"] < 40
