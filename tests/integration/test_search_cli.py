"""The search command as a user runs it: a tiny model; killed, resumed, interrupted, misused."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import datasets
import pytest
from support.cache_folder import Outage, count_verdicts, server_is_alive
from support.command import (
    num_examples_done,
    num_paths_searched,
    run,
    run_json,
    run_json_apart,
    start,
    wait_for,
)
from support.slow_search import SlowSearch

from search_cluster.cache.server.embedded import EmbeddedServer
from search_cluster.commands import search as run_module
from search_cluster.commands.search import run_search
from search_cluster.config import SearchConfig
from search_cluster.corpus.reader import read_corpus
from search_cluster.corpus.record import ExampleRecord
from search_cluster.corpus.summary import CorpusSummary
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.errors import ConfigError
from search_cluster.lock import lock_run_folder
from search_cluster.model import scoring
from search_cluster.paths.cost import PathCosts
from search_cluster.search.coordinator import Coordinator
from search_cluster.tree.presets.drllm import STRATEGY
from search_cluster.tree.presets.registry import PRESETS

REPORTED = {
    "examples", "paths_searched", "paths_evaluated", "cache_hits", "identity_accuracy",
    "found_accuracy", "mean_layers_saved", "device_seconds", "paths_per_device_hour", "failures",
    "corpus_digest", "layer_runs", "tie_rechecks", "recheck_seconds", "evictions",
    "cut_answers", "chance", "plain_is_guessing",
}  # fmt: skip


@pytest.fixture
def search(model_dir: str) -> list[str]:
    """The command that most tests vary; no Ray, no server."""
    return [
        "search-cluster", "search", "--model", model_dir, "--task", "capitals", "--limit", "6",
        "--budget", "12", "--seed", "3", "--ray", "none", "--redis-url", "none",
    ]  # fmt: skip


@pytest.fixture
def config(model_dir: str) -> SearchConfig:
    """The same search, for tests that need no process of its own."""
    return SearchConfig(
        model=model_dir, task="capitals", limit=6, budget=12, seed=3, ray="none", redis_url="none"
    )


def test_a_search_writes_a_corpus_that_every_reader_takes(
    search: list[str], tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    result = run_json_apart(*search, "--run", str(run_dir))
    assert result.keys() >= REPORTED
    assert result["examples"] == 6
    assert result["paths_searched"] == result["paths_evaluated"] + result["cache_hits"]
    assert result["failures"] == 0
    assert result["device_seconds"] > 0
    assert 6 * 6 <= result["layer_runs"] < result["layer_tokens"]
    assert result["evictions"] == 0

    corpus = read_corpus(run_dir)
    assert corpus.manifest.corpus_digest == result["corpus_digest"]
    assert sum(len(record.evaluated) for record in corpus.records) == result["paths_searched"]
    limits = STRATEGY.space.limits
    assert all(
        limits.violation(item.path) is None
        for record in corpus.records
        for item in record.evaluated
    )

    rows = datasets.load_dataset(str(run_dir), cache_dir=str(tmp_path / "hf"), split="train")
    assert len(rows) == 6

    status = run_json("search-cluster", "status", str(run_dir))
    assert status["finished"]
    assert status["paths_evaluated"] == result["paths_evaluated"]

    report = run_json("search-cluster", "report", str(run_dir))["report"]
    assert "<html" in Path(report).read_text()

    for name, check in (
        ("polar", json.loads),
        ("decisions", lambda text: [json.loads(row) for row in text.splitlines()]),
    ):
        out = tmp_path / name
        rows_written = run_json(
            "search-cluster", "export", str(run_dir), "--format", name, "--out", str(out)
        )["rows"]
        assert len(check(out.read_text())) == rows_written
    flat = tmp_path / "flat.parquet"
    exported = run_json(
        "search-cluster", "export", str(run_dir), "--format", "parquet", "--out", str(flat)
    )
    assert exported["rows"] == result["paths_searched"]


def test_running_a_finished_search_again_evaluates_nothing(
    search: list[str], tmp_path: Path
) -> None:
    command = [*search, "--run", str(tmp_path / "run")]
    first = run_json(*command)
    again = run_json(*command)
    assert again["paths_evaluated"] == 0
    assert again["cache_hits"] == again["paths_searched"] == first["paths_searched"]
    assert again["corpus_digest"] == first["corpus_digest"]


@pytest.mark.server
@pytest.mark.parametrize("when", ["in the last step", "after it"])
def test_a_cache_server_that_is_away_at_the_end_gets_its_verdicts_from_the_next_run(
    search: list[str],
    config: SearchConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    undisturbed = run_search(replace(config, run=tmp_path / "undisturbed"))
    command = [*search[: search.index("--redis-url")], "--run", str(tmp_path / "run")]
    with EmbeddedServer(tmp_path / "shared") as server:
        with Outage(server) as outage:
            step, add_up = Coordinator.step, run_module.summarise

            def last_step(coordinator: Coordinator) -> list[ExampleRecord]:
                if when == "in the last step" and coordinator.progress().num_examples_done:
                    outage.begin()
                return step(coordinator)

            def after_it(records: Iterable[ExampleRecord], costs: PathCosts) -> CorpusSummary:
                outage.begin()
                return add_up(records, costs)

            monkeypatch.setattr(Coordinator, "step", last_step)
            monkeypatch.setattr(run_module, "summarise", after_it)
            out, _ = run(*command, LPS_REDIS_URL=server.url)
            monkeypatch.undo()
            waiting = "verdicts that the cache server did not take yet: "
            num_waiting = int(out.partition(waiting)[2]) if waiting in out.splitlines()[-1] else 0
        assert (num_waiting > 0) is (when == "in the last step")
        assert count_verdicts(server.url) == undisturbed["paths_evaluated"] - num_waiting
        assert read_corpus(tmp_path / "run").manifest.corpus_digest == undisturbed["corpus_digest"]
        again = run_json(*command, LPS_REDIS_URL=server.url)
        assert (again["verdicts_waiting"], again["paths_evaluated"]) == (0, 0)
        assert count_verdicts(server.url) == undisturbed["paths_evaluated"]


def test_another_seed_gives_another_corpus(search: list[str], tmp_path: Path) -> None:
    first = run_json(*search, "--run", str(tmp_path / "a"))
    other = run_json(*search, "--seed", "4", "--run", str(tmp_path / "b"))
    assert first["corpus_digest"] != other["corpus_digest"]


@pytest.fixture
def shared_url(tmp_path: Path) -> Iterator[str]:
    with EmbeddedServer(tmp_path / "shared") as server:
        yield server.url


@pytest.mark.ray
@pytest.mark.server
def test_workers_coordinators_and_cache_warmth_do_not_change_the_corpus(
    search: list[str], config: SearchConfig, tmp_path: Path, shared_url: str, ray_address: str
) -> None:
    alone = run_search(replace(config, run=tmp_path / "alone"))
    on_ray = [*search, "--ray", ray_address]
    cold = run_json_apart(
        *on_ray, "--redis-url", shared_url, "--workers", "1", "--run", str(tmp_path / "cold")
    )
    assert cold["corpus_digest"] == alone["corpus_digest"]
    assert cold["cache_hits"] == 0
    warm = run_json_apart(
        *on_ray, "--redis-url", shared_url, "--workers", "2", "--run", str(tmp_path / "warm")
    )
    assert warm["corpus_digest"] == alone["corpus_digest"]
    assert warm["paths_evaluated"] == 0
    two = run_json_apart(
        *search,
        "--ray",
        "local",
        "--workers",
        "2",
        "--coordinators",
        "2",
        "--run",
        str(tmp_path / "two"),
    )
    assert two["corpus_digest"] == alone["corpus_digest"]
    assert (two["workers"], two["coordinators"]) == (2, 2)
    assert two["paths_evaluated"] == alone["paths_evaluated"]


@pytest.fixture
def slow(model_dir: str, tmp_path: Path, request: pytest.FixtureRequest) -> SlowSearch:
    dtype = getattr(request, "param", "auto")
    return SlowSearch(tmp_path, model_dir, pause_s=0.05, dtype=dtype)


@pytest.mark.parametrize("redis_url", ["none", "embedded"])
def test_a_16_bit_corpus_is_the_same_on_one_and_two_workers_cold_and_warm(
    search: list[str], tmp_path: Path, redis_url: str
) -> None:
    command = [*search, "--dtype", "bfloat16"]
    alone = run_json(*command, "--workers", "1", "--run", str(tmp_path / "one"))
    two = run_json(
        *command, "--workers", "2", "--redis-url", redis_url, "--run", str(tmp_path / "two")
    )
    assert two["corpus_digest"] == alone["corpus_digest"]
    assert (alone["tie_rechecks"], two["tie_rechecks"]) == (0, 0)
    if redis_url == "embedded":  # what is left of the run is its cache
        for path in (tmp_path / "two").iterdir():
            if path.name != "cache":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        warm = run_json(*command, "--redis-url", redis_url, "--run", str(tmp_path / "two"))
        assert warm["paths_evaluated"] == 0
        assert warm["corpus_digest"] == alone["corpus_digest"]


@pytest.mark.ray
@pytest.mark.server
@pytest.mark.parametrize("slow", ["auto", "bfloat16"], indirect=True)
def test_kill_9_in_the_middle_then_resume_computes_nothing_twice(
    slow: SlowSearch, tmp_path: Path, ray_address: str
) -> None:
    # Most examples end in no shard before the kill, so the cache carries the resume.
    run_dir = tmp_path / "killed"
    command = [*slow.command, "--ray", ray_address, "--workers", "2", "--run", str(run_dir)]
    process = start(*command)
    wait_for(lambda: num_paths_searched(run_dir) >= 100, timeout_s=120)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (run_dir / "manifest.json").exists()
    wait_for(lambda: not server_is_alive(run_dir), timeout_s=30)

    with EmbeddedServer(run_dir / "cache") as server:
        num_cached = count_verdicts(server.url)
    assert (
        num_cached >= 100 - 1
    )  # the append-only file is synced every second; what was delivered later may be in it

    slow.hurry()
    resumed = run_json_apart(*command)
    undisturbed = slow.undisturbed(tmp_path / "undisturbed")
    assert resumed["corpus_digest"] == undisturbed["corpus_digest"]
    assert resumed["paths_searched"] == undisturbed["paths_searched"]
    assert resumed["paths_evaluated"] == resumed["paths_searched"] - num_cached


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_search_says_so_and_resumes(
    slow: SlowSearch, tmp_path: Path, sent: signal.Signals
) -> None:
    run_dir = tmp_path / "run"
    process = start(*slow.command, "--ray", "none", "--redis-url", "none", "--run", str(run_dir))
    wait_for(lambda: num_examples_done(run_dir) >= 2, timeout_s=120)
    process.send_signal(sent)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, f"{out}\n{err}"
    assert "run the same command again" in err
    assert "Traceback" not in err
    assert not run_json("search-cluster", "status", str(run_dir))["finished"]

    slow.hurry()
    resumed = run_search(replace(slow.config, ray="none", redis_url="none", run=run_dir))
    assert resumed["corpus_digest"] == slow.undisturbed(tmp_path / "undisturbed")["corpus_digest"]
    assert resumed["cache_hits"] > 0


@pytest.mark.soak
@pytest.mark.server
@pytest.mark.parametrize("where", ["in one process", "on Ray"])
def test_a_second_ctrl_c_ends_at_once_and_the_folder_resumes(
    model_dir: str, tmp_path: Path, where: str
) -> None:
    slow = SlowSearch(tmp_path, model_dir, pause_s=1.0)  # a batch takes a quarter of a minute
    run_dir = tmp_path / "run"
    ray = ["--ray", "none"] if where == "in one process" else ["--ray", "local", "--workers", "2"]
    command = [*slow.command, *ray, "--run", str(run_dir)]
    process = start(*command)
    wait_for(lambda: num_paths_searched(run_dir) >= 1, timeout_s=120)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    time.sleep(0.3)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    sent_s = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - sent_s < (
        4 if where == "in one process" else 8
    )  # Ray takes a few seconds to end
    assert process.returncode == 130, f"{out}\n{err}"
    assert "run the same command again" in err
    assert "Traceback" not in err
    wait_for(lambda: not server_is_alive(run_dir))
    slow.hurry()
    resumed = run_json_apart(*command)
    assert resumed["corpus_digest"] == slow.undisturbed(tmp_path / "undisturbed")["corpus_digest"]
    assert resumed["paths_evaluated"] < resumed["paths_searched"]


@pytest.fixture
def read_only_folder(tmp_path: Path) -> Iterator[Path]:
    """Root can't write there either."""
    folder = tmp_path / "read-only"
    (folder / "run").mkdir(parents=True)
    bound = subprocess.run(
        ["mount", "--bind", str(folder), str(folder)], check=False, capture_output=True
    )
    if bound.returncode != 0:
        if os.geteuid() == 0:
            pytest.skip(f"no right to mount a folder: {bound.stderr.decode()}")
        folder.chmod(0o500)
        (folder / "run").chmod(0o500)
        yield folder
        return
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("name", ["run", "new"])
def test_a_read_only_run_folder_is_said_before_anything_is_loaded(
    search: list[str], read_only_folder: Path, name: str
) -> None:
    run_dir = read_only_folder / name
    _, err = run(*search, "--model", "/no/such/folder", "--run", str(run_dir), expect=2)
    assert err.startswith(f"error: can't write to {run_dir}: ")
    assert err.endswith("; name a folder that you may write to\n")
    assert err.count("\n") == 1


def test_a_file_in_the_place_of_the_run_folder_is_said_before_anything_is_loaded(
    search: list[str], tmp_path: Path
) -> None:
    (tmp_path / "run").write_text("notes")
    for run_dir in (tmp_path / "run", tmp_path / "run" / "first"):
        _, err = run(*search, "--model", "/no/such/folder", "--run", str(run_dir), expect=2)
        assert err.startswith(f"error: can't write to {run_dir}: ")
        assert err.count("\n") == 1
    assert (tmp_path / "run").read_text() == "notes"


def test_a_second_writer_is_refused_before_anything_is_loaded(
    search: list[str], tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    lock = lock_run_folder(run_dir)
    command = [*search, "--model", "/no/such/folder", "--run", str(run_dir)]
    _, err = run(*command, expect=2)
    assert f"another process writes into {run_dir}; wait for it or stop it" in err
    os.close(lock)
    _, err = run(*command, expect=2)
    assert "there is no such folder" in err
    assert not run_dir.exists(), "nothing was written"


def test_a_run_folder_has_one_set_of_settings(search: list[str], tmp_path: Path) -> None:
    run_json(*search, "--run", str(tmp_path / "run"))
    _, err = run(*search, "--seed", "9", "--run", str(tmp_path / "run"), expect=2)
    assert "seed" in err
    assert "Traceback" not in err


def test_a_corpus_never_mixes_two_states_of_the_data(search: list[str], tmp_path: Path) -> None:
    data = tmp_path / "rivers.jsonl"
    rows = [
        {"question": f"River {number}?", "choices": ["Rhine", "Nile"], "answer": number % 2}
        for number in range(9)
    ]
    data.write_text("".join(json.dumps(row | {"split": "train"}) + "\n" for row in rows))
    (tmp_path / "rivers.toml").write_text(
        'name = "rivers"\ndescription = "rivers"\nkind = "choice"\ndata = "rivers.jsonl"\n'
        '[prompt]\nchat = "{question}"\n'
    )
    command = [
        *search,
        "--task",
        str(tmp_path / "rivers.toml"),
        "--limit",
        "20",
        "--run",
        str(tmp_path / "run"),
    ]
    first = run_json(*command)
    data.write_text(data.read_text().replace("River 3", "Stream 3"))
    _, err = run(*command, expect=2)
    assert "holds 1 searched questions that task" in err
    assert "restore the data, or choose another run folder" in err
    data.write_text(data.read_text().replace("Stream 3", "River 3"))
    assert run_json(*command)["corpus_digest"] == first["corpus_digest"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--task", "capitels"], "capitals"),
        (["--preset", "nope"], "presets are: "),
        (["--preset", "chain", "--visit-total", "all"], "has no score that counts visits"),
        (["--visit-total", "both"], "visit_total is 'both'; it is one of parent, all"),
        (["--preset", "cola", "--exploration", "-1"], "exploration is -1.0; it is a number from 0"),
        (["--model", "/no/such/folder"], "there is no such folder"),
        (["--limit", "0"], "limit is 0"),
        (["--run", "/tmp/\udcff"], "run is '/tmp/\\udcff', which is not valid UTF-8"),
        (["--split", "holdout"], "holdout"),
        (["--redis-url", "http://x"], "redis"),
        (["--config", "/no/such.toml"], "can't be read"),
    ],
)
def test_misuse_is_one_line_with_a_next_step(
    search: list[str], tmp_path: Path, flags: list[str], message: str
) -> None:
    _, err = run(*search, "--run", str(tmp_path / "run"), *flags, expect=2)
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "name", ["coordinator_timeout_s", "placement_timeout_s", "examples_per_shard"]
)
def test_some_settings_are_above_zero(search: list[str], tmp_path: Path, name: str) -> None:
    (tmp_path / "run.toml").write_text(f"{name} = 0\n")
    _, err = run(*search, "--config", str(tmp_path / "run.toml"), expect=2)
    assert (
        err == f"error: {name} is 0{'' if name.startswith('examples') else '.0'}; it is above 0\n"
    )


def test_a_resume_never_takes_verdicts_of_another_scoring(
    model_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SearchConfig(
        model=model_dir, limit=2, budget=4, ray="none", redis_url="none", run=tmp_path / "run"
    )
    first = run_search(config)
    assert run_search(config)["corpus_digest"] == first["corpus_digest"]
    monkeypatch.setitem(scoring.SCORING_VERSIONS, "float32", "another")
    with pytest.raises(ConfigError, match="was started with verdict_context"):
        run_search(config)


@pytest.mark.parametrize(
    "preset", sorted(set(PRESETS) - {"credible"})
)  # three questions are too few for a study
def test_every_preset_searches_a_model(model_dir: str, tmp_path: Path, preset: str) -> None:
    config = SearchConfig(
        model=model_dir,
        preset=preset,
        limit=3,
        budget=10,
        ray="none",
        redis_url="none",
        run=tmp_path / "run",
    )
    result = run_search(config)
    assert (result["preset"], result["failures"], result["examples"]) == (preset, 0, 3)
    paths = [item.path for record in read_corpus(config.run).records for item in record.evaluated]
    assert len(paths) == result["paths_searched"] > 3
    assert run_search(config)["corpus_digest"] == result["corpus_digest"]


def test_the_reading_of_v_belongs_to_a_run(model_dir: str, tmp_path: Path) -> None:
    config = SearchConfig(
        model=model_dir,
        limit=1,
        budget=2,
        ray="none",
        redis_url="none",
        run=tmp_path / "run",
        visit_total="all",
    )
    run_search(config)
    assert read_corpus(config.run).manifest.provenance.visit_total == "all"
    with pytest.raises(
        ConfigError, match="was started with visit_total 'all', and this run has None"
    ):
        run_search(replace(config, visit_total=None))


def test_c_of_the_score_belongs_to_a_run(model_dir: str, tmp_path: Path) -> None:
    config = SearchConfig(
        model=model_dir,
        limit=1,
        budget=2,
        ray="none",
        redis_url="none",
        run=tmp_path / "run",
        exploration=0.5,
    )
    run_search(config)
    assert read_corpus(config.run).manifest.provenance.exploration == 0.5
    with pytest.raises(
        ConfigError, match=r"was started with exploration 0\.5, and this run has 0\.7"
    ):
        run_search(replace(config, exploration=0.7))


@pytest.mark.server
def test_a_password_stays_out_of_what_a_search_says_and_writes(
    search: list[str], tmp_path: Path, shared_url: str
) -> None:
    flags = search[: search.index("--redis-url")]
    password = shared_url.split("@")[0].split(":")[-1]
    out, err = run(*flags, "--run", str(tmp_path / "run"), "--json", LPS_REDIS_URL=shared_url)
    assert json.loads(out.splitlines()[-1])["cache_hits"] == 0
    warm = run_json(*flags, "--run", str(tmp_path / "warm"), LPS_REDIS_URL=shared_url)
    assert warm["paths_evaluated"] == 0
    _, refused = run(
        *flags,
        "--run",
        str(tmp_path / "no"),
        expect=2,
        LPS_REDIS_URL=shared_url.replace("/s", "/nobody"),
    )
    written = [path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not any(password in text for text in (out, err, refused))
    assert not any(password.encode() in data for data in written)


def test_settings_come_from_defaults_then_the_file_then_flags(
    model_dir: str, tmp_path: Path
) -> None:
    config = tmp_path / "run.toml"
    config.write_text(
        f'model = "{model_dir}"\ntask = "elements"\nlimit = 2\nbudget = 4\nray = "none"\n'
        'redis_url = "none"\nseed = 5\n'
    )
    result = run_json(
        "search-cluster",
        "search",
        "--config",
        str(config),
        "--seed",
        "6",
        "--run",
        str(tmp_path / "run"),
    )
    assert (result["task"], result["examples"], result["budget"], result["seed"]) == (
        "elements",
        2,
        4,
        6,
    )


def test_help_is_fast_and_light() -> None:
    out, _ = run("search-cluster", "search", "--help")

    flags = "model task limit preset budget seed run config ray redis-url workers json"
    for flag in (*(f"--{name}" for name in flags.split()), "Examples"):
        assert flag in out


def test_importing_the_command_line_imports_nothing_heavy() -> None:
    import sys

    code = (
        "import sys, search_cluster.cli; "
        "print([m for m in ('torch', 'ray', 'transformers') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_tasks_and_doctor_answer_in_json() -> None:
    names = {task["name"] for task in run_json("search-cluster", "tasks")["tasks"]}
    assert names >= {
        "capitals", "elements", "arithmetic", "arc_easy", "arc_challenge", "arc_easy_letter",
        "arc_challenge_letter", "gsm8k", "math", "mmlu", "truthfulqa_mc1",
    }  # fmt: skip
    checks = {check["name"]: check for check in run_json("search-cluster", "doctor")["checks"]}
    assert checks["cache server"]["ok"]
    assert checks["torch"]["ok"]


def test_doctor_reports_a_wrong_data_folder_and_goes_on() -> None:
    report = run_json("search-cluster", "doctor", LPS_DATA_DIR="/no/such/folder")
    check = report["checks"][-1]
    assert (report["ok"], check["name"], check["ok"]) == (False, "LPS_DATA_DIR", False)
    assert "/no/such/folder" in check["detail"]


def test_verify_re_executes_verdicts_and_notices_a_wrong_one(
    search: list[str], tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    run_json(*search, "--run", str(run_dir))
    result = run_json("search-cluster", "verify", str(run_dir), "--sample", "30")
    assert (result["verdicts"], result["agreements"], result["verdict_flips"]) == (30, 30, 0)
    assert result["margins_agree"]

    corpus = read_corpus(run_dir)
    forged = tmp_path / "forged"
    with CorpusWriter(forged, corpus.manifest.provenance) as writer:
        for record in corpus.records:
            first = record.evaluated[0]
            lie = replace(first, verdict=replace(first.verdict, reward=1.0 - first.verdict.reward))
            writer.add(replace(record, evaluated=(lie, *record.evaluated[1:])))
        writer.close({})
    out, _ = run("search-cluster", "verify", str(forged), "--sample", "1000", "--json", expect=1)
    assert json.loads(out.splitlines()[-1])["verdict_flips"] == 6


def test_one_fault_of_some_examples_is_told_once_with_its_count(
    search: list[str], tmp_path: Path
) -> None:
    task = tmp_path / "graded.py"
    task.write_text(
        "from search_cluster.tasks.simple import generate_task\n"
        "from search_cluster.tasks.user_rows import rows_source\n"
        "def grade(example, output):\n"
        "    number = int(example.gold)\n"
        "    if number % 3 == 0:\n"
        "        raise LookupError(f'no grade for {number}')\n"
        "    return float(output.strip() == example.gold)\n"
        "ROWS = [{'question': f'{n} + 0?', 'answer': str(n)} for n in range(2, 40)]\n"
        "TASK = generate_task(name='graded', description='d', chat='{question}', max_new_tokens=2, "
        "grader=grade, grader_version='1', source=rows_source(ROWS))\n"
    )
    run_dir = str(tmp_path / "run")
    command = [*search, "--task", str(task), "--limit", "12", "--budget", "4", "--run", run_dir]
    out, err = run(*command, "--json")
    num = json.loads(out.splitlines()[-1])["failures"]
    assert 1 < num < 12
    assert f"paths without a verdict: {num} ({num} x LookupError: no grade for " in err
    assert err.count("Traceback") == 1
    first = run_json("search-cluster", "status", run_dir)["first_failure"]
    assert "path 0-5: LookupError: no grade for " in first
    out, _ = run("search-cluster", "report", run_dir)
    assert f"note: paths without a verdict: {num} ({num} x LookupError: no grade for " in out
    assert "LookupError: no grade for " in (tmp_path / "run" / "report.html").read_text()


def test_a_users_task_is_found_again_or_named_by_its_file(
    search: list[str], tmp_path: Path
) -> None:
    rows = [
        {"question": f"{n} + {n}?", "choices": [f"{n}", f"{2 * n}"], "answer": 1}
        for n in range(2, 40)
    ]
    (tmp_path / "sums.py").write_text(
        "from search_cluster.tasks.simple import choice_task\n"
        "from search_cluster.tasks.user_rows import rows_source\n"
        "TASK = choice_task(name='sums', description='d', chat='{question}', "
        f"source=rows_source({rows!r}, answer_base=0))\n"
    )
    task, run_dir = str(tmp_path / "sums.py"), str(tmp_path / "run")
    run_json(*search, "--task", task, "--run", run_dir)
    for command in (
        ["verify", run_dir],
        ["crossexec", run_dir, "--menu", "2", "--ray", "none", "--redis-url", "none"],
    ):
        run("search-cluster", *command)  # the run folder keeps it
        kept = tmp_path / "run" / "tasks"
        kept.rename(tmp_path / "kept")  # as in run folders of former versions
        _, err = run("search-cluster", *command, expect=2)
        assert (
            "task 'sums', which is not built in; pass the .py or .toml file that the search was "
            "given: --task" in err
        )
        run("search-cluster", *command, "--task", task)
        (tmp_path / "kept").rename(kept)


def test_a_terminal_without_unicode_gets_names_spelled_out(
    search: list[str], tmp_path: Path
) -> None:
    command = [*search, "--limit", "1", "--run", str(tmp_path / "ünï")]
    assert run_json(*command, PYTHONIOENCODING="ascii")["run"] == command[-1]
    out, _ = run(*command, PYTHONIOENCODING="ascii")
    assert out.isascii()
    assert "search-cluster report" in out


def test_a_report_names_the_file_that_is_no_evaluation(search: list[str], tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_json(*search, "--limit", "1", "--run", str(run_dir))
    for folder, words in (
        ("benches", "task of a search bench: Field required"),
        ("evaluations", "Field required"),
    ):
        (run_dir / folder).mkdir()
        (run_dir / folder / "mine.json").write_text("{}")
        _, err = run("search-cluster", "report", str(run_dir), expect=2)
        assert f"{run_dir}/{folder}/mine.json: " in err
        assert words in err


def test_a_damaged_session_file_is_one_warning_and_all_else_is_shown(
    search: list[str], tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    result = run_json(*search, "--limit", "2", "--run", str(run_dir))
    damaged = run_dir / "sessions" / "20000101T000000.json"
    damaged.write_text('{"paths_evaluated": ')
    warning = f"WARNING: {damaged} is damaged ("
    out, err = run("search-cluster", "status", str(run_dir), "--json")
    status = json.loads(out.splitlines()[-1])
    assert (status["sessions"], status["paths_evaluated"]) == (1, result["paths_evaluated"])
    assert err.count("\n") == err.count(warning) == 1
    for flags in ([], ["--json"]):
        _, err = run("search-cluster", "report", str(run_dir), *flags)
        assert err.count(warning) == 1
    out, err = run("search-cluster", "top", str(run_dir), "--once")
    assert f"{result['paths_evaluated']:,}" in out
    assert "is damaged" in out
    assert err == ""
    _, err = run(*search, "--limit", "2", "--run", str(run_dir))
    assert err.count(warning) == 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bench_engine_reports_what_it_promises(model_dir: str, dtype: str) -> None:
    result = run_json(
        "search-cluster", "bench", "engine", "--model", model_dir, "--task", "arithmetic",
        "--num-examples", "3", "--num-paths", "8", "--num-verdicts", "50", "--sample", "4",
        "--num-references", "5", "--dtype", dtype,
    )  # fmt: skip
    assert result.keys() >= {
        "one_by_one", "same_path_batched", "engine", "ratio_one_by_one", "ratio_same_path",
        "ratio_one_by_one_min", "ratio_one_by_one_max", "one_by_one_rounds",
        "layer_runs_per_prefix", "tokens", "verdicts", "verdict_flips", "tie_rechecks",
        "recheck_seconds", "references", "materialised_agreement", "max_margin_difference",
        "is_invariant", "gemm_efficiency", "peak_state_bytes",
    }  # fmt: skip
    assert (result["verdicts"], result["references"], result["dtype"]) == (50, 5, dtype)
    assert (result["is_invariant"], result["verdict_flips"]) == (True, 0)
    assert (result["tie_rechecks"], result["recheck_seconds"]) == (0, 0.0)
    if dtype == "float32":
        assert result["materialised_agreement"] == 1.0
        assert result["max_margin_difference"] < 1e-3
    assert result["layer_runs_per_prefix"] == 1.0


def test_who_reads_no_further_ends_the_command_without_a_word() -> None:
    process = start("search-cluster", "tasks")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    assert process.communicate(timeout=60) == (None, "")
    assert process.returncode == 1
