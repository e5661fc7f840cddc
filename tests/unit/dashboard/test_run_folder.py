"""A run folder as it grows, stops, and breaks."""

import json
from pathlib import Path

import pytest
from support.run_folders import (
    all_kinds,
    counters,
    example,
    right,
    searched,
    write_run,
    write_samples,
    write_session,
)

from search_cluster.dashboard import run_folder
from search_cluster.dashboard.overview import describe_run
from search_cluster.dashboard.run_folder import RunFolder, RunState
from search_cluster.errors import CorpusError

DAMAGED = (
    b"",
    b"{",
    b"\xff\xfe",
    b"[]",
    b'{"paths_evaluated": "3"}',
    b'{"device_seconds": NaN}',
    b"\0" * 300,
)
"""What may lie in the place of a session: torn, overwritten, of another program."""


def test_new_shards_are_read_and_old_ones_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    digest = run_folder.digest_shard
    monkeypatch.setattr(
        run_folder, "digest_shard", lambda path: (read.append(path.name), digest(path))[1]
    )
    folder = write_run(tmp_path / "run", all_kinds()[:4], finish=False)
    view = RunFolder(folder)
    assert len(view.read().rows) == len(view.read().rows) == 4
    write_run(folder, [searched(example(50), right)], finish=False)
    assert len(view.read().rows) == 5
    assert read == ["shard-00000.parquet", "shard-00001.parquet", "shard-00002.parquet"]


def test_an_example_is_found_whole(tmp_path: Path) -> None:
    records = all_kinds()
    view = RunFolder(write_run(tmp_path / "run", records))
    for row in view.read().rows:
        assert view.record(row) in records
        assert view.record(row).example.example_id == row.example_id


@pytest.mark.parametrize(
    ("age_s", "finish", "state"),
    [(0, False, RunState.RUNNING), (3600, False, RunState.SILENT), (3600, True, RunState.FINISHED)],
)
def test_states(tmp_path: Path, age_s: float, finish: bool, state: RunState) -> None:
    folder = write_run(tmp_path / "run", all_kinds(), finish=finish)
    write_session(folder, counters(10, done=5), age_s=age_s)
    snapshot = RunFolder(folder).read()
    assert snapshot.state is state
    assert snapshot.last_sign_s == pytest.approx(age_s, abs=5)


def test_a_damaged_shard_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", all_kinds())
    (folder / "data" / "shard-00001.parquet").write_bytes(b"PAR1 no more")
    snapshot = RunFolder(folder).read()
    assert len(snapshot.rows) == 3
    assert len(snapshot.problems) == 1
    assert "shard-00001.parquet is damaged" in snapshot.problems[0]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_session_is_named_and_the_others_keep_their_samples(
    tmp_path: Path, content: bytes
) -> None:
    folder = write_run(tmp_path / "run", all_kinds(), finish=False)
    for number in range(3):
        write_session(folder, counters(10 * number, done=number), name=f"2026010{number}")
        write_samples(
            folder,
            [counters(second, done=number) for second in range(number)],
            name=f"2026010{number}",
        )
    (folder / "sessions" / "20260101.json").write_bytes(content)
    snapshot = RunFolder(folder).read()
    assert [session["examples_done"] for session in snapshot.sessions] == [0, 2]
    assert [len(samples) for samples in snapshot.samples] == [0, 2]
    (problem,) = snapshot.problems
    assert problem.startswith(f"{folder / 'sessions' / '20260101.json'} is damaged (")
    assert problem.endswith("; delete it: only its costs are lost")
    assert json.loads(json.dumps(describe_run(RunFolder(folder)), allow_nan=False))["problems"] == [
        problem
    ]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_what_is_no_run_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match=rf"{name} is not a run folder: .*name what --run named"):
        RunFolder(tmp_path / name)
