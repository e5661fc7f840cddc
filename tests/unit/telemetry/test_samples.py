"""The series of samples beside a session: bounded, newest kept, forgiving to read."""

import itertools
import json
import os
from pathlib import Path

import pytest

from search_cluster.errors import CorpusError
from search_cluster.telemetry.run_counters import RunCounters
from search_cluster.telemetry.samples import Sample, SampleLog, read_samples
from search_cluster.telemetry.sessions import SessionLog, read_sessions


def _counters(second: float) -> RunCounters:
    done = int(second)
    return RunCounters(
        elapsed_s=second,
        num_examples_done=done,
        num_paths_searched=10 * done,
        num_paths_evaluated=8 * done,
        num_cache_hits=2 * done,
        device_held_s=2 * second,
        device_busy_s=1.5 * second,
        num_workers=2,
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    log = SampleLog(tmp_path / "sessions" / "a.jsonl", interval_s=2)
    for second in (0.5, 1.5, 2.5, 4.0, 4.6):
        log.take(_counters(second))
    found = read_samples(tmp_path / "sessions" / "a.jsonl")
    assert [item.elapsed_seconds for item in found] == [0.5, 2.5, 4.6], (
        "not more often than every 2 s"
    )
    assert found[-1] == Sample(
        elapsed_seconds=4.6,
        examples_done=4,
        paths_searched=40,
        paths_evaluated=32,
        cache_hits=8,
        failures=0,
        device_seconds=9.2,
        device_busy_seconds=6.9,
    )
    log.take(_counters(4.7), force=True)
    assert read_samples(tmp_path / "sessions" / "a.jsonl")[-1].elapsed_seconds == 4.7


def test_a_long_session_stays_small_and_keeps_its_whole_span(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    log = SampleLog(path, interval_s=1, max_samples=10)
    for second in range(10_000):
        log.take(_counters(float(second)))
        if second < 200:
            assert 1 <= len(path.read_text().splitlines()) <= 10
    found = [item.elapsed_seconds for item in read_samples(path)]
    assert 4 <= len(found) <= 10
    assert found == sorted(found)
    assert found[0] < 2_500, "the beginning is still covered"
    assert found[-1] > 7_500, "so is the end"
    gaps = [b - a for a, b in itertools.pairwise(found)]
    assert max(gaps) <= 2 * min(gaps), "evenly thinned"


def test_lines_that_are_no_samples_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    log = SampleLog(path, interval_s=1)
    log.take(_counters(1.0))
    good = path.read_text()
    bad = [
        "",
        "{",
        "[]",
        "null",
        '{"elapsed_seconds": 1}',
        json.dumps(_counters(2.0).to_json() | {"failures": "many"}),
    ]
    bad.append(json.dumps(_counters(2.0).to_json() | {"failures": True}))
    bad.append(json.dumps(_counters(2.0).to_json()).replace("2.0", "NaN"))
    path.write_bytes("\n".join(bad).encode() + b"\n" + good.encode() + good.encode()[:40] + b"\xff")
    assert [item.elapsed_seconds for item in read_samples(path)] == [1.0]
    assert read_samples(tmp_path / "none.jsonl") == []


def test_a_session_log_writes_both_files_and_readers_of_sessions_see_one(tmp_path: Path) -> None:
    now_s = [100.0]
    log = SessionLog(tmp_path, "20260101", clock=lambda: now_s[0])
    for second in range(10):
        now_s[0] = 100.0 + second
        log.update(_counters(float(second)))
    log.update(_counters(10.0), force=True)
    assert [session["examples_done"] for session in read_sessions(tmp_path)[0].values()] == [10]
    samples = read_samples(tmp_path / "sessions" / "20260101.jsonl")
    assert [item.examples_done for item in samples] == [0, 2, 4, 6, 8, 10]


def test_a_session_of_a_version_that_counted_less_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    (tmp_path / "sessions" / "a.json").write_text('{"paths_evaluated": 3}')
    (tmp_path / "sessions" / "a.jsonl").write_text('{"paths_evaluated": 3}')
    assert list(read_sessions(tmp_path)[0].values()) == [{"paths_evaluated": 3}]
    assert read_samples(tmp_path / "sessions" / "a.jsonl") == []


def test_a_refused_write_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(
        CorpusError, match=r"can't write .*a\.jsonl: Is a directory; what was found is kept"
    ):
        SampleLog(tmp_path / "a.jsonl", interval_s=1).take(_counters(1.0))


def test_slow_renames_take_little_of_the_time_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s, writes = [0.0], list[float]()
    log = SessionLog(tmp_path, "20260101", clock=lambda: now_s[0])
    rename = os.replace

    def slow(source: Path, target: Path) -> None:
        writes.append(now_s[0])
        now_s[0] += 3.0
        rename(source, target)

    monkeypatch.setattr(os, "replace", slow)
    while now_s[0] < 600.0:
        log.update(_counters(now_s[0]))
        now_s[0] += 0.5
    assert 3.0 * len(writes) <= 0.06 * 600.0
    assert len(writes) >= 8, "and it is still written"
    log.update(_counters(600.0), force=True)
    assert len(read_sessions(tmp_path)[0]) == 1


def test_samples_of_versions_that_counted_no_arithmetic_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    SampleLog(path, interval_s=1).take(_counters(1.0))
    values = json.loads(path.read_text())
    for name in ("layer_rows", "computed_flops", "available_flops"):
        del values[name]
    path.write_text(json.dumps(values) + "\n")
    assert [item.available_flops for item in read_samples(path)] == [0.0]
