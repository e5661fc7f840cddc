"""Faults of all kinds at random moments of searches on a real Ray: one digest, and no failure.

Each run is dealt the same faults in an order of its own. Every one of them counts only when it was
seen to take effect.
"""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import redis
from support.cache_folder import count_verdicts
from support.command import wait_for
from support.fault_tools import (
    COORDINATOR,
    WORKER,
    actors,
    fill,
    has_ended,
    redis_server,
    small_disk,
)

from search_cluster.commands.search import run_search
from search_cluster.config import SearchConfig
from search_cluster.corpus.reader import read_corpus

pytestmark = [pytest.mark.soak, pytest.mark.ray, pytest.mark.server]

FRAGILE_TASK = Path(__file__).parent / "data" / "fragile_task.py"
SETTINGS: dict[str, Any] = {"limit": 60, "budget": 40, "examples_per_shard": 8}
PRESET = "polar"
"""It spends its budget whatever it finds."""
FAST_S, SLOW_S = 0.02, 1.0
"""Pauses before a grade, as long as faults are to come: they find a search that goes on, and one
that lasts until the last of them."""
PORT = 26_414 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
URL = f"redis://127.0.0.1:{PORT}/0"
NOTICE_S = 12.0
"""From the notice that a node will go to its end."""
EFFECT_S = 900.0
"""How long a fault may take to show; nothing but a machine that stands still takes so long."""
DECK = {
    "a worker is killed": 6,
    "a worker hangs": 2,
    "a device breaks": 4,
    "a coordinator is killed": 2,
    "a coordinator hangs": 1,
    "a node goes after a notice": 1,
    "a node goes at once": 2,
    "connections to the cache server are cut": 3,
    "the cache server is killed": 1,
    "the cache server hangs": 1,
    "the disk is full": 1,
    "the driver is killed": 1,
}
NUM_RUNS = 4


class Search:
    """A search in a process of its own, which is started again where it ended.

    Args:
        folder: for its settings and for what it says.
        model_dir: the model.
        run_dir: where it writes.
    """

    def __init__(self, folder: Path, model_dir: str, run_dir: Path) -> None:
        task = Path(shutil.copy(FRAGILE_TASK, folder / "fragile_task.py"))
        self._folder = folder
        self.pause(SLOW_S)
        self._break = folder / "break"
        self.run_dir = run_dir
        self.config = SearchConfig(model=model_dir, task=str(task), preset=PRESET, **SETTINGS)
        settings = folder / "soak.toml"
        words = {"model": model_dir, "task": str(task), "preset": PRESET}
        numbers = SETTINGS | {
            "workers": 3,
            "requests_per_batch": 4,
            "coordinators": 2,
            "worker_timeout_s": 30.0,
            "coordinator_timeout_s": 30.0,
        }
        settings.write_text(
            "".join(f'{name} = "{value}"\n' for name, value in words.items())
            + "".join(f"{name} = {value}\n" for name, value in numbers.items())
        )
        self._settings = settings
        self._out, self._err = folder / "out", folder / "err"
        self.num_invocations = 0

    def start(self, address: str) -> None:
        """Start it, or go on with it."""
        self.num_invocations += 1
        with self._out.open("ab") as out, self._err.open("ab") as err:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-W", "error", "-m", "search_cluster.cli", "search"),
                    *("--config", str(self._settings), "--ray", address, "--json"),
                    *("--run", str(self.run_dir)),
                ],
                stdout=out,
                stderr=err,
                env=os.environ | {"LPS_REDIS_URL": URL},
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """All that it has said on standard error."""
        return self._err.read_text()

    def require_running(self) -> None:
        """Pass as long as it has not ended by itself."""
        assert self.process.poll() is None, f"it ended: {self.process.returncode}\n{self.said}"

    def progress(self) -> tuple[int, int]:
        """Sessions so far, and paths that the newest one has delivered."""
        sessions = sorted((self.run_dir / "sessions").glob("*.json"))
        if not sessions:
            return 0, 0
        return len(sessions), json.loads(sessions[-1].read_text())["paths_searched"]

    def wait_for_progress(self, num_paths: int) -> None:
        """Wait until it has delivered so many more paths."""
        sessions, before = self.progress()

        def has_gone_on() -> bool:
            self.require_running()
            now, paths = self.progress()
            return paths >= num_paths + (before if now == sessions else 0)

        wait_for(has_gone_on, timeout_s=EFFECT_S)

    def pause(self, seconds: float) -> None:
        """Let it pause so long before each grade."""
        # Replaced whole: a worker that read a file just emptied would fail the path.
        coming = self._folder / "coming_pause_s"
        coming.write_text(str(seconds))
        coming.replace(self._folder / "pause_s")

    def pace(self, *, is_behind: bool) -> None:
        """Let it hurry where it is behind, or take its time."""
        self.pause(FAST_S if is_behind else SLOW_S)

    def break_device(self) -> None:
        """Let the device break of whichever worker grades next."""
        self._break.touch()
        wait_for(lambda: not self._break.exists(), timeout_s=EFFECT_S)

    def result(self) -> dict[str, Any]:
        """Let it go on without pauses, and wait for its end."""
        self.pause(0.0)
        self.process.wait(timeout=300)
        assert self.process.returncode == 0, self.said
        values: dict[str, Any] = json.loads(self._out.read_text().splitlines()[-1])
        return values


class Faults:
    """Disturbs a search; each method returns when its fault took effect.

    Args:
        search: it runs.
        cluster: its nodes.
        folder: for the cache server's file.
        disk: where the search writes.
        rng: draws the victims.
    """

    def __init__(
        self, search: Search, cluster: Any, folder: Path, disk: Path, rng: random.Random
    ) -> None:
        self._search = search
        self._cluster = cluster
        self._redis_dir = folder
        self._disk = disk
        self._rng = rng
        self._stopped: list[psutil.Process] = []
        self._stack = contextlib.ExitStack()
        self._start_server()
        self._of_kind: dict[str, Callable[[], None]] = {
            "a worker is killed": lambda: self._kill(WORKER),
            "a worker hangs": lambda: self._suspend(WORKER),
            "a device breaks": search.break_device,
            "a coordinator is killed": lambda: self._kill(COORDINATOR),
            "a coordinator hangs": lambda: self._suspend(COORDINATOR),
            "a node goes after a notice": lambda: self._preempt(has_notice=True),
            "a node goes at once": lambda: self._preempt(has_notice=False),
            "connections to the cache server are cut": self._cut_connections,
            "the cache server is killed": self._kill_server,
            "the cache server hangs": self._suspend_server,
            "the disk is full": self._fill_disk,
            "the driver is killed": self._kill_driver,
        }

    def __enter__(self) -> "Faults":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._stack.close()

    def inject(self, kind: str) -> None:
        """Let a fault happen."""
        self._search.require_running()
        self._of_kind[kind]()

    def settle(self) -> None:
        """Wait until those that hang were noticed, and killed."""
        wait_for(lambda: all(map(has_ended, self._stopped)), timeout_s=EFFECT_S)
        self._stopped.clear()

    def _start_server(self) -> None:
        self._server = self._stack.enter_context(redis_server(self._redis_dir, PORT))

    def _strike(
        self, name: re.Pattern[str], signal_it: Callable[[psutil.Process], None]
    ) -> psutil.Process:
        """Send a signal to an actor that runs; which one it was."""
        while True:
            self._search.require_running()
            wait_for(lambda: bool(actors(name)), timeout_s=EFFECT_S)
            # It may go by itself just now.
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                victim = self._rng.choice(sorted(actors(name), key=lambda process: process.pid))
                signal_it(victim)
                return victim

    def _kill(self, name: re.Pattern[str]) -> None:
        victim = self._strike(name, psutil.Process.kill)
        wait_for(lambda: has_ended(victim))

    def _suspend(self, name: re.Pattern[str]) -> None:
        victim = self._strike(name, psutil.Process.suspend)
        self._stopped.append(victim)
        wait_for(lambda: victim.status() == psutil.STATUS_STOPPED)

    def _preempt(self, *, has_notice: bool) -> None:
        self.settle()
        workers: list[psutil.Process] = []

        def on(node: Any) -> list[psutil.Process]:
            (raylet,) = node.all_processes["raylet"]
            return actors(WORKER, psutil.Process(raylet.process.pid))

        wait_for(lambda: any(map(on, self._cluster.nodes)), timeout_s=EFFECT_S)
        node = self._rng.choice([node for node in self._cluster.nodes if on(node)])
        self._cluster.add_node(1)  # before the other one goes, as an autoscaler does
        if has_notice:
            num_notices = self._search.said.count("is about to go")
            gone_s = time.monotonic() + NOTICE_S
            self._cluster.drain_node(node, deadline_s=NOTICE_S)
            wait_for(
                lambda: self._search.said.count("is about to go") > num_notices, timeout_s=EFFECT_S
            )
            time.sleep(max(0.0, gone_s - time.monotonic()))
        else:
            workers = on(node)
            assert workers
        self._cluster.remove_node(node)
        wait_for(lambda: all(map(has_ended, workers)), timeout_s=EFFECT_S)

    def _cut_connections(self) -> None:
        with redis.Redis(port=PORT) as client:
            wait_for(
                lambda: int(client.execute_command("CLIENT", "KILL", "TYPE", "normal")) > 0,
                timeout_s=EFFECT_S,
            )

    def _kill_server(self) -> None:
        self._server.kill()
        self._server.wait()
        time.sleep(self._rng.uniform(0.5, 4.0))
        self._start_server()

    def _suspend_server(self) -> None:
        with redis.Redis(port=PORT) as client:
            assert len(client.client_list()) > 1, "nobody uses it"
        self._server.send_signal(signal.SIGSTOP)
        try:
            time.sleep(self._rng.uniform(4.0, 8.0))
        finally:
            self._server.send_signal(signal.SIGCONT)

    def _fill_disk(self) -> None:
        self.settle()
        num_before = self._search.said.count("No space left on device")
        ballast = fill(self._disk)
        code = self._search.process.wait(timeout=EFFECT_S)
        said = self._search.said
        assert (code, said.count("No space left on device") > num_before) == (2, True), said
        ballast.unlink()
        self._search.start(self._cluster.address)

    def _kill_driver(self) -> None:
        self.settle()
        os.kill(self._search.process.pid, signal.SIGKILL)
        self._search.process.wait()
        self._search.start(self._cluster.address)


@pytest.fixture(scope="module")
def undisturbed(model_dir: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    search = Search(folder, model_dir, folder / "run")
    search.pause(0.0)
    return run_search(replace(search.config, ray="none", redis_url="none", run=search.run_dir))


@pytest.fixture
def cluster(undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head and a node; leaves the Ray of the other tests as it was."""
    from search_cluster.cluster.environment import prepare_ray_environment

    prepare_ray_environment("local")
    import ray

    from search_cluster.cluster.session import connect_ray
    from search_cluster.cluster.simulated import simulated_cluster

    # Ray gives a node 30 s to start, which a machine that is full of work may need tenfold.
    patient = SimpleNamespace(
        monotonic=lambda: time.monotonic() / 10, time=time.time, sleep=time.sleep
    )
    monkeypatch.setattr("ray._private.node.time", patient)
    was_connected = ray.is_initialized()
    with simulated_cluster([1]) as cluster:
        yield cluster
    if was_connected:
        connect_ray("local", min_cpus=4)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(NUM_RUNS))
def test_random_faults_leave_one_digest_and_no_failure(
    seed: int,
    cluster: Any,
    model_dir: str,
    undisturbed: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rng = random.Random(seed)
    deck = [kind for kind, count in DECK.items() for _ in range(count)]
    assert len(deck) * NUM_RUNS == 100
    rng.shuffle(deck)
    injected: Counter[str] = Counter()
    started_s = time.monotonic()
    with small_disk(tmp_path / "disk", "64m") as disk:
        search = Search(tmp_path, model_dir, disk / "run")
        with Faults(search, cluster, tmp_path / "redis", disk, rng) as faults:
            search.start(cluster.address)
            try:
                for number, kind in enumerate(deck):
                    share = count_verdicts(URL) / undisturbed["paths_evaluated"]
                    search.pace(is_behind=share < number / len(deck))
                    search.wait_for_progress(rng.choice([1, 5, 20]))
                    search.pace(is_behind=False)  # a fault may last longer than all that is left
                    now_s = time.monotonic() - started_s
                    with capsys.disabled():
                        print(f"\n  {now_s:4.0f} s, {share:.2f} of the paths: {kind}", end="")
                    faults.inject(kind)
                    injected[kind] += 1
                faults.settle()
                result = search.result()
            finally:
                if search.process.poll() is None:
                    os.killpg(search.process.pid, signal.SIGKILL)
                    search.process.wait()
        records = read_corpus(search.run_dir).records
    assert result["corpus_digest"] == undisturbed["corpus_digest"]
    assert result["failures"] == 0
    assert all(record.failures == () for record in records)
    assert injected == DECK
    with capsys.disabled():
        print(
            f"\n  {injected.total()} faults in {time.monotonic() - started_s:.0f} s and "
            f"{search.num_invocations} invocations, load {os.getloadavg()[0]:.1f}: "
            f"{json.dumps(dict(injected))}"
        )
