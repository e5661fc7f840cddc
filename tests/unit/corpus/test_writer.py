"""Writing, resuming, being killed, running out of disk."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from search_cluster.corpus.digest import corpus_digest
from search_cluster.corpus.encoded_shard import encode_shard
from search_cluster.corpus.manifest import Provenance
from search_cluster.corpus.reader import read_corpus, read_shards
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.errors import ConfigError, CorpusError, InvalidValueError
from search_cluster.files import write_text_whole


def _files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_a_closed_corpus_reads_back_whole(tmp_path, provenance, record):
    records = [record(number) for number in range(5)]
    with CorpusWriter(tmp_path, provenance, examples_per_shard=2) as writer:
        for item in records:
            writer.add(item)
        manifest = writer.close({"paths_searched": 15, "found_accuracy": 1.0, "name": "x"})
    corpus = read_corpus(tmp_path)
    assert corpus.manifest == manifest
    assert corpus.records == tuple(sorted(records, key=lambda item: item.example.example_id))
    assert (manifest.num_examples, manifest.num_paths) == (5, 15)
    assert [(shard.name, shard.num_rows) for shard in manifest.shards] == [
        ("data/shard-00000.parquet", 2),
        ("data/shard-00001.parquet", 2),
        ("data/shard-00002.parquet", 1),
    ]
    assert manifest.corpus_digest == corpus_digest(records)
    assert _files(tmp_path) == [
        ".writer.lock",
        "README.md",
        "data/shard-00000.parquet",
        "data/shard-00001.parquet",
        "data/shard-00002.parquet",
        "manifest.json",
    ]


def test_the_digest_does_not_depend_on_shards_order_or_resume(tmp_path, provenance, record):
    records = [record(number) for number in range(7)]
    with CorpusWriter(tmp_path / "one", provenance) as writer:
        for item in records:
            writer.add(item)
        one = writer.close({})
    with CorpusWriter(tmp_path / "two", provenance, examples_per_shard=2) as writer:
        for item in reversed(records[3:]):
            writer.add(item)
    with CorpusWriter(tmp_path / "two", provenance, examples_per_shard=3) as writer:
        assert writer.written_ids == {item.example.example_id for item in records[3:]}
        for item in records:
            writer.add(item)
        two = writer.close({})
    assert one.corpus_digest == two.corpus_digest
    assert one.num_examples == two.num_examples == 7
    assert read_corpus(tmp_path / "one").records == read_corpus(tmp_path / "two").records


def test_a_record_is_taken_once(tmp_path, provenance, record):
    with CorpusWriter(tmp_path, provenance) as writer:
        writer.add(record(1))
        writer.add(record(1, output="another"))
        writer.flush()
        assert writer.written_ids == {record(1).example.example_id}
        writer.add(record(1, output="another"))
        assert writer.close({}).num_examples == 1
    assert read_shards(tmp_path) == (record(1),)


def test_a_record_is_taken_once_from_whichever_shard_it_comes(tmp_path, provenance, record):
    first, second, third = (record(number) for number in range(3))
    with CorpusWriter(tmp_path, provenance) as writer:
        writer.add_shard(encode_shard([first, second], provenance))
        writer.add(third)
        writer.add_shard(encode_shard([second, third, record(4)], provenance))
        manifest = writer.close({})
    assert [shard.num_rows for shard in manifest.shards] == [2, 2]
    assert set(read_corpus(tmp_path).records) == {first, second, third, record(4)}


def test_an_old_record_is_not_kept_waiting(tmp_path, provenance, record):
    now = [100.0]
    with CorpusWriter(tmp_path, provenance, max_shard_age_s=30, clock=lambda: now[0]) as writer:
        writer.add(record(1))
        now[0] = 129.0
        writer.add(record(2))
        assert writer.written_ids == frozenset()
        now[0] = 130.0
        writer.add(record(3))
        assert len(writer.written_ids) == 3


def test_an_error_in_the_block_gives_the_folder_back(tmp_path, provenance, record):
    def search() -> None:
        with CorpusWriter(tmp_path, provenance) as writer:
            writer.add(record(1))
            raise RuntimeError("search broke")

    with pytest.raises(RuntimeError, match="search broke"):
        search()
    with CorpusWriter(tmp_path, provenance) as writer:
        assert writer.written_ids == frozenset()


def test_two_writers_do_not_share_a_folder(tmp_path, provenance):
    with (
        CorpusWriter(tmp_path, provenance),
        pytest.raises(CorpusError, match=r"another process writes into .* wait for it"),
    ):
        CorpusWriter(tmp_path, provenance)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"seed": 1},
            "started with seed 0, and this run has 1.*go on with seed 0, or choose another run "
            "folder",
        ),
        ({"task": "elements"}, "started with task 'capitals', and this run has 'elements'"),
        ({"limit": 9}, "started with limit None, and this run has 9"),
        ({"verdict_context": "beef"}, "started with verdict_context '', and this run has 'beef'"),
    ],
)
def test_a_folder_of_another_provenance_is_refused(tmp_path, provenance, record, change, text):
    with CorpusWriter(tmp_path, provenance) as writer:
        writer.add(record(1))
    before = _files(tmp_path)
    with pytest.raises(ConfigError, match=text):
        CorpusWriter(tmp_path, replace(provenance, **change))
    assert _files(tmp_path) == before
    CorpusWriter(tmp_path, replace(provenance, created_at="later")).release()


def test_a_run_of_the_version_before_is_gone_on_with(tmp_path, provenance, record):
    before = replace(provenance, versions=provenance.versions | {"search-cluster": "0.1.0"})
    now = replace(provenance, versions=provenance.versions | {"search-cluster": "0.2.0"})
    with CorpusWriter(tmp_path, before) as writer:
        writer.add(record(1))
    with CorpusWriter(tmp_path, now) as writer:
        assert len(writer.written_ids) == 1
        writer.add(record(2))
        writer.close({})
    assert len(read_corpus(tmp_path).records) == 2
    other = replace(now, versions=now.versions | {"search-cluster": "0.0.9"})
    with (
        pytest.raises(ConfigError, match="was started with versions"),
        CorpusWriter(tmp_path, other),
    ):
        pass


def test_a_former_name_of_a_preset_is_read_as_todays(provenance):
    text = replace(provenance, preset="credible").to_json()
    old = Provenance.from_json(text.replace('"credible"', '"default"'), "a file")
    assert old.preset == "credible"


def test_going_on_with_a_finished_corpus_takes_its_manifest_away_first(
    tmp_path, provenance, record
):
    with CorpusWriter(tmp_path, provenance) as writer:
        writer.add(record(1))
        first = writer.close({})
    with CorpusWriter(tmp_path, provenance) as writer:
        assert read_corpus(tmp_path).manifest == first
        writer.add(record(2))
        writer.flush()
        with pytest.raises(CorpusError, match="unfinished"):
            read_corpus(tmp_path)
        assert writer.close({}).num_examples == 2


def test_leftover_temporary_files_are_removed(tmp_path, provenance):
    (tmp_path / "data").mkdir()
    leftovers = [tmp_path / ".manifest.json.tmp", tmp_path / "data" / ".shard-00000.parquet.tmp"]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    CorpusWriter(tmp_path, provenance).release()
    assert not any(leftover.exists() for leftover in leftovers)


def test_a_record_of_another_depth_is_refused(tmp_path, provenance, record):
    with CorpusWriter(tmp_path, replace(provenance, num_layers=7)) as writer:
        with pytest.raises(
            InvalidValueError, match=r"paths of a model of 6 layers; this corpus is of one of 7"
        ):
            writer.add(record(1))
        writer.close({})


def test_a_closed_writer_takes_nothing(tmp_path, provenance, record):
    writer = CorpusWriter(tmp_path, provenance, examples_per_shard=1)
    writer.close({})
    with pytest.raises(InvalidValueError, match="is closed"):
        writer.add(record(1))


@pytest.mark.parametrize("summary", [{"x": float("nan")}, {"x": None}])
def test_a_summary_that_json_cannot_hold_is_refused(tmp_path, provenance, summary):
    with (
        CorpusWriter(tmp_path, provenance) as writer,
        pytest.raises(InvalidValueError, match="finite numbers and texts"),
    ):
        writer.close(summary)
    assert not (tmp_path / "manifest.json").exists()


class _FullDisk:
    """Stands in for ``os.replace`` until it is told that there is space again."""

    def __init__(self) -> None:
        self.full = True

    def __call__(self, source: Path, target: Path) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        Path(source).rename(target)


def test_a_full_disk_shows_nothing_half_written_and_can_be_tried_again(
    tmp_path, provenance, record, monkeypatch
):
    disk = _FullDisk()
    with CorpusWriter(tmp_path, provenance, examples_per_shard=1) as writer:
        writer.add(record(1))
        monkeypatch.setattr("search_cluster.files.os.replace", disk)
        with pytest.raises(
            CorpusError, match=r"shard-00001.parquet: No space left.*free space.*same command again"
        ):
            writer.add(record(2))
        assert read_shards(tmp_path) == (record(1),)
        assert _files(tmp_path) == [".writer.lock", "data/shard-00000.parquet"]
        disk.full = False
        assert writer.close({}).num_examples == 2


def test_shards_that_a_full_disk_refused_are_kept_and_written_later(
    tmp_path, provenance, record, monkeypatch
):
    disk = _FullDisk()
    shards = [encode_shard([record(number)], provenance) for number in range(3)]
    with CorpusWriter(tmp_path, provenance, examples_per_shard=2) as writer:
        writer.add(record(3))
        monkeypatch.setattr("search_cluster.files.os.replace", disk)
        for shard in shards:
            with pytest.raises(CorpusError, match="No space left"):
                writer.add_shard(shard)
        with pytest.raises(CorpusError, match="No space left"):
            writer.add_shard(encode_shard([record(2), record(4)], provenance))  # 2 waits already
        disk.full = False
        manifest = writer.close({})
    assert [shard.num_rows for shard in manifest.shards] == [1, 1, 1, 2]
    assert len(read_corpus(tmp_path).records) == 5


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root")
def test_a_file_system_that_is_really_full(tmp_path, provenance, record):
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(mount)], check=False
    ).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        noise = [record(number, output=os.urandom(30_000).hex()) for number in range(10)]
        writer = CorpusWriter(mount / "corpus", provenance, examples_per_shard=1)

        def fill() -> None:
            for item in noise:
                writer.add(item)

        with pytest.raises(CorpusError, match="No space left"):
            fill()
        kept = writer.written_ids
        writer.release()
        assert {item.example.example_id for item in read_shards(mount / "corpus")} == kept
        assert 0 < len(kept) < 10
        assert not list((mount / "corpus").rglob("*.tmp"))
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def _writing_forever(folder: Path, provenance: Provenance) -> str:
    return textwrap.dedent(
        f"""
        from pathlib import Path
        from search_cluster.corpus.manifest import Provenance
        from search_cluster.corpus.record import ExampleRecord, PathVerdict
        from search_cluster.corpus.writer import CorpusWriter
        from search_cluster.paths.layer_path import LayerPath
        from search_cluster.tasks.example import Example
        from search_cluster.tasks.verdict import Verdict

        provenance = Provenance.from_json({provenance.to_json()!r}, "the test")
        verdict = Verdict(reward=1.0, margin=None, output="o" * 1000, num_layer_tokens=1)
        item = PathVerdict(path=LayerPath.identity(6), verdict=verdict)
        with CorpusWriter(Path({str(folder)!r}), provenance, examples_per_shard=2) as writer:
            for number in range(10**9):
                example = Example(
                    task="t", question=str(number), gold="g", split="train", source="s"
                )
                writer.add(
                    ExampleRecord(
                        example=example, identity=verdict, evaluated=(item,), failures=(),
                        best=(item,), pareto=(item,), stop_reason="budget",
                    )
                )
        """
    )


def test_kill_9_leaves_a_readable_prefix_that_can_be_resumed(tmp_path, provenance, record):
    for _ in range(3):
        shards_before = len(list(tmp_path.glob("data/shard-*.parquet")))
        process = subprocess.Popen([sys.executable, "-c", _writing_forever(tmp_path, provenance)])
        try:
            deadline = time.monotonic() + 120
            while len(list(tmp_path.glob("data/shard-*.parquet"))) < shards_before + 4:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.002)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        shards = sorted(tmp_path.glob("data/shard-*.parquet"))
        found = read_shards(tmp_path)
        assert len(found) == 2 * len(shards) == len({item.example.example_id for item in found})
        assert {int(item.example.question) for item in found} == set(range(len(found)))
    with CorpusWriter(tmp_path, provenance) as writer:
        writer.add(record(1))
        assert writer.close({}).num_examples == len(found) + 1
    assert pq.ParquetFile(shards[0]).metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_refused_write_is_said_even_where_nothing_can_be_cleaned_up(tmp_path, monkeypatch):
    def refuse(self, *arguments, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(CorpusError, match=r"can't write .*report.html: Read-only file system"):
        write_text_whole(tmp_path / "report.html", "x")
