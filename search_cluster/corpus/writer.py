"""Writing a corpus: shards as they fill, the manifest last.

Writing can be resumed at any point.

One process writes a folder at a time (a lock file says so). A shard is visible whole or not at all,
so a process that is killed at any moment leaves a readable prefix.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType

from search_cluster.corpus.card import render_card
from search_cluster.corpus.digest import combined_digest
from search_cluster.corpus.encoded_shard import (
    EncodedShard,
    EndedExample,
    encode_shard,
    ended_example,
)
from search_cluster.corpus.manifest import (
    MANIFEST_NAME,
    Manifest,
    Provenance,
    Shard,
    require_same_provenance,
)
from search_cluster.corpus.record import ExampleRecord
from search_cluster.corpus.shards import (
    DATA_FOLDER,
    decode_records,
    describe_shard,
    read_shard,
    shard_path,
    shard_paths,
    write_shard,
)
from search_cluster.corpus.waiting import EXAMPLES_PER_SHARD, MAX_SHARD_AGE_S, WaitingForShard
from search_cluster.errors import InvalidValueError
from search_cluster.files import TEMPORARY_PATTERN, write_text_whole
from search_cluster.lock import lock_run_folder

CARD_NAME = "README.md"


class CorpusWriter:
    """Appends records to a corpus folder, and shards that others made.

    Opening a folder that already holds shards resumes it: they are kept, their ids are in
    `written_ids`, and records of these ids are ignored. The writer is a context manager: leaving
    the block without an error flushes, and the lock is always given back; only `close` writes the
    manifest.

    Args:
        folder: the folder of the corpus; it is created if it is missing.
        provenance: what the records depend on; must be that of the shards that are there.
        examples_per_shard: a shard is written when so many records wait.
        max_shard_age_s: a shard is also written at the next `add` when the oldest waiting record is
            older than this.
        clock: gives seconds that only grow.
        lock: what `search_cluster.lock.lock_run_folder` gave the caller, who keeps it; ``None``
            locks the folder here.

    Raises:
        ConfigError: the folder was started with another provenance.
        CorpusError: another process writes here, a shard is damaged, or the operating system
            refused.
    """

    def __init__(
        self,
        folder: Path,
        provenance: Provenance,
        *,
        examples_per_shard: int = EXAMPLES_PER_SHARD,
        max_shard_age_s: float = MAX_SHARD_AGE_S,
        clock: Callable[[], float] = time.monotonic,
        lock: int | None = None,
    ) -> None:
        if examples_per_shard < 1:
            raise InvalidValueError(
                f"examples_per_shard is {examples_per_shard}; a shard holds at least 1 example"
            )
        self._folder = folder
        self._provenance = provenance
        self._digests: dict[str, str] = {}
        self._shards: list[Shard] = []
        self._num_paths = 0
        self._waiting = WaitingForShard[ExampleRecord](examples_per_shard, max_shard_age_s, clock)
        self._unwritten = deque[EncodedShard]()
        """Shards that are made; more than one only while the operating system refuses them."""
        self._next_shard = 0
        self._lock: int | None = lock_run_folder(folder) if lock is None else os.dup(lock)
        try:
            self._remove_leftovers()
            self._take_over_shards()
        except BaseException:
            self.release()
            raise

    @property
    def written_ids(self) -> frozenset[str]:
        """The ids of the examples that lie in shards on disk."""
        return frozenset(self._digests)

    def add(self, record: ExampleRecord) -> None:
        """Take one record, and write a shard when enough wait.

        A record whose id was added before is ignored.

        Raises:
            CorpusError: the operating system refused to write; the waiting records are kept, and
                `flush` tries again.
            InvalidValueError: the record's paths are of a model of another depth.
        """
        example_id = record.example.example_id
        if self._has(example_id):
            return
        self._require_depth(record)
        self._waiting.add(example_id, record)
        if self._waiting.is_due:
            self.flush()

    def add_shard(self, shard: EncodedShard) -> None:
        """Write a shard that was made elsewhere, for this corpus' provenance.

        Examples in it that were added before are ignored.

        Raises:
            CorpusError: as `add`; the shard is kept.
        """
        if not shard.new:
            return
        if any(self._has(item.example_id) for item in shard.new):
            for record in decode_records(shard.data):
                self.add(record)
            return
        self._unwritten.append(shard)
        self._write()

    def flush(self) -> None:
        """Write the waiting records as a shard, if there are any.

        Raises:
            CorpusError: the operating system refused; the records keep waiting.
        """
        if self._waiting:
            self._require_open()
            self._unwritten.append(encode_shard(self._waiting.take(), self._provenance))
        self._write()

    def _write(self) -> None:
        """Write the shards that are made."""
        while self._unwritten:
            self._require_open()
            (self._folder / MANIFEST_NAME).unlink(missing_ok=True)  # it would not list this shard
            path = shard_path(self._folder, self._next_shard)
            shard = self._unwritten[0]
            write_shard(path, shard.data)
            # First: an interrupt right here may cost a shard, and must not let it be there twice.
            self._unwritten.popleft()
            self._count(path, shard.new, shard.data)

    def _has(self, example_id: str) -> bool:
        return (
            example_id in self._digests
            or example_id in self._waiting
            or any(example_id == item.example_id for shard in self._unwritten for item in shard.new)
        )

    def close(self, summary: Mapping[str, float | int | str]) -> Manifest:
        """Finish the corpus, and give the lock back.

        The last shard comes first, then the dataset card, and the manifest last.

        Raises:
            CorpusError: the operating system refused; the folder is then an unfinished corpus.
        """
        self._require_open()
        self.flush()
        manifest = Manifest(
            provenance=self._provenance,
            num_examples=len(self._digests),
            num_paths=self._num_paths,
            corpus_digest=combined_digest(self._digests),
            shards=tuple(self._shards),
            summary=dict(summary),
        )
        write_text_whole(self._folder / CARD_NAME, render_card(manifest, self._folder))
        write_text_whole(self._folder / MANIFEST_NAME, manifest.to_json())
        self.release()
        return manifest

    def release(self) -> None:
        """Give the folder's lock back without finishing the corpus. Idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> "CorpusWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._lock is not None and kind is None:
                self.flush()
        finally:
            self.release()

    def _remove_leftovers(self) -> None:
        for folder in (self._folder, self._folder / DATA_FOLDER):
            for leftover in folder.glob(TEMPORARY_PATTERN):
                leftover.unlink(missing_ok=True)

    def _take_over_shards(self) -> None:
        for path in shard_paths(self._folder):
            provenance, records = read_shard(path)
            require_same_provenance(provenance, self._provenance, str(self._folder))
            self._count(path, map(ended_example, records))

    def _count(self, path: Path, ended: Iterable[EndedExample], data: bytes | None = None) -> None:
        """Enter a shard that is on disk; ``data`` is what it holds, if that is at hand."""
        examples = tuple(ended)
        self._shards.append(describe_shard(self._folder, path, len(examples), data))
        self._next_shard = int(path.stem.removeprefix("shard-")) + 1
        self._num_paths += sum(item.num_paths for item in examples)
        self._digests.update((item.example_id, item.digest) for item in examples)

    def _require_open(self) -> None:
        if self._lock is None:
            raise InvalidValueError(
                f"the writer of {self._folder} is closed; open a new one to go on"
            )

    def _require_depth(self, record: ExampleRecord) -> None:
        for item in record.evaluated[:1]:
            if item.path.num_layers != self._provenance.num_layers:
                raise InvalidValueError(
                    f"example {record.example.example_id} has paths of a model of "
                    f"{item.path.num_layers} layers; this corpus is of one of "
                    f"{self._provenance.num_layers}"
                )
