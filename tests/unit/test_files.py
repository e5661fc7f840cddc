"""Whole files, and targets that are none."""

import errno
import os
import stat
from pathlib import Path

import pytest

from search_cluster.errors import CorpusError
from search_cluster.files import write_text_whole


def test_a_stream_is_refused_and_stays(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "stdout"
    os.mkfifo(pipe)
    link.symlink_to("/proc/self/fd/1")
    for target in (pipe, link, Path("/dev/fd/1")):
        with pytest.raises(CorpusError, match=rf"can't write {target}: it is a device or a stream"):
            write_text_whole(target, "x")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert link.is_symlink()
    assert sorted(tmp_path.iterdir()) == [pipe, link]


def test_a_folder_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(CorpusError, match=r"can't write .*/folder: Is a directory"):
        write_text_whole(tmp_path / "folder", "x")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_a_file_system_that_can_not_sync_folders_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, refusal = os.fsync, [errno.EINVAL]

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(refusal[0], os.strerror(refusal[0]))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text_whole(tmp_path / "a", "x")
    assert (tmp_path / "a").read_text() == "x"
    refusal[0] = errno.EIO
    with pytest.raises(CorpusError, match="Input/output error"):
        write_text_whole(tmp_path / "b", "x")
