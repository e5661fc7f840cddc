"""A run folder has one writer, and a run that writes nothing leaves no folder."""

import errno
import os
from pathlib import Path

import pytest

from search_cluster.errors import CacheError, CorpusError, ModelError
from search_cluster.lock import (
    NO_LOCKS_VARIABLE,
    WRITER_LOCK_NAME,
    lock_run_folder,
    lock_server_folder,
    locked_run_folder,
)


def test_a_folder_in_which_nothing_was_written_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "mine"
    with pytest.raises(ModelError), locked_run_folder(folder):  # noqa: PT012 - both belong to it
        assert folder.is_dir()
        raise ModelError("there is no such model")
    assert not folder.exists()
    assert folder.parent.is_dir()


def test_what_was_written_stays(tmp_path: Path) -> None:
    with locked_run_folder(tmp_path / "mine"):
        (tmp_path / "mine" / "found").touch()
    assert (tmp_path / "mine" / "found").exists()


def test_a_second_writer_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    with locked_run_folder(folder):
        with pytest.raises(CorpusError, match="another process writes into"):
            lock_run_folder(folder)
        assert (folder / WRITER_LOCK_NAME).exists()
    with locked_run_folder(folder):
        pass


def test_a_lock_on_a_file_that_was_just_removed_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder removes the file between the second writer's opening and locking it."""
    folder = tmp_path / "mine"
    from search_cluster import lock

    locked, removed = lock.fcntl.flock, []

    def flock(descriptor: int, how: int) -> None:
        if not removed:
            (folder / WRITER_LOCK_NAME).unlink()
            removed.append(descriptor)
        locked(descriptor, how)

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with locked_run_folder(folder):
        monkeypatch.undo()
        assert (folder / WRITER_LOCK_NAME).exists()
        with pytest.raises(CorpusError, match="another process"):
            lock_run_folder(folder)


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has no locks."""
    from search_cluster import lock

    def flock(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.delenv(NO_LOCKS_VARIABLE, raising=False)
    monkeypatch.setattr(lock.fcntl, "flock", flock)


def test_a_file_system_without_locks_is_refused_in_one_line(no_locks: None, tmp_path: Path) -> None:
    num_open = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(CorpusError, match=r"^the file system of .* has no locks \(No locks") as run:
        lock_run_folder(tmp_path / "run")
    with pytest.raises(CacheError, match=r"has no locks .*; or pass --redis-url none") as cache:
        lock_server_folder(tmp_path / "cache")
    for caught in (run, cache):
        assert f"{NO_LOCKS_VARIABLE}=1" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert len(list(Path("/proc/self/fd").iterdir())) == num_open


def test_whoever_writes_alone_may_go_on_without_locks(
    no_locks: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(NO_LOCKS_VARIABLE, "1")
    with locked_run_folder(tmp_path / "run"):
        (tmp_path / "run" / "found").touch()
    os.close(lock_server_folder(tmp_path / "cache"))
    assert "nothing keeps a second process from writing" in caplog.text


def test_another_refusal_of_a_lock_is_said_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search_cluster import lock

    def flock(descriptor: int, how: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    monkeypatch.setenv(NO_LOCKS_VARIABLE, "1")
    with pytest.raises(CorpusError, match=r"can't be locked: .*Input/output error; name a folder"):
        lock_run_folder(tmp_path / "run")
