import logging
import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from search_cluster.cache.redis.pending_writes import PendingWrites
from search_cluster.cache.redis.spool import MAGIC, SUFFIX, Entry, Spool, count_waiting, read_spool

ENTRIES: list[Entry] = [
    ((f"e{number % 7}", bytes([number, 0, 255])), b"v" * number) for number in range(1, 41)
]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", namespace="ab")


def test_what_goes_in_comes_out_in_order(spool: Spool) -> None:
    assert list(spool.entries()) == []
    assert spool.append(ENTRIES[:10])
    assert spool.append([])
    assert spool.append(ENTRIES[10:])
    assert list(spool.entries()) == ENTRIES
    assert spool.path.stat().st_mode & 0o077 == 0


def test_nothing_is_made_before_it_is_needed_and_nothing_stays_after(
    spool: Spool, tmp_path: Path
) -> None:
    spool.clear()
    assert not (tmp_path / "spool").exists()
    spool.append(ENTRIES)
    spool.clear()
    assert list((tmp_path / "spool").iterdir()) == []
    spool.append(ENTRIES[:3])
    assert list(spool.entries()) == ENTRIES[:3]


def test_what_waits_is_counted_over_all_files_of_a_namespace_that_can_be_read(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "spool"
    assert count_waiting(folder, namespace="ab") == 0
    other = Spool(folder, namespace="ab")
    foreign = Spool(folder, namespace="cd")
    spool.append(ENTRIES)
    for elsewhere in (other, foreign):
        elsewhere.append(ENTRIES[:3])
    other.close()
    (folder / f"ab-0{SUFFIX}").mkdir()
    assert count_waiting(folder, namespace="ab") == len(ENTRIES) + 3
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "Is a directory; its verdicts are not counted"
    ]


@pytest.mark.parametrize("seed", range(20))
def test_a_torn_tail_costs_the_torn_entry_only(
    spool: Spool, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    spool.append(ENTRIES)
    data = spool.path.read_bytes()
    ends = [len(MAGIC)]
    for (example_id, field), value in ENTRIES:
        assert data.index(value, ends[-1]) > 0
        ends.append(ends[-1] + 8 + 1 + 1 + len(example_id) + 2 + len(field) + 2 + len(value))
    assert ends[-1] == len(data)
    cut = random.Random(seed).randrange(len(MAGIC), len(data))
    spool.path.write_bytes(data[:cut])
    assert list(read_spool(spool.path)) == ENTRIES[: sum(end <= cut for end in ends[1:])]
    assert len(caplog.records) == (cut not in ends)


def test_ten_thousand_damaged_files_never_give_a_wrong_entry(spool: Spool) -> None:
    logging.disable(logging.WARNING)
    rng = random.Random(0)
    spool.append(ENTRIES)
    data = spool.path.read_bytes()
    victim = spool.path.with_name("victim")
    try:
        for _ in range(10_000):
            damaged = bytearray(data)
            for _ in range(rng.randint(1, 4)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            victim.write_bytes(damaged[: rng.choice((len(damaged), rng.randrange(len(damaged))))])
            found = list(read_spool(victim))
            assert found == ENTRIES[: len(found)]
    finally:
        logging.disable(logging.NOTSET)


def test_a_foreign_file_is_said_and_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "x").write_bytes(b"\x80\x04N.")
    assert list(read_spool(tmp_path / "x")) == []
    assert "is no spool of this program" in caplog.text


def test_a_full_disk_is_said_once_and_spoils_nothing_that_was_written(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    assert spool.append(ENTRIES[:10])
    size = spool.path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A write goes half of its way, then fails.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, limits[1]))
    try:
        assert not spool.append(ENTRIES[10:])
        assert not spool.append(ENTRIES[10:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert spool.path.stat().st_size == size
    assert caplog.text.count("can't be kept in") == len(caplog.records) == 1
    assert "File too large" in caplog.text
    assert "make room" in caplog.text
    assert spool.append(ENTRIES[10:])
    assert list(spool.entries()) == ENTRIES


def test_a_disk_without_room_for_a_beginning_may_get_room_later(spool: Spool) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, limits[1]))
    try:
        assert not spool.append(ENTRIES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(spool.entries()) == []
    assert spool.append(ENTRIES)
    assert list(spool.entries()) == ENTRIES


def test_the_size_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    small = Spool(tmp_path, namespace="ab", max_bytes=100)
    assert small.append(ENTRIES[:3])
    assert not small.append(ENTRIES)
    assert "of at most 100 bytes" in caplog.text
    assert list(small.entries()) == ENTRIES[:3]


def test_only_files_without_an_owner_are_left_over(tmp_path: Path) -> None:
    mine, other = Spool(tmp_path, namespace="ab"), Spool(tmp_path, namespace="ab")
    mine.append(ENTRIES)
    other.append(ENTRIES)
    Spool(tmp_path, namespace="cd").append(ENTRIES)
    assert list(mine.left_over()) == []
    other.close()
    assert list(mine.left_over()) == [other.path]


def test_a_killed_process_leaves_what_it_appended(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from search_cluster.cache.redis.spool "
        "import Spool\n"
        "spool = Spool(Path(sys.argv[1]), namespace='ab')\n"
        "for number in range(100): spool.append([(('e', bytes([number])), b'v' * number)])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -9
    (path,) = Spool(tmp_path, namespace="ab").left_over()
    assert path.suffix == SUFFIX
    assert list(read_spool(path)) == [
        (("e", bytes([number])), b"v" * number) for number in range(100)
    ]


class TestPendingWrites:
    """What waits is in memory, on disk as well once it could not be written.

    It is on disk only where memory ends.
    """

    def write(self, pending: PendingWrites, count: int = 3) -> list[Entry]:
        entries = pending.oldest(count)
        pending.remove([key for key, _ in entries])
        return entries

    def test_what_is_written_at_once_never_sees_the_disk(self, spool: Spool) -> None:
        pending = PendingWrites(max_bytes=10**6, spool=spool)
        for entry in ENTRIES:
            pending.add(*entry)
        assert self.write(pending, 100) == ENTRIES
        assert (pending.settle(), len(pending)) == (0, 0)
        assert not spool.path.exists()

    def test_all_comes_back_from_a_buffer_that_was_too_small(self, spool: Spool) -> None:
        pending = PendingWrites(max_bytes=2000, spool=spool)
        for start in range(0, 40, 10):
            for entry in ENTRIES[start : start + 10]:
                pending.add(*entry)
            assert pending.settle() == 0
        assert len(pending) == 40
        assert len(pending.oldest(100)) < 10
        assert list(spool.entries()) == ENTRIES
        written = []
        while entries := self.write(pending):
            written += entries
        assert set(written) == set(ENTRIES)
        assert pending.settle() == 0
        assert not spool.path.exists()

    def test_what_comes_while_the_disk_is_read_is_not_forgotten(self, spool: Spool) -> None:
        pending = PendingWrites(max_bytes=700, spool=spool)
        for entry in ENTRIES[:20]:
            pending.add(*entry)
        pending.settle()
        written = self.write(pending, 2) + self.write(pending, 2)
        for entry in ENTRIES[20:]:
            pending.add(*entry)
        pending.settle()
        while entries := self.write(pending):
            written += entries
            pending.settle()
        assert set(written) == set(ENTRIES)
        assert len(pending) == 0
        assert not spool.path.exists()

    def test_without_room_anywhere_it_is_counted(self) -> None:
        pending = PendingWrites(max_bytes=1000, spool=None)
        for entry in ENTRIES[:10]:
            pending.add(*entry)
        assert (pending.settle(), len(pending)) == (7, 3)
        assert (pending.close(), len(pending)) == (3, 0)

    def test_closing_leaves_the_disk_to_the_next(self, spool: Spool) -> None:
        pending = PendingWrites(max_bytes=1000, spool=spool)
        for entry in ENTRIES:
            pending.add(*entry)
        pending.settle()
        assert pending.close() == 0
        (path,) = spool.left_over()
        assert list(read_spool(path)) == ENTRIES
