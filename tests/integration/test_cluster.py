"""A cluster as in earnest: `ray start` with a token, a submitted job, a real Prometheus."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import tiny
from support.command import wait_for
from support.namespace import Namespace

from search_cluster.corpus.reader import read_corpus

pytestmark = [pytest.mark.ray, pytest.mark.server]

REPOSITORY = Path(__file__).parents[2]
DASHBOARD = REPOSITORY / "deploy/grafana/search-cluster.json"
RAY_PORT, JOBS_PORT, METRICS_PORT, PROMETHEUS_PORT = 6400, 8265, 8090, 9090
JOBS_URL = f"http://127.0.0.1:{JOBS_PORT}"
TOKEN = "0123456789abcdef" * 4
SUBMIT = (sys.executable, "-m", "search_cluster.cli", "submit", "--address", JOBS_URL)
SLOW_TASK = Path(__file__).parent / "data" / "slow_task.py"
NUM_EXAMPLES = 80
GPU_ONLY = "search_device_utilisation"
"""What NVML alone can tell, which no CPU has."""
RATE_WINDOW = "10s"
"""Stands for Grafana's ``$__rate_interval`` at a scrape interval of 1 s."""
FETCH = """
import json, sys, urllib.error, urllib.request
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url, timeout=20).read().decode().strip())
    except urllib.error.HTTPError as error:
        print(json.dumps({"status": error.read().decode()}))
    except OSError as error:
        print(json.dumps({"status": str(error)}))
"""


@dataclass(frozen=True)
class Cluster:
    """A Ray head with two CPUs and tokens, and a Prometheus that scrapes it every second."""

    space: Namespace
    folder: Path
    ray_dir: Path
    """Short, for Ray's sockets."""
    environment: dict[str, str]

    @property
    def work(self) -> Path:
        """The working directory of all commands, empty but for what a test puts there."""
        return self.folder / "work"

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.space.run(*command, environment=self.environment | environment, cwd=self.work)

    def start(self, *command: str, log: Path) -> subprocess.Popen[bytes]:
        return self.space.start(*command, environment=self.environment, cwd=self.work, log=log)

    def fetch(self, *urls: str) -> list[Any]:
        done = self.run(sys.executable, "-S", "-c", FETCH, *urls)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def query(self, *expressions: str, start_s: float, end_s: float) -> list[Any]:
        """What Prometheus says of expressions over a period, in steps of one second."""
        from urllib.parse import urlencode

        base = f"http://127.0.0.1:{PROMETHEUS_PORT}/api/v1/query_range?"
        period = {"start": f"{start_s:.3f}", "end": f"{end_s:.3f}", "step": "1s"}
        return self.fetch(
            *(base + urlencode({"query": expression, **period}) for expression in expressions)
        )

    def submit(self, *flags: str, **environment: str) -> Any:
        return self.run(*SUBMIT, *flags, **environment)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if shutil.which("prometheus") is None:
        pytest.skip("no prometheus on the PATH: apt-get install prometheus")
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "work").mkdir()
    tiny.save_tiny_model(folder / "model", chat=True)
    environment = os.environ | {
        "HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_metrics_report_interval_ms": "1000",
        "TMPDIR": "/tmp",
        "GRADE_PAUSE_S": "0.02",  # so that the search of the tests can be watched on any machine
    }
    environment.pop("RAY_ADDRESS", None)
    with (
        Namespace() as space,
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as ray_dir,
    ):
        cluster = Cluster(space, folder, Path(ray_dir), environment)
        started = cluster.run(
            sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--port={RAY_PORT}",
            f"--dashboard-port={JOBS_PORT}", f"--metrics-export-port={METRICS_PORT}",
            "--num-cpus=2", f"--object-store-memory={100 * 2**20}", f"--temp-dir={ray_dir}",
        )  # fmt: skip
        assert started.returncode == 0, started.stdout + started.stderr
        start_prometheus(cluster)
        yield cluster


def start_prometheus(cluster: Cluster) -> None:
    """The configuration that is shipped, on this cluster's folder, faster."""
    shipped = REPOSITORY / "deploy/prometheus"
    config = (shipped / "prometheus.yml").read_text()
    for old, new in (
        ("10s", "1s"),
        ("/tmp/ray/", f"{cluster.ray_dir}/"),
        ("interval: 30s", "interval: 2s"),
    ):
        assert old in config
        config = config.replace(old, new)
    (cluster.folder / "prometheus.yml").write_text(config)
    shutil.copy(shipped / "rules.yml", cluster.folder)
    cluster.start(
        "prometheus", f"--config.file={cluster.folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={cluster.folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{PROMETHEUS_PORT}", log=cluster.folder / "prometheus.log",
    )  # fmt: skip

    def scraped() -> bool:
        (targets,) = cluster.fetch(f"http://127.0.0.1:{PROMETHEUS_PORT}/api/v1/targets")
        active = targets.get("data", {}).get("activeTargets", [])
        return any(
            f":{METRICS_PORT}" in target["scrapeUrl"] and target["health"] == "up"
            for target in active
        )

    wait_for(scraped, timeout_s=40)


@dataclass(frozen=True)
class Job:
    """A search that was submitted and ended."""

    run: Path
    result: dict[str, Any]
    log: str
    started_s: float
    ended_s: float


@pytest.fixture(scope="module")
def job(cluster: Cluster) -> Job:
    run = cluster.folder / "runs" / "first"
    (cluster.work / "settings.toml").write_text(
        f'model = "{cluster.folder / "model"}"\ntask = "{SLOW_TASK}"\npreset = "drllm"\n'
        "budget = 16\nworkers = 2\nprice_per_gpu_hour = 2.5\n"
    )
    started_s = time.time()
    done = cluster.submit(
        "--config", "settings.toml", "--json", "--run", str(run), "--limit", str(NUM_EXAMPLES)
    )
    assert done.returncode == 0, done.stderr
    return Job(run, json.loads(done.stdout.splitlines()[-1]), done.stderr, started_s, time.time())


def test_a_submitted_search_leaves_its_corpus_and_shows_its_log(cluster: Cluster, job: Job) -> None:
    assert job.result["status"] == "SUCCEEDED"
    assert job.result["exit_code"] == 0
    assert f"ray job logs --follow --address {JOBS_URL} {job.result['job']}" in job.log
    assert re.search(rf"searching \S+: {NUM_EXAMPLES}/{NUM_EXAMPLES} questions", job.log)
    assert TOKEN not in job.log
    corpus = read_corpus(job.run)
    assert len(corpus.records) == NUM_EXAMPLES
    last_line = next(line for line in reversed(job.log.splitlines()) if line.startswith("{"))
    assert json.loads(last_line)["corpus_digest"] == corpus.manifest.corpus_digest
    assert not list((cluster.work).glob("runs"))


def panel_queries() -> list[tuple[str, str]]:
    """(title, expression) of every query of the dashboard, variables filled in as Grafana does."""
    dashboard = json.loads(DASHBOARD.read_text())
    found = []
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", RATE_WINDOW)
            expression = expression.replace("$run", ".*").replace("$node", ".*")
            assert "$" not in expression, (
                f"{panel['title']}: a variable that the dashboard does not define"
            )
            found.append((panel["title"], expression))
    return found


def test_every_panel_of_the_dashboard_has_data(cluster: Cluster, job: Job) -> None:
    queries = panel_queries()
    assert queries[0][0] == "Paths searched per GPU-hour"
    answers = cluster.query(
        *(query for _, query in queries), start_s=job.started_s, end_s=job.ended_s
    )
    assert len(answers) == len(queries)
    for (title, query), answer in zip(queries, answers, strict=True):
        assert answer["status"] == "success", (title, query, answer)
        if GPU_ONLY in query:
            continue
        series = answer["data"]["result"]
        values = [float(value) for one in series for _, value in one["values"]]
        assert any(value == value and abs(value) < float("inf") for value in values), (
            title,
            query,
            series,
        )
        assert all(one["metric"]["run"] == str(job.run) for one in series), (title, series)


def test_what_prometheus_holds_is_what_the_search_reports(cluster: Cluster, job: Job) -> None:
    """The last scraped totals against the session's own, to what one second may change."""
    (session,) = (json.loads(path.read_text()) for path in (job.run / "sessions").glob("*.json"))
    names = {
        "paths_searched": "paths_searched_total",
        "paths_evaluated": "paths_evaluated_total",
        "device_busy_seconds": "device_busy_seconds_total",
        "device_seconds": "device_held_seconds_total",
        "layer_runs": "layer_runs_total",
        "examples_total": "examples",
    }
    answers = cluster.query(
        *(f"sum(ray_search_{name})" for name in names.values()),
        start_s=job.started_s,
        end_s=job.ended_s,
    )
    for key, answer in zip(names, answers, strict=True):
        last = float(answer["data"]["result"][0]["values"][-1][1])
        assert 0.5 * session[key] < last <= 1.001 * session[key], (key, last, session[key])


def test_the_alert_rules_load_and_stay_silent(cluster: Cluster, job: Job) -> None:
    (rules,) = cluster.fetch(f"http://127.0.0.1:{PROMETHEUS_PORT}/api/v1/rules")
    (group,) = rules["data"]["groups"]
    assert {rule["health"] for rule in group["rules"]} == {"ok"}
    firing = [rule["name"] for rule in group["rules"] if rule.get("state") == "firing"]
    assert firing == []


def test_a_job_that_fails_hands_on_its_exit_code_and_its_error(cluster: Cluster) -> None:
    done = cluster.submit(
        "--run", str(cluster.folder / "runs" / "bad"), "--model", "/no/such/model", "--json"
    )
    assert done.returncode == 2
    assert "there is no such folder" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "FAILED"


def test_without_the_token_the_cluster_refuses(cluster: Cluster) -> None:
    for wrong in ({"RAY_AUTH_TOKEN": "f" * 64}, {"RAY_AUTH_MODE": "disabled"}):
        done = cluster.submit("--run", str(cluster.folder / "runs" / "none"), **wrong)
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: no Ray job server lets us in at {JOBS_URL}")
        assert "RAY_AUTH_TOKEN" in done.stderr
        assert "f" * 64 not in done.stderr


@pytest.mark.soak  # Ray Train's workers take long to start
def test_two_workers_of_the_cluster_train_a_router_in_a_submitted_job(
    cluster: Cluster, job: Job
) -> None:
    out = cluster.folder / "routers" / "drllm"
    fit = (
        "fit",
        "--corpus",
        str(job.run),
        "--task",
        str(SLOW_TASK),
        "--router",
        "drllm",
        "--epochs",
        "2",
    )
    done = cluster.run(
        sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--address", JOBS_URL, "--",
        sys.executable, "-m", "router_train.cli", *fit, "--ray", "auto", "--num-workers", "2",
        "--out", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout
    assert TOKEN not in done.stdout + done.stderr
    assert {"router.json", "router.safetensors"} <= {path.name for path in out.iterdir()}


def test_ctrl_c_leaves_the_job_running_and_says_how_to_go_on(cluster: Cluster, job: Job) -> None:
    flags = (
        "--config",
        "settings.toml",
        "--run",
        str(cluster.folder / "runs" / "long"),
        "--budget",
        "100000",
    )
    log = cluster.folder / "submit.log"
    process = cluster.start(*SUBMIT, *flags, log=log)
    wait_for(lambda: "Running entrypoint" in log.read_text(), timeout_s=100)
    (submitting,) = psutil.Process(process.pid).children()
    submitting.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    goodbye = re.search(r"job (\S+) goes on without you\n.*\n  stop it:   (.*)\n", log.read_text())
    assert goodbye, log.read_text()
    stop = ["env", *goodbye[2].split()]
    assert stop[1] == "RAY_AUTH_MODE=token"
    done = cluster.run(*stop)
    assert done.returncode == 0, done.stderr
    assert "was stopped" in done.stdout + done.stderr
