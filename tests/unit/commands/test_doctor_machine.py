"""What doctor finds of machines as they are; each trouble is one line that says what to set."""

import errno
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from search_cluster import lock
from search_cluster.commands import doctor, doctor_machine
from search_cluster.errors import ConfigError, CorpusError
from search_cluster.lock import NO_LOCKS_VARIABLE

NOWHERE = Path("/proc/self/nobody")
"""A folder that not even root can make."""


def test_a_run_folder_is_tried_where_it_will_be_and_left_as_it_was(tmp_path: Path) -> None:
    said = doctor_machine.try_run_folder(tmp_path / "runs" / "first")
    assert said.startswith(f"{tmp_path}: locks work; a file appears whole in ")
    assert "slow" not in said
    assert list(tmp_path.iterdir()) == []


def test_slow_renames_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, rename = [0.0], os.replace

    def slow(source: Path, target: Path) -> None:
        now_s[0] += 2.0
        rename(source, target)

    monkeypatch.setattr(os, "replace", slow)
    monkeypatch.setattr(doctor_machine, "time", SimpleNamespace(perf_counter=lambda: now_s[0]))
    said = doctor_machine.try_run_folder(tmp_path)
    assert said.endswith("whole in 2000 ms, slow: runs write their sessions more rarely")


def test_missing_locks_are_said_and_locks_that_keep_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.delenv(NO_LOCKS_VARIABLE, raising=False)
        patch.setattr(lock.fcntl, "flock", flock)
        with pytest.raises(CorpusError, match=rf"^the file system of {tmp_path} has no locks"):
            doctor_machine.try_run_folder(tmp_path)
        patch.setenv(NO_LOCKS_VARIABLE, "1")
        assert "locks keep nobody out" in doctor_machine.try_run_folder(tmp_path)
    monkeypatch.setattr(lock.fcntl, "flock", lambda descriptor, how: None)
    assert "or they are not real" in doctor_machine.try_run_folder(tmp_path)


def test_folders_that_take_no_files_are_named_with_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import constants

    with pytest.raises(CorpusError, match=r"^/proc/\S* can't be written to .*; name a folder"):
        doctor_machine.try_run_folder(NOWHERE)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(NOWHERE / "hub"))
    with pytest.raises(ConfigError, match=r"nobody/hub can't be written to \(.*so no model can"):
        doctor_machine.try_hub_cache()
    monkeypatch.setenv("RAY_TMPDIR", str(NOWHERE))
    with pytest.raises(ConfigError, match=r"nobody can't be written to .*; set RAY_TMPDIR to"):
        doctor_machine.try_temporary_folders()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(NOWHERE))
    with pytest.raises(ConfigError, match=r"nobody can't be written to .*; set TMPDIR to"):
        doctor_machine.try_temporary_folders()


def test_room_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert doctor_machine.try_temporary_folders().endswith(f"; Ray's: {tmp_path}")
    monkeypatch.setattr(
        doctor_machine.shutil, "disk_usage", lambda folder: SimpleNamespace(free=16 * 10**6)
    )
    assert "0.0 GB free in /dev/shm: Ray's object store lies in its temporary folder" in (
        doctor_machine.describe_shared_memory()
    )
    with pytest.raises(ConfigError, match=r"has 0\.0 GB free; set TMPDIR"):
        doctor_machine.try_temporary_folders()
    monkeypatch.setattr(doctor_machine, "usable_memory_bytes", lambda: 2 * 10**9)
    assert doctor_machine.describe_memory().startswith("2.0 GB (of ")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["H200", "H200"], "2 of one kind"),
        (["H200", "A100", "H200"], "they are unlike (2 x H200, 1 x A100), and 16-bit verdicts"),
    ],
)
def test_unlike_gpus_are_told_apart(
    names: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: names[index])
    check = doctor._attempt("GPUs", doctor_machine.try_gpus, "name those of one kind")
    assert said in check["detail"]
    assert check["ok"] == (len(set(names)) == 1)
    assert check["advice"] == ("" if check["ok"] else "name those of one kind")
