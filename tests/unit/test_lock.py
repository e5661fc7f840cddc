"""A run folder has one writer, and a run that writes nothing leaves no folder."""

from pathlib import Path

import pytest

from search_cluster.errors import CorpusError, ModelError
from search_cluster.lock import WRITER_LOCK_NAME, lock_run_folder, locked_run_folder


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
